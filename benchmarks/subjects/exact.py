"""Compare exact Fusion-CAM with the Score-CAM alone of other libraries, under equal conditions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch

import figures
import peers
from fusioncam import METHODS, Speed
from fusioncam.functional.masks import ChannelMasks
from fusioncam.inference.settings import computes_bfloat16
from harness import Source, Subject, at_speed, in_turn, samples, timed, visiting
from meta import say

OURS, COMPILED, OPENVINO, HALF = (
    f"fusioncam fusion-cam{one}" for one in ("", ", compiled", ", OpenVINO", ", OpenVINO bfloat16")
)
PEERS = {
    "pytorch-grad-cam score-cam": peers.gradcam_score_cam,
    "torch-cam score-cam": peers.torchcam_score_cam,
}
# maps less alike than this are not of the same method, and their times no race: see benchmarks/README.md
ALIKE = 0.95
# times as fast as each peer, without and with the one-time work
AIMS = {
    OPENVINO: {"pytorch-grad-cam score-cam": (8, 6), "torch-cam score-cam": (10, 6)},
    HALF: {"pytorch-grad-cam score-cam": (13, 6)},
}
# what is done once
ONCE = {
    COMPILED: ("compile", "compiled"),
    OPENVINO: ("convert", "converted"),
    HALF: ("convert for bfloat16", "converted for bfloat16"),
}
SWEEP = 1000  # masks, as a sweep has them


@dataclass(frozen=True)
class Exact(Subject):
    """Seconds per image. The peers run on the first ``peer_count`` images, by default on all.

    With ``engine="openvino"`` Fusion-CAM runs in OpenVINO too, also in bfloat16 where the processor has it.
    """

    name: ClassVar[str] = "exact"
    what: ClassVar[str] = "seconds an image, float32, batch 1"

    model: str = "efficientnet_lite0"
    layer: str = "bn2"
    images: Path | None = None
    count: int = 10
    peer_count: int | None = None
    compile: bool = False
    device: str = "cpu"
    engine: str = "torch"
    one_process: bool = False

    def planned(self):
        """Return the number of rows, if there are enough images."""
        return self.count

    def rows(self):
        """Yield the measurements of each image."""
        source = Source(self.model, self.layer, self.device)
        ours = {OURS: source.load()}
        if self.compile:
            ours[COMPILED] = at_speed(ours[OURS], Speed(compile=True, engine="torch"))
        if self.engine != "torch":
            ours[OPENVINO] = at_speed(ours[OURS], Speed(engine=self.engine))
            if computes_bfloat16(torch.device(self.device)):
                ours[HALF] = at_speed(ours[OURS], Speed(engine=self.engine, precision="bfloat16"))
        with visiting(source, ours[OURS], self.one_process) as ask:
            for number, (name, x, target) in enumerate(samples(ours[OURS], self.images, self.count)):
                say(f"{self.name} {number + 1} of {self.count}: {name}")
                setup = {one: timed(partial(prepared, mine, x))[0] for one, mine in ours.items() if not number}
                racing = self.peer_count is None or number < self.peer_count
                rivals = {one: ask(peer, x, target, self.layer) for one, peer in PEERS.items() if racing}
                yield {"image": name, "setup": setup, **self.row(ours, rivals, x, target, number)}

    def row(self, ours, rivals, x, target, number):
        """Time all contestants on one image and compare their Score-CAMs."""
        method, model = METHODS["fusion-cam"], ours[OURS]
        contestants = {one: partial(method.ingredients, mine, x, target) for one, mine in ours.items()} | rivals
        seconds, given = in_turn(contestants, number)
        activations = model.record(x, target).activations
        score_cam = given[OURS].region[0].cpu()
        alike = {one: figures.correlation(given[one], score_cam) for one in rivals}
        alike |= {one: figures.correlation(given[one].region[0].cpu(), score_cam) for one in ours if one != OURS}
        return {
            "channels": activations.shape[1],
            "living": int(ChannelMasks(activations, x.shape[2:]).active.sum()),
            "seconds": seconds,
            "correlation": alike,
            "agrees": {one: value is not None and value >= ALIKE for one, value in alike.items()},
        }

    def figures(self, rows):
        """Return the figures."""
        names = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
        summary = [figures.figure("channels that are not constant", [row["living"] for row in rows])]
        summary += [
            figures.figure(f"{name}, an image", [row["seconds"].get(name) for row in rows], "s") for name in names
        ]
        for mine in (name for name in names if name not in PEERS):
            for rival in (name for name in names if name in PEERS):
                summary += self.against(rows, mine, rival)
        for one, (verb, done) in ONCE.items():
            if one in names:
                summary.append(figures.figure(f"to {verb}, once", [rows[0]["setup"][one]], "s"))
                ratios = figures.ratios(rows, OURS, one)
                summary.append(figures.figure(f"{done}: times as fast as not", ratios, "x"))
        for name in (name for name in names if name != OURS):
            values = [row["correlation"].get(name) for row in rows]
            aims = {"median": ">= 0.998"} if name == HALF else None
            summary.append(figures.figure(f"correlation with ours of {name}", values, aims=aims))
        return summary

    @staticmethod
    def against(rows, mine, rival):
        """Return how many times as fast ours is as one peer, without and with the one-time work."""
        setup = sum(row["setup"].get(mine, 0) for row in rows)
        fast, in_all = AIMS.get(mine, {}).get(rival, (4, 2.5))
        values = figures.ratios(rows, rival, mine)
        whole = figures.whole_ratio(rows, rival, mine, setup)
        return [
            figures.figure(f"{mine}: times as fast as {rival}", values, "x", aims={"median": f">= {fast}"}),
            figures.figure(
                f"the same, all images together, {setup:.1f} s to set up or compile counted",
                [whole],
                "x",
                count=len(values),
                aims={"median": f">= {in_all}"},
            ),
        ]


def prepared(model, x):
    """Do the one-time work for inputs of this shape: copies, or compilation."""
    with model.runner.exclusive_replicas(x, SWEEP):
        pass
    # a compiled network may be compiled once more where it is first used for real
    METHODS["faster-score-cam"](model, x, torch.zeros(len(x), dtype=torch.long, device=x.device))
