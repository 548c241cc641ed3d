"""The guided filter: smooth maps inside objects, and keep the edges of an image (He, Sun and Tang 2013)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def guided_filter(maps: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """Return maps ``(N, *s)`` as local linear functions of the guide ``(N, C, *s)``.

    He, Sun and Tang 2013, TPAMI 35(6), 10.1109/TPAMI.2012.213, equations 14 to 16. In each window of
    ``2 radius + 1`` locations a side, the map is fitted as ``a . guide + b`` by least squares, with the penalty
    ``eps |a|^2``. Each location gets the mean of the fits of the windows that contain it. Windows are cut at the
    border. A constant map stays as it is; where the guide is constant, the map is averaged over windows, twice.
    """
    channels = guide.shape[1]
    mean_guide, mean_map = _window_mean(guide, radius), _window_mean(maps[:, None], radius)
    products = (guide[:, :, None] * guide[:, None]).flatten(1, 2)
    variance = _window_mean(products, radius) - (mean_guide[:, :, None] * mean_guide[:, None]).flatten(1, 2)
    covariance = _window_mean(guide * maps[:, None], radius) - mean_guide * mean_map
    matrices = variance.movedim(1, -1).reshape(*covariance.movedim(1, -1).shape, channels)
    penalty = eps * torch.eye(channels).to(guide)
    a = torch.linalg.solve(matrices + penalty, covariance.movedim(1, -1)[..., None])[..., 0].movedim(-1, 1)
    b = mean_map - (a * mean_guide).sum(1, keepdim=True)
    return ((_window_mean(a, radius) * guide).sum(1, keepdim=True) + _window_mean(b, radius))[:, 0]


def _window_mean(maps: Tensor, radius: int) -> Tensor:
    """Return the means of maps ``(N, C, *s)`` over the windows around each location, one axis after the other."""
    for axis in range(2, maps.dim()):
        place = torch.arange(maps.shape[axis], device=maps.device)
        first, end = (place - radius).clamp(min=0), (place + radius + 1).clamp(max=len(place))
        sums = F.pad(maps.movedim(axis, -1).cumsum(-1), (1, 0))
        maps = ((sums[..., end] - sums[..., first]) / (end - first)).movedim(-1, axis)
    return maps
