"""What every metric is measured on in the tests."""

from __future__ import annotations

import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.data.ground_truth import Truth
from fusioncam.metrics.registry import METRICS
from linear_case import heatmaps_for
from toys import problem

METHOD = METHODS["grad-cam"]


# the mosaics are of images of different classes, and costs are of the clock
ALONE = [name for name in METRICS if name not in ("grid-pointing-game", "seconds", "peak-memory")]


# rounding swaps the ranks of pixels that are nearly the same
RANKING = ("model-randomisation", "noise-stability")


def case(toy_name="small", images=3, dtype=torch.float64):
    """Give all that a metric may be called with."""
    toy, x, target = problem(toy_name, images=images)
    sides = x.shape[2:]
    low, high = [1.0] * len(sides), [side - 2.0 for side in sides]
    truth = Truth(sides, [[[*low, *high]]] * images, torch.ones(images, *sides, dtype=torch.bool).tril())
    model = ExplainedModel(toy.to(dtype), "features")
    return model, x.to(dtype), target, heatmaps_for(x.to(dtype)), truth, METHOD
