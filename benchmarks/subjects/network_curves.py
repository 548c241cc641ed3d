"""Compare insertion and deletion of other networks with torch-cam's and with plain loops; weights are random."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import figures
from harness import Source, Subject, samples, visiting
from meta import say

from . import curves

NETWORKS = ("resnet50", "mobilenetv2_100", "convnext_tiny", "vgg16")


@dataclass(frozen=True)
class NetworkCurves(Subject):
    """A row is a network and an image: seconds for both areas of its Grad-CAM heatmap, after the areas of another."""

    name: ClassVar[str] = "network-curves"
    what: ClassVar[str] = "seconds for insertion and deletion of one heatmap, random weights, float32"

    networks: tuple[str, ...] = NETWORKS
    steps: int = 113
    images: Path | None = None
    count: int = 1
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
                    if not number:  # what is done once per network, such as converting it, is not timed
                        curves.ours(model, x, target, x.new_ones(1, *x.shape[2:]).cumsum(2), 8)
                    measured = curves.row(model, x, target, number, ask, self.steps, (1,))
                    yield {"image": name, "network": network, **measured}

    def figures(self, rows):
        """Return the figures of each network."""
        return figures.by_network(rows, of)


def of(rows, network):
    """Return the figures of one network."""
    names = (curves.OURS, curves.TORCHCAM, curves.ONE)
    summary = [(name, [row["seconds"][name] for row in rows], "s", {}) for name in names]
    summary += [
        ("times as fast as the faster of the others", curves.over_faster(rows), "x", {"median": ">= 1.5"}),
        ("largest difference between the areas", [max(row["difference"].values()) for row in rows], "", {}),
    ]
    return [figures.figure(f"{network}: {what}", values, unit, aims=aims) for what, values, unit, aims in summary]
