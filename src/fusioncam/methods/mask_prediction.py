"""Predict the scores of random masks from those of a few of them.

The score of a masked image is a smooth function of what is shown. A Gaussian process learns it from a few masks, and
predicts the scores of thousands of others, as many as RISE needs to average out their randomness.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fusioncam.functional.gaussian_process import predict
from fusioncam.functional.heatmaps import pooled
from fusioncam.functional.masks import MaskSource, gaussian_blur

# masks are compared at this many locations per cell and side, after a blur with this deviation in locations: half a
# cell. Measured with 64 of 4,000 masks on ten images, other deviations predict worse
_PER_CELL, _SIGMA = 2, 1.0
# probabilities are clipped to this distance from 0 and 1 before their logarithm
_LEAST = 1e-6


def predict_scores(scores: Tensor, masks: MaskSource, cells: int, readout: str) -> Tensor:
    """Return the scores ``(M, N)`` of all masks ``(M, N, *s)`` from those of the first ones, ``(B, N)``.

    All images have the same masks, which consist of ``cells`` a side. Probabilities are predicted as log-odds,
    because a product of masks multiplies probabilities rather than adding them.
    """
    points = _points(masks, cells)
    probabilities = readout == "probability"
    values = torch.logit(scores.double(), eps=_LEAST) if probabilities else scores.double()
    predicted = [predict(points[: len(scores)], image, points)[0] for image in values.T.to(points.device)]
    others = torch.stack(predicted, 1)[len(scores) :]
    return torch.cat([scores, (others.sigmoid() if probabilities else others).to(scores)])


def _points(masks: MaskSource, cells: int) -> Tensor:
    """Return the masks as points ``(M, D)`` with distances of about 1."""
    sides = [min(_PER_CELL * cells, side) for side in masks.shape[2:]]
    count = masks.shape[0]
    batches = [torch.arange(start, min(start + 64, count)) for start in range(0, count, 64)]
    maps = torch.cat([pooled(masks[batch, torch.zeros_like(batch)], sides) for batch in batches]).double()
    points = gaussian_blur(maps[:, None], _SIGMA).flatten(1)
    distance = (2 * (points - points.mean(0)).square().sum(1).mean()).sqrt()  # root mean square over all pairs
    return points / torch.where(distance > 0, distance, 1)
