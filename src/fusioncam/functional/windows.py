"""Windows of a large input, and one map blended from those of its windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import torch
from torch import Tensor

# the range of indices along each side
Window = tuple[slice, ...]


def windows_of(sides: Sequence[int], size: Sequence[int], overlap: float) -> list[Window]:
    """Return windows that cover all sides; the last of each row ends at the border. A smaller side has one window.

    >>> [[(s.start, s.stop) for s in window] for window in windows_of((5, 2), (2, 2), 0)]
    [[(0, 2), (0, 2)], [(2, 4), (0, 2)], [(3, 5), (0, 2)]]
    """
    ranges = [_ranges(side, min(side, wanted), overlap) for side, wanted in zip(sides, size, strict=True)]
    return list(product(*ranges))


def _ranges(side: int, width: int, overlap: float) -> list[slice]:
    step = max(1, round(width * (1 - overlap)))
    starts = [*range(0, side - width, step), side - width]
    return [slice(start, start + width) for start in starts]


def part_of(x: Tensor, window: Window) -> Tensor:
    """Return the part of ``x`` ``(N, C, *s)`` in a window."""
    index = (slice(None), slice(None), *window)
    return x[index]


def blended(maps: Iterable[Tensor], windows: Sequence[Window], sides: Sequence[int]) -> Tensor:
    """Return one map ``(N, *sides)`` of the maps ``(N, *s)`` of windows; each counts most in its middle."""
    total, weights = torch.zeros(()), torch.zeros(())
    for values, window in zip(maps, windows, strict=True):
        if not total.dim():
            total = values.new_zeros(len(values), *sides)
            weights = values.new_zeros(*sides)
        tent = _tent(values.shape[1:]).to(values)
        index = (slice(None), *window)
        total[index] += tent * values
        weights[window] += tent
    return total / weights


def _tent(sides: Sequence[int]) -> Tensor:
    """Return weights ``(*sides)`` that fall linearly from the middle to the border."""
    whole = torch.ones(())
    for side in sides:
        places = (torch.arange(side) + 0.5) / side
        whole = whole[..., None] * (1 - (2 * places - 1).abs() + 1 / side)
    return whole
