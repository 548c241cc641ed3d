"""The inputs on which the tests compute every metric."""

from __future__ import annotations

import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.data.ground_truth import Truth
from fusioncam.metrics.registry import METRICS
from linear_case import heatmaps_for
from toys import problem

METHOD = METHODS["grad-cam"]


# metrics of single images with repeatable values: a mosaic needs several classes, a stamp a reaction,
# and time and memory vary
ALONE = [
    name
    for name in METRICS
    if name not in ("grid-pointing-game", "grid-contrast", "planted-shortcut", "seconds", "peak-memory")
]


# metrics of ranks: rounding exchanges the ranks of nearly equal pixels
RANKING = ("model-randomisation", "smooth-model-randomisation", "noise-stability", "contrast", "idsds")


def case(toy_name="small", images=3, dtype=torch.float64):
    """Return all arguments of a metric: model, x, target, heatmaps, truth, method."""
    toy, x, target = problem(toy_name, images=images)
    sides = x.shape[2:]
    low, high = [1.0] * len(sides), [side - 2.0 for side in sides]
    truth = Truth(sides, [[[*low, *high]]] * images, torch.ones(images, *sides, dtype=torch.bool).tril())
    model = ExplainedModel(toy.to(dtype), "features")
    return model, x.to(dtype), target, heatmaps_for(x.to(dtype)), truth, METHOD
