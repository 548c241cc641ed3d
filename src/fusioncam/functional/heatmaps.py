"""Pure tensor maths on maps: what the methods do once the network has spoken.

Shapes: activations and gradients ``(N, K, *s)``, weights ``(N, K)``, cams and heatmaps ``(N, *s)``,
where ``s`` is one, two or three spatial sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def expand_like(values: Tensor, maps: Tensor) -> Tensor:
    """Give ``(N,)`` values the trailing sides of ``(N, *s)`` maps, so that they broadcast."""
    return values.reshape(values.shape + (1,) * (maps.dim() - values.dim()))


def is_flat(maps: Tensor) -> Tensor:
    """Say which of the maps ``(N, *s)`` are constant, as ``(N,)`` booleans.

    A range of a few rounding errors is constant too: stretched to [0, 1] it would show noise as evidence.
    """
    flat = maps.flatten(1)
    return _rounding_alone(flat.amin(1), flat.amax(1))


def _rounding_alone(low: Tensor, high: Tensor) -> Tensor:
    return high - low <= 4 * torch.finfo(low.dtype).eps * torch.maximum(low.abs(), high.abs())


def minmax(maps: Tensor) -> Tensor:
    """Stretch each map ``(N, *s)`` to [0, 1]; a constant map becomes zeros.

    >>> minmax(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])).tolist()
    [[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]]
    """
    values = maps.flatten(1)
    low, high = values.amin(1), values.amax(1)
    # what is divided by infinity is 0
    size = torch.where(_rounding_alone(low, high), torch.inf, high - low)
    return (maps - expand_like(low, maps)) / expand_like(size, maps)


def relu_above_rounding(maps: Tensor) -> Tensor:
    """Set to 0 what is below 0 in maps ``(N, *s)``, and what is above it by rounding alone.

    Where a map is negative, a residue of the arithmetic would otherwise be all that is left, and be stretched to 1.
    """
    rounding = 4 * torch.finfo(maps.dtype).eps * maps.abs().flatten(1).amax(1)
    return torch.where(maps > expand_like(rounding, maps), maps, 0)


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bring maps ``(N, *s)`` to ``(N, *size)``, linearly, with pixel centres in place (no aligned corners)."""
    mode = _MODES[maps.dim() - 1]
    return F.interpolate(maps[:, None], size=tuple(size), mode=mode, align_corners=False)[:, 0]


def weighted_sum(activations: Tensor, weights: Tensor) -> Tensor:
    """Sum the channels ``(N, K, *s)`` by their weights ``(N, K)``: the raw cam ``(N, *s)``.

    >>> weighted_sum(torch.tensor([[[1.0, 2.0], [10.0, 20.0]]]), torch.tensor([[1.0, 0.5]])).tolist()
    [[6.0, 12.0]]
    """
    return torch.einsum("nk...,nk->n...", activations, weights)


def percentile(maps: Tensor, q: float) -> Tensor:
    """Give the ``q``-th percentile of each map ``(N, *s)``, between neighbours linearly, as ``(N,)``.

    ``torch.quantile`` refuses more than 16 million values; sorting does not.
    """
    values = maps.flatten(1).sort(dim=1).values
    place = q / 100 * (values.shape[1] - 1)
    below = int(place)
    above = min(below + 1, values.shape[1] - 1)
    return torch.lerp(values[:, below], values[:, above], place - below)


def denoise(heatmaps: Tensor, theta: float, *, strict: bool = False) -> Tensor:
    """Set to 0 what lies below each map's ``theta``-th percentile (Fusion-CAM, step 1).

    ``strict`` zeroes what lies *at* the percentile too.

    >>> denoise(torch.tensor([[0.0, 0.1, 0.2, 0.3, 1.0]]), theta=50).tolist()
    [[0.0, 0.0, 0.20000000298023224, 0.30000001192092896, 1.0]]
    """
    threshold = expand_like(percentile(heatmaps, theta), heatmaps)
    keep = heatmaps > threshold if strict else heatmaps >= threshold
    return torch.where(keep, heatmaps, 0)


def similarity_fusion(first: Tensor, second: Tensor) -> Tensor:
    """Fuse two maps pixel by pixel (Fusion-CAM, step 3): where they agree the larger, where not the mean.

    With ``S = clip(1 - |a - b|, 0, 1)`` it gives ``S max(a, b) + (1 - S) (a + b) / 2``.

    >>> similarity_fusion(torch.tensor([0.5, 1.0]), torch.tensor([0.5, 0.0])).tolist()
    [0.5, 0.5]
    """
    similarity = (1 - (first - second).abs()).clamp(0, 1)
    return similarity * torch.maximum(first, second) + (1 - similarity) * (first + second) / 2


def precise(values: Tensor) -> Tensor:
    """Give float32 in place of half precision, so that sums and softmaxes over many channels hold."""
    return values if values.dtype == torch.float64 else values.float()
