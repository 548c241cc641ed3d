"""Store a heatmap as few numbers: the smallest grid that reproduces it when upsampled to the input size.

Most heatmaps are a layer-sized map that was upsampled and scaled to [0, 1]. Both steps are linear and preserve
constants, so that least squares finds a map of the layer's size that reproduces the heatmap. For heatmaps that were
thresholded or fused per pixel the result is close. The error is measured for every heatmap, and a finer grid is
chosen if it is too large.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import upsample

Size = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """A small map ``values`` ``(h, w)`` float16, and the root mean square and maximum error of its heatmap."""

    values: Tensor
    rms: float
    largest: float


def sizes_for(size: Size, layers: Iterable[Sequence[int]] = ()) -> list[Size]:
    """Return the grid sizes to try for an input of ``size``, smallest first: those of layers, and successive halves.

    >>> sizes_for((224, 224), [(9, 9)])
    [(7, 7), (9, 9), (14, 14), (28, 28), (56, 56), (112, 112), (224, 224)]
    """
    halves = {(math.ceil(size[0] / 2**n), math.ceil(size[1] / 2**n)) for n in range(6)}
    fitting = {(one[0], one[1]) for one in layers if len(one) == 2 and one[0] <= size[0] and one[1] <= size[1]}
    return sorted(halves | fitting, key=lambda one: (one[0] * one[1], one))


def as_grid(heatmap: Tensor, sizes: Iterable[Size], tolerance: float) -> Grid:
    """Return the first grid whose heatmap differs from ``heatmap`` ``(H, W)`` by at most ``tolerance`` (RMS).

    If no size suffices, return the grid of the last one.
    """
    grid = None
    for size in sizes:
        grid = _fit(heatmap, size)
        if grid.rms <= tolerance:
            break
    assert grid is not None
    return grid


def from_grid(values: Tensor, size: Size) -> Tensor:
    """Return the heatmap ``(H, W)`` float32 in [0, 1] of a grid ``(h, w)``."""
    return upsample(values[None].float(), size)[0].clamp(0, 1)


def _fit(heatmap: Tensor, size: Size) -> Grid:
    rows, columns = (_inverse_upsampling(small, large) for small, large in zip(size, heatmap.shape, strict=True))
    values = (rows @ heatmap.double() @ columns.T).half()
    error = from_grid(values, (heatmap.shape[0], heatmap.shape[1])) - heatmap
    return Grid(values, error.square().mean().sqrt().item(), error.abs().max().item())


@lru_cache(maxsize=256)
def _inverse_upsampling(small: int, large: int) -> Tensor:
    """Return the pseudo-inverse ``(small, large)`` of upsampling along one axis."""
    inverse: Tensor = torch.linalg.pinv(upsample(torch.eye(small, dtype=torch.float64), (large,)).T)
    return inverse
