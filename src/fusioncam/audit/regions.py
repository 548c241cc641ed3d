"""Regions of an image as booleans on the grid of :mod:`fusioncam.audit.heat`, ``(g, g)``."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fusioncam.audit.heat import Grid
from fusioncam.utils.optional import extra

Region = NDArray[np.bool_]

HIGHLIGHTED = 0.2  # share of the cells that counts as highlighted
_CONTRAST = 0.5  # of the largest excess, which the cells of a distinct region reach
_TRIES = 20  # to find a random position that overlaps little
_ROWS = ("upper", "", "lower")
_COLUMNS = ("left", "", "right")


def highlighted(grid: Grid, share: float = HIGHLIGHTED) -> Region:
    """Return the cells with the most heat.

    >>> highlighted(np.array([[1.0, 2.0], [3.0, 4.0]]), 0.5).tolist()
    [[False, False], [True, True]]
    """
    count = max(1, round(share * grid.size))
    region = np.zeros(grid.size, bool)
    region[np.argsort(-grid, axis=None, kind="stable")[:count]] = True
    return region.reshape(grid.shape)


def distinct_region(mean: Grid, usual: Grid) -> Region:
    """Return the connected cells around the one where ``mean`` exceeds ``usual`` most, with those next to them.

    Included are cells with at least half of the largest excess. The region is empty if there is no excess.
    """
    excess = mean - usual
    if excess.max() <= 1e-9:
        return np.zeros(mean.shape, bool)
    image = extra("audit", "scipy.ndimage", "audits")
    pieces, _ = image.label(excess >= _CONTRAST * excess.max(), np.ones((3, 3)))
    piece = pieces == pieces[np.unravel_index(excess.argmax(), excess.shape)]
    region: Region = image.binary_dilation(piece, np.ones((3, 3)))
    return region


def moved(region: Region, count: int, seed: int = 0) -> list[Region]:
    """Return the region moved to ``count`` random positions, so that all have its size and shape.

    What leaves the image enters at the opposite side. Of several random positions the first is used that overlaps
    the region by at most a tenth, else the one that overlaps it least.
    """
    rng = np.random.default_rng(seed)
    return [_moved(region, rng) for _ in range(count)]


def _moved(region: Region, rng: np.random.Generator) -> Region:
    best, least = region, region.sum() + 1
    for _ in range(_TRIES):
        other = np.roll(region, tuple(rng.integers(0, region.shape)), (0, 1))
        overlap = (other & region).sum()
        if overlap < least:
            best, least = other, overlap
        if overlap <= 0.1 * region.sum():
            break
    return best


def as_mask(region: Region, size: tuple[int, int]) -> Tensor:
    """Return the mask ``(H, W)`` that is 0 in the region and 1 elsewhere."""
    cells = torch.from_numpy(~region)[None, None].float()
    return F.interpolate(cells, size=size, mode="nearest")[0, 0]


def place_of(region: Region) -> str:
    """Return the position of a region in words.

    >>> place_of(np.array([[True, False, False], [False] * 3, [False] * 3])), place_of(np.eye(3) > 0)
    ('the upper left corner', 'the centre')
    """
    rows, columns = region.nonzero()
    if not len(rows):
        return "nowhere"
    down, across = ((index.mean() + 0.5) / side for index, side in zip((rows, columns), region.shape, strict=True))
    words = [_ROWS[int(min(2, down * 3))], _COLUMNS[int(min(2, across * 3))]]
    if all(words):
        return f"the {' '.join(words)} corner"
    return f"the {''.join(words)} edge" if any(words) else "the centre"
