"""Measure other networks too, so that a gain does not depend on one network.

The weights are random: nothing is downloaded, and the cost of a pass does not depend on them. All Score-CAMs score
the same few channels, those with the largest variance, at the layer that fusioncam selects. The comparison is
therefore the time of a masked pass, without the passes that are saved for constant channels. Everything else uses
whole methods on one image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import figures
import peers
from fusioncam.benchmark.throughput import examine
from fusioncam.functional.masks import ChannelMasks
from fusioncam.methods.score_cam import ScoreCAM, most_varied
from harness import Source, Subject, in_turn, samples, visiting
from meta import say

from . import ablation, budget, curves, memory
from .exact import PEERS, prepared

OURS = "fusioncam score-cam"
# lower than with trained weights: channels of both signs nearly cancel, and the ReLU's place then tells more
ALIKE = 0.8
NETWORKS = ("resnet50", "vgg16", "mobilenetv2_100", "convnext_tiny", "vit_small_patch16_224")


@dataclass(frozen=True)
class Networks(Subject):
    """A row is a network and an image; the first row of a network holds ``whole``, measured once per network.

    ``share_seconds`` limits the search for the network's best rate, ``budget`` is the number of scored masks,
    ``steps`` that of insertion and deletion.
    """

    name: ClassVar[str] = "networks"
    what: ClassVar[str] = "other networks, random weights, float32, batch 1"

    networks: tuple[str, ...] = NETWORKS
    channels: int = 64
    share_seconds: float = 10.0
    budget: int = 64
    steps: int = 113
    images: Path | None = None
    count: int = 3
    seed: int = 0
    device: str = "cpu"
    engine: str = "torch"
    one_process: bool = False

    def planned(self):
        """Return the number of rows, if there are enough images."""
        return self.count * len(self.networks)

    def rows(self):
        """Yield the measurements of each network and image."""
        for network in self.networks:
            source = Source(network, None, self.device, self.seed, self.engine)
            model = source.load()
            with visiting(source, model, self.one_process) as ask:
                for number, (name, x, target) in enumerate(samples(model, self.images, self.count)):
                    say(f"{self.name}: {network} {number + 1} of {self.count}: {name}")
                    row = {"image": name, "network": network, **self.passes(model, ask, x, target, number)}
                    yield row if number else row | {"whole": self.whole(model, source, ask, x, target)}

    def passes(self, model, ask, x, target, number):
        """Time Score-CAM of a few channels on one image and compare the heatmaps."""
        if not number:
            prepared(model, x)
        layer, activations = model.layers.default(x), model.record(x, target).activations
        active = ChannelMasks(activations, x.shape[2:]).active.T
        chosen = most_varied(activations, active, self.channels)[0].nonzero()[:, 0]
        contestants = {OURS: partial(ScoreCAM(channels=self.channels), model, x, target)}
        contestants |= {name: ask(peer, x, target, layer, chosen) for name, peer in PEERS.items()}
        seconds, given = in_turn(contestants, number)
        alike = {name: figures.correlation(given[OURS][0].cpu(), given[name]) for name in PEERS}
        return {
            "layer": layer,
            "channels": activations.shape[1],
            "scored": len(chosen),
            "seconds": seconds,
            "correlation": alike,
            "agrees": {name: value is not None and value >= ALIKE for name, value in alike.items()},
        }

    def whole(self, model, source, ask, x, target):
        """Measure what needs all channels, or only the network."""
        ablated = ask(peers.gradcam_ablation_cam, x, target, model.layers.default(x), True)
        report = examine(source.load(), self.share_seconds, say)
        return {
            "share": next(one["share"] for one in report["masked"] if one["chosen"]),
            "budget": budget.both(model, x, target, 0, self.budget)[0],
            "ablation": ablation.row(model, x, target, 0, ablated),
            "curves": curves.row(model, x, target, 0, ask, self.steps, (1,)),
            "mib": None
            if self.device != "cpu"
            else memory.asked("fusioncam", source.name, self.seed, self.engine)["mib"],
        }

    def figures(self, rows):
        """Return the figures of each network."""
        return figures.by_network(rows, self.of)

    def of(self, rows, network):
        """Return the figures of one network."""
        summary = [(f"a masked pass of {name}", passes(rows, name), "ms", {}) for name in (OURS, *PEERS)]
        summary += [
            (f"a masked pass: times as fast as {name}", figures.ratios(rows, name, OURS), "x", {}) for name in PEERS
        ]
        summary += self.of_whole([row["whole"] for row in rows if "whole" in row])
        return [figures.figure(f"{network}: {what}", values, unit, aims=aims) for what, values, unit, aims in summary]

    def of_whole(self, rows):
        """Return name, values, unit and aims of what is measured once per network."""
        few, ablated = [row["budget"] for row in rows], [row["ablation"] for row in rows]
        name = f"fusion-cam(budget={self.budget})"
        both = f"insertion and deletion, {self.steps} steps"
        return [
            (
                "share of the best rate that masked passes reach",
                [100 * row["share"] for row in rows],
                "%",
                {"median": ">= 90"},
            ),
            ("fusion-cam", [row["seconds"][budget.EXACT] for row in few], "s", {}),
            (f"{name}: times as fast as exact", figures.ratios(few, budget.EXACT, budget.FEW), "x", {}),
            (f"{name}: correlation with the exact map", [row["correlation"] for row in few], "", {}),
            (
                f"ablation-cam: times as fast as {ablation.PEER}",
                figures.ratios(ablated, ablation.PEER, ablation.OURS),
                "x",
                {"median": ">= 50"},
            ),
            (
                f"{both}: times as fast as the faster of torch-cam's and the loop",
                curves.over_faster([row["curves"] for row in rows]),
                "x",
                {"median": ">= 2.5"},
            ),
            ("fusion-cam: peak memory", [row["mib"] for row in rows], "MiB", {"highest": "<= 400"}),
        ]


def passes(rows, name):
    """Return milliseconds per masked pass."""
    return [1000 * row["seconds"][name] / row["scored"] for row in rows]
