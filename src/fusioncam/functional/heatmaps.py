"""Operations on cams and heatmaps.

Shapes: activations and gradients ``(N, K, *s)``, weights ``(N, K)``, cams and heatmaps ``(N, *s)``, where ``s`` is
one, two or three spatial sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def expand_like(values: Tensor, maps: Tensor) -> Tensor:
    """Return ``(N,)`` values with as many dimensions as ``(N, *s)`` maps, so that they broadcast."""
    return values.reshape(values.shape + (1,) * (maps.dim() - values.dim()))


def is_flat(maps: Tensor) -> Tensor:
    """Return which of the maps ``(N, *s)`` are constant, as ``(N,)`` booleans.

    A range of a few rounding errors counts as constant: rescaled to [0, 1] it would show noise as evidence.
    """
    flat = maps.flatten(1)
    return _within_rounding(flat.amin(1), flat.amax(1))


def _within_rounding(low: Tensor, high: Tensor) -> Tensor:
    return high - low <= 4 * torch.finfo(low.dtype).eps * torch.maximum(low.abs(), high.abs())


def minmax(maps: Tensor) -> Tensor:
    """Rescale each map ``(N, *s)`` to [0, 1]; a constant map becomes zeros.

    >>> minmax(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])).tolist()
    [[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]]
    """
    values = maps.flatten(1)
    low, high = values.amin(1), values.amax(1)
    # a division by infinity yields 0
    size = torch.where(_within_rounding(low, high), torch.inf, high - low)
    return (maps - expand_like(low, maps)) / expand_like(size, maps)


def relu_above_rounding(maps: Tensor) -> Tensor:
    """Set to 0 the values of maps ``(N, *s)`` that are negative, or positive only by rounding.

    Otherwise a map without positive values would keep a residue of the arithmetic, which is then rescaled to 1.
    """
    rounding = 4 * torch.finfo(maps.dtype).eps * maps.abs().flatten(1).amax(1)
    return torch.where(maps > expand_like(rounding, maps), maps, 0)


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps ``(N, *s)`` to ``(N, *size)`` by linear interpolation, without aligned corners."""
    mode = _MODES[maps.dim() - 1]
    return F.interpolate(maps[:, None], size=tuple(size), mode=mode, align_corners=False)[:, 0]


def pooled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps ``(N, *s)`` to ``(N, *size)`` by averages over areas."""
    pools = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
    pool: Callable[..., Tensor] = pools[maps.dim() - 2]
    return pool(maps[:, None], tuple(size))[:, 0]


def weighted_sum(activations: Tensor, weights: Tensor) -> Tensor:
    """Sum the channels ``(N, K, *s)`` with their weights ``(N, K)``: the raw cam ``(N, *s)``.

    >>> weighted_sum(torch.tensor([[[1.0, 2.0], [10.0, 20.0]]]), torch.tensor([[1.0, 0.5]])).tolist()
    [[6.0, 12.0]]
    """
    return torch.einsum("nk...,nk->n...", activations, weights)


def percentile(maps: Tensor, q: float) -> Tensor:
    """Return the ``q``-th percentile of each map ``(N, *s)`` as ``(N,)``, with linear interpolation.

    ``torch.quantile`` is limited to 16 million values; sorting is not.
    """
    values = maps.flatten(1).sort(dim=1).values
    position = q / 100 * (values.shape[1] - 1)
    below = int(position)
    above = min(below + 1, values.shape[1] - 1)
    return torch.lerp(values[:, below], values[:, above], position - below)


def denoise(heatmaps: Tensor, theta: float, *, strict: bool = False) -> Tensor:
    """Set to 0 the values below each map's ``theta``-th percentile (Fusion-CAM, step 1).

    ``strict`` also zeroes the values at the percentile.

    >>> denoise(torch.tensor([[0.0, 0.1, 0.2, 0.3, 1.0]]), theta=50).tolist()
    [[0.0, 0.0, 0.20000000298023224, 0.30000001192092896, 1.0]]
    """
    threshold = expand_like(percentile(heatmaps, theta), heatmaps)
    keep = heatmaps > threshold if strict else heatmaps >= threshold
    return torch.where(keep, heatmaps, 0)


def among_highest(maps: Tensor, top: float) -> Tensor:
    """Return which values of maps ``(N, *s)`` are among the highest ``top`` percent of their map, as booleans.

    >>> among_highest(torch.tensor([[0.0, 0.1, 0.2, 0.3, 1.0]]), top=40).tolist()
    [[False, False, False, True, True]]
    """
    # the tolerance includes all equal values, although they may differ by rounding
    return maps >= expand_like(percentile(maps, 100 - top), maps) - 1e-6


def similarity_fusion(first: Tensor, second: Tensor) -> Tensor:
    """Fuse two maps pixel by pixel: the maximum where they agree, the mean where they differ (Fusion-CAM, step 3).

    With ``S = clip(1 - |a - b|, 0, 1)`` this is ``S max(a, b) + (1 - S) (a + b) / 2``.

    >>> similarity_fusion(torch.tensor([0.5, 1.0]), torch.tensor([0.5, 0.0])).tolist()
    [0.5, 0.5]
    """
    similarity = (1 - (first - second).abs()).clamp(0, 1)
    return similarity * torch.maximum(first, second) + (1 - similarity) * (first + second) / 2


def precise(values: Tensor) -> Tensor:
    """Return half precision as float32, so that sums and softmaxes over many channels stay accurate.

    float64 is returned unchanged.
    """
    return values if values.dtype == torch.float64 else values.float()
