"""Polygons around the highlighted pieces of a heatmap."""

from __future__ import annotations

from typing import Any

import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray

Polygon = NDArray[np.float64]


def outlines(heatmap: NDArray[np.float32], level: float) -> list[Polygon]:
    """Return the polygons around the values of a heatmap ``(H, W)`` that are at least ``level``, in its pixels."""
    if not heatmap.any():
        return []
    # pixels have a width: their centres are at 0.5, and the outermost ones reach the edge
    padded = np.pad(heatmap, 1, "edge")
    filled: Any = contour_generator(z=padded, fill_type=FillType.OuterOffset).filled(max(level, 1e-6), np.inf)
    outer = [piece[: offset[1] - 1] - 0.5 for piece, offset in zip(*filled, strict=True)]  # the last is the first
    height, width = heatmap.shape
    return [np.clip(one, 0, [width, height]) for one in outer]


def polygon_area(polygon: Polygon) -> float:
    """Return the area of a polygon ``(P, 2)``.

    >>> polygon_area(np.array([[0.0, 0], [2, 0], [2, 1], [0, 1]]))
    2.0
    """
    x, y = polygon.T
    return abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2


def polygon_box(polygon: Polygon) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a polygon ``(P, 2)``."""
    left, top = polygon.min(0).tolist()
    right, bottom = polygon.max(0).tolist()
    return left, top, right, bottom
