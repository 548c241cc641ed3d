"""A heatmap as few numbers: the smallest grid that gives it back when it is brought to the input's size.

Most heatmaps are a layer's map that was upsampled and stretched to [0, 1]. Both are linear and leave constants alone,
so that least squares find a map of the layer's size that gives the same heatmap. One that was cut or fused pixel by
pixel comes near. How near is measured for every heatmap, and a finer grid is taken where it is not near enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import upsample

Size = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """A small map ``(h, w)`` float16, and how far the heatmap that it gives is off: root mean square, and at most."""

    values: Tensor
    rms: float
    largest: float


def sizes_for(size: Size, layers: Iterable[Sequence[int]] = ()) -> list[Size]:
    """List the grids that are tried for an input of this size, small ones first: those of layers, and by halves.

    >>> sizes_for((224, 224), [(9, 9)])
    [(7, 7), (9, 9), (14, 14), (28, 28), (56, 56), (112, 112), (224, 224)]
    """
    halves = {(math.ceil(size[0] / 2**n), math.ceil(size[1] / 2**n)) for n in range(6)}
    fitting = {(one[0], one[1]) for one in layers if len(one) == 2 and one[0] <= size[0] and one[1] <= size[1]}
    return sorted(halves | fitting, key=lambda one: (one[0] * one[1], one))


def as_grid(heatmap: Tensor, sizes: Iterable[Size], tolerance: float) -> Grid:
    """Give the first grid whose heatmap is at most ``tolerance`` off ``(H, W)``, or that of the last size."""
    grid = None
    for size in sizes:
        grid = _fitted(heatmap, size)
        if grid.rms <= tolerance:
            break
    assert grid is not None
    return grid


def from_grid(values: Tensor, size: Size) -> Tensor:
    """Give the heatmap ``(H, W)`` float32 in [0, 1] of a grid ``(h, w)``."""
    return upsample(values[None].float(), size)[0].clamp(0, 1)


def _fitted(heatmap: Tensor, size: Size) -> Grid:
    rows, columns = (_inverse(small, large) for small, large in zip(size, heatmap.shape, strict=True))
    values = (rows @ heatmap.double() @ columns.T).half()
    off = from_grid(values, (heatmap.shape[0], heatmap.shape[1])) - heatmap
    return Grid(values, off.square().mean().sqrt().item(), off.abs().max().item())


@cache
def _inverse(small: int, large: int) -> Tensor:
    """Give the pseudo-inverse ``(small, large)`` of upsampling along one side."""
    inverse: Tensor = torch.linalg.pinv(upsample(torch.eye(small, dtype=torch.float64), (large,)).T)
    return inverse
