"""MetaCAM (arXiv 2307.16863)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .common import percentile, probability, s
from .gradient import grad_cam
from .region import ablation_cam, score_cam

PARTNERS = (grad_cam, score_cam, ablation_cam)


def meta_cam(
    toy, x: Tensor, c: int, partners: Sequence[Callable[..., Tensor]] = PARTNERS, top: float | Sequence[float] = 10.0
) -> Tensor:
    """MetaCAM (arXiv 2307.16863): the number of partners with a pixel among their top k %, for the best k."""
    heatmaps = [partner(toy, x, c) for partner in partners]
    levels = (top,) if isinstance(top, int | float) else tuple(top)
    best, best_gain = None, -2.0
    for k in levels:
        M = consensus(heatmaps, k)
        gain = probability(toy, x * M, c) - probability(toy, x * (1 - M), c) if len(levels) > 1 else 0.0
        if gain > best_gain:
            best, best_gain = M, gain
    return best


def consensus(heatmaps: Sequence[Tensor], k: float) -> Tensor:
    votes = torch.zeros_like(heatmaps[0])
    for L in heatmaps:
        tau = percentile(L, 100 - k)
        votes = votes + torch.tensor([float(v >= tau - 1e-6 and v > 0) for v in L.flatten().tolist()]).reshape(
            L.shape
        )
    return s(votes / len(heatmaps))
