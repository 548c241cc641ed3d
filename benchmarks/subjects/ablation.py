"""Compare Ablation-CAM at the last layer with pytorch-grad-cam's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import ClassVar

import figures
import peers
from fusioncam import METHODS
from harness import Source, Subject, in_turn, samples, timed, visiting
from meta import say

OURS, PEER = "fusioncam ablation-cam", "pytorch-grad-cam ablation-cam"
ALIKE = 0.99
TURNS = 5  # ours takes milliseconds, so use the median of several runs


@dataclass(frozen=True)
class Ablation(Subject):
    """Seconds an image."""

    name: ClassVar[str] = "ablation"
    what: ClassVar[str] = "seconds an image, float32, batch 1, all channels"

    model: str = "efficientnet_lite0"
    layer: str = "bn2"
    images: Path | None = None
    count: int = 10
    device: str = "cpu"
    one_process: bool = False

    def planned(self):
        """Return the number of rows, if there are enough images."""
        return self.count

    def rows(self):
        """Yield the measurements of each image."""
        source = Source(self.model, self.layer, self.device)
        model = source.load()
        with visiting(source, model, self.one_process) as ask:
            for number, (name, x, target) in enumerate(samples(model, self.images, self.count)):
                say(f"{self.name} {number + 1} of {self.count}: {name}")
                peer = ask(peers.gradcam_ablation_cam, x, target, self.layer)
                yield {"image": name, **row(model, x, target, number, peer)}

    def figures(self, rows):
        """Return the figures."""
        summary = [figures.figure(name, [row["seconds"][name] for row in rows], "s") for name in (OURS, PEER)]
        values = figures.ratios(rows, PEER, OURS)
        summary.append(figures.figure(f"{OURS}: times as fast as {PEER}", values, "x", aims={"median": ">= 50"}))
        alike = [row["correlation"][PEER] for row in rows]
        return [*summary, figures.figure(f"correlation with ours of {PEER}", alike)]


def row(model, x, target, number, peer):
    """Time both on one image and compare their heatmaps."""
    ours = partial(METHODS["ablation-cam"], model, x, target)
    if not number:
        ours()  # tracing, once per network, is not timed
    seconds, given = in_turn({OURS: ours, PEER: peer}, number)
    seconds[OURS] = median([seconds[OURS], *(timed(ours)[0] for _ in range(TURNS - 1))])
    alike = figures.correlation(given[OURS][0].cpu(), given[PEER])
    return {
        "seconds": seconds,
        "correlation": {PEER: alike},
        "agrees": {PEER: alike is not None and alike >= ALIKE},
    }
