"""How much one region of an image matters for the explained class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fusioncam.errors import ShapeError
from fusioncam.explanations.explanation import Explanation


@dataclass(frozen=True)
class RegionEffect:
    """The probability of a class for the whole image, without a region, and for the region alone."""

    whole: float
    without: float
    alone: float


def region_effect(explanation: Explanation, region: Tensor) -> RegionEffect:
    """Measure how the class's probability changes without a region ``(H, W)``, and for the region alone.

    ``region`` is 1 inside and has the size of the heatmap. What is hidden is replaced by the blurred image, as in the
    trust card. This takes two passes. Raises :class:`ShapeError` for another size.
    """
    if region.shape != explanation.heatmap.shape:
        expected, got = tuple(explanation.heatmap.shape), tuple(region.shape)
        raise ShapeError(f"the region must have the size of the heatmap, {expected}, got {got}")
    case = explanation.provenance
    masks = torch.stack([1 - region, region])[:, None].to(case.x)
    scores = case.model.masked_scores(case.x, masks, case.target, readout="probability", fill="blur")[:, 0]
    return RegionEffect(explanation.probability, float(scores[0]), float(scores[1]))


def disc(size: tuple[int, int], x: float, y: float, radius: float) -> Tensor:
    """Return a mask ``(H, W)`` that is 1 within a disc; ``x`` and ``y`` are shares of the width and the height.

    ``radius`` is a share of the shorter side.

    >>> disc((3, 4), 0.5, 0.5, 0.34).tolist()
    [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    height, width = size
    rows, columns = (torch.arange(side) + 0.5 for side in size)
    distance = torch.hypot(rows[:, None] - y * height, columns[None] - x * width)
    return (distance <= radius * min(size)).float()
