"""Where the heat of a heatmap lies: pure functions of arrays.

The heat of a heatmap is its values divided by their sum, so that shares of it can be compared between images. Grids
are heat on a coarse grid of ``SIDE`` cells a side, ``(g, g)``, whose cells sum to 1; the grid of a heatmap of zeros
is zero.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Grid = NDArray[np.float64]

SIDE = 14
BORDER = 0.1  # width of the border, as a share of each side
CORNER = 0.25  # sides of a corner, as a share of those of the image
# the shares of heat that is spread evenly over the image
EVEN = {"border": 1 - (1 - 2 * BORDER) ** 2, "corner": CORNER**2}


def grid_of(heatmap: Tensor, side: int = SIDE) -> Grid:
    """Return the heat ``(g, g)`` of a heatmap ``(H, W)``; a heatmap of fewer pixels a side has as many cells.

    >>> grid_of(torch.tensor([[0.0, 1.0], [1.0, 2.0]])).tolist()
    [[0.0, 0.25], [0.25, 0.5]]
    """
    cells = (min(side, heatmap.shape[0]), min(side, heatmap.shape[1]))
    grid: Grid = torch.nn.functional.adaptive_avg_pool2d(heatmap[None].double(), cells)[0].numpy()
    total = grid.sum()
    return grid / total if total > 0 else grid


def border_share(heatmap: Tensor) -> float:
    """Return the share of the heat in the outermost tenth of each side.

    >>> round(border_share(torch.ones(10, 10)), 2)
    0.36
    """
    height, width = heatmap.shape
    down, across = round(height * BORDER), round(width * BORDER)
    return max(0.0, 1 - _share(heatmap, heatmap[down : height - down, across : width - across]))


def corner_share(heatmap: Tensor) -> float:
    """Return the share of the heat in the corner that has most of it; a corner is a quarter of each side.

    >>> corner_share(torch.eye(4))
    0.25
    """
    height, width = (max(1, round(side * CORNER)) for side in heatmap.shape)
    rows = (slice(height), slice(heatmap.shape[0] - height, None))
    columns = (slice(width), slice(heatmap.shape[1] - width, None))
    return max(_share(heatmap, heatmap[row, column]) for row in rows for column in columns)


def object_share(heatmap: Tensor, mask: Tensor) -> float:
    """Return the share of the heat within a mask ``(H, W)`` of booleans.

    >>> object_share(torch.tensor([[1.0, 3.0]]), torch.tensor([[True, False]]))
    0.25
    """
    return _share(heatmap, heatmap[mask])


def _share(heatmap: Tensor, part: Tensor) -> float:
    total = heatmap.sum().item()
    return part.sum().item() / total if total > 0 else 0.0


def similarity(first: Grid, second: Grid) -> float:
    """Return the correlation of two grids, 0 if one of them is constant.

    >>> round(similarity(np.eye(2), np.eye(2)), 6), round(similarity(np.eye(2), 1 - np.eye(2)), 6)
    (1.0, -1.0)
    """
    a, b = first - first.mean(), second - second.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / size) if size > 0 else 0.0


def mean_and_deviation(grids: Grid) -> tuple[Grid, Grid]:
    """Return the mean ``(g, g)`` of grids ``(N, g, g)`` and the standard deviation of each cell."""
    return grids.mean(0), grids.std(0)


def spread(grids: Grid) -> float:
    """Return how much grids ``(N, g, g)`` differ: 1 minus their mean correlation with their mean.

    >>> spread(np.stack([np.eye(2), np.eye(2)]))
    0.0
    """
    mean = grids.mean(0)
    return round(1 - float(np.mean([similarity(grid, mean) for grid in grids])), 12)
