"""Compare Fusion-CAM of a few scored masks with the exact one: seconds, similarity and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import figures
from fusioncam import METHODS, Speed, load_model
from fusioncam.methods.fusion import FusionCAM
from fusioncam.metrics.curves import Deletion, Insertion
from fusioncam.metrics.faithfulness import AverageDrop, IncreaseInConfidence
from harness import Subject, in_turn, samples
from meta import say

# aims: times as fast; correlation, median and lowest
AIMS = {"bn2": (">= 10", {"median": ">= 0.995", "lowest": ">= 0.97"}), "blocks.6": (">= 4", {"median": ">= 0.99"})}
JUDGES = {
    "average drop": AverageDrop(),
    "increase in confidence": IncreaseInConfidence(),
    "insertion": Insertion(),
    "deletion": Deletion(),
}
EXACT, FEW = "exact", "budget"


@dataclass(frozen=True)
class Budget(Subject):
    """Both heatmaps of every image at every layer. The exact one is computed once for all comparisons.

    ``difference`` is the value of the budgeted heatmap minus that of the exact one.
    """

    name: ClassVar[str] = "budget"
    what: ClassVar[str] = "Fusion-CAM from a few scored masks against the exact one, float32, batch 1"

    model: str = "efficientnet_lite0"
    layers: tuple[str, ...] = ("bn2", "blocks.6")
    budget: int = 64
    images: Path | None = None
    count: int = 100
    seed: int = 0
    device: str = "cpu"
    engine: str = "torch"

    def planned(self):
        """Return the number of rows, if there are enough images."""
        return self.count

    def rows(self):
        """Yield the measurements of each image."""
        model = load_model(self.model, device=self.device, speed=Speed(engine=self.engine))
        models = {layer: model.with_layer(layer) for layer in self.layers}
        for number, (name, x, target) in enumerate(samples(model, self.images, self.count)):
            say(f"{self.name} {number + 1} of {self.count}: {name}")
            at_layers = {layer: self.row(one, x, target, number) for layer, one in models.items()}
            yield {"image": name, "layers": at_layers}

    def row(self, model, x, target, number):
        """Compute both heatmaps and their metrics."""
        measured, maps = both(model, x, target, number, self.budget)
        values = {
            name: {one: value(metric(model, x, target, given)) for one, given in maps.items()}
            for name, metric in JUDGES.items()
        }
        return measured | {"values": values}

    def figures(self, rows):
        """Return the figures of each layer."""
        return [
            summary for layer in self.layers for summary in self.at(layer, [row["layers"][layer] for row in rows])
        ]

    def at(self, layer, rows):
        """Return the figures of one layer."""
        fast, alike = AIMS.get(layer, (None, None))
        name = f"fusion-cam(budget={self.budget}) at {layer}"
        summary = [
            figures.figure(f"{one} at {layer}", [row["seconds"][key] for row in rows], "s")
            for key, one in ((EXACT, "fusion-cam"), (FEW, f"fusion-cam(budget={self.budget})"))
        ]
        ratios = figures.ratios(rows, EXACT, FEW)
        summary.append(figures.figure(f"{name}: times as fast as exact", ratios, "x", aims=fast and {"median": fast}))
        values = [row["correlation"] for row in rows]
        summary.append(figures.figure(f"{name}: correlation with the exact map", values, aims=alike))
        return summary + [self.effect(name, judge, rows) for judge in JUDGES]

    def effect(self, name, judge, rows):
        """Return the effect of the budget on one metric: there is none if the interval contains 0."""
        values = [row["values"][judge] for row in rows]
        values = [one for one in values if None not in one.values()]
        differences = [one[FEW] - one[EXACT] for one in values]
        return figures.figure(
            f"{name}: {judge}, difference from exact (whose mean is {figures.number(mean(values, EXACT))})",
            differences,
            interval=figures.interval(differences, self.seed),
            aims={"interval": "in 0"},
        )


def both(model, x, target, number, budget):
    """Return the seconds of both on one image with their correlation, and the heatmaps."""
    methods = {EXACT: METHODS["fusion-cam"], FEW: FusionCAM(budget=budget)}
    contestants = {one: partial(method, model, x, target) for one, method in methods.items()}
    seconds, maps = in_turn(contestants, number)
    return {"seconds": seconds, "correlation": figures.correlation(maps[EXACT].cpu(), maps[FEW].cpu())}, maps


def value(given):
    """Return the value of a metric for one image; None if it is undefined."""
    return None if given.isnan().any() else given.item()


def mean(values, key):
    return sum(one[key] for one in values) / len(values) if values else float("nan")
