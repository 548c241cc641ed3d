"""The line at half heat and the boxes of a heatmap as paths of SVG."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusioncam.functional.polygons import outlines, polygon_area, polygon_box
from fusioncam.functional.regions import threshold_of
from fusioncam.visualization import contour_lines

SIDE = 256  # units of a path along each side of a heatmap
_CELLS = 64  # a line is that of a heatmap with at most so many values along a side
HALF = 0.5
_MIN_AREA = SIDE  # square units, 0.4 % of a heatmap: a smaller piece has no box


class Outlines(NamedTuple):
    """Two paths: the line at half heat, and the boxes around the pieces that Otsu's rule selects."""

    line: str
    boxes: str


def outlines_of(heatmap: NDArray[np.float32], slices: int = 1) -> Outlines:
    """Return the outlines of a heatmap ``(H, W)`` in [0, 1], in units of which each side has ``SIDE``.

    It may be ``(slices * H, W)``, the slices of a volume one below the other. A volume has no boxes.
    """
    parts = [_reduced(part) for part in np.split(heatmap, slices)]
    lines = [
        _path(_scaled(line, part) + np.array([0, SIDE * index]))
        for index, part in enumerate(parts)
        for line in _lines(part)
    ]
    return Outlines("".join(lines), _boxes(parts[0]) if slices == 1 else "")


def _reduced(heatmap: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = (min(side, _CELLS) for side in heatmap.shape)
    image = Image.fromarray(np.asarray(heatmap, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def _lines(heatmap: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Return the lines ``(P, 2)`` at half heat up to the edges of the heatmap, in its pixels."""
    height, width = heatmap.shape
    lines = contour_lines(np.pad(heatmap, 1, "edge"), HALF)
    return [np.clip(line - 1, 0, [width, height]) for line in lines]


def _scaled(points: NDArray[np.float64], heatmap: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return points ``(P, 2)`` of a heatmap in units."""
    scaled: NDArray[np.float64] = np.round(points * (SIDE / np.array(heatmap.shape[::-1])))
    return scaled


def _path(points: NDArray[np.float64]) -> str:
    """Return the path along points ``(P, 2)`` in units.

    >>> _path(np.array([[0, 10], [2, 10], [2, 10], [2, 9]]))
    'M0 10l2 0 0-1'
    """
    steps = np.diff(points, axis=0).astype(int)
    moves = " ".join(f"{x} {y}" for x, y in steps[steps.any(axis=1)]).replace(" -", "-")
    return f"M{points[0, 0]:.0f} {points[0, 1]:.0f}l{moves}" if moves else ""


def _boxes(heatmap: NDArray[np.float32]) -> str:
    """Return the path of the boxes around the pieces that Otsu's rule selects, without very small pieces.

    >>> _boxes(np.float32([[1, 0], [0, 0]]))
    'M0 0h128v128h-128z'
    """
    pieces = [_scaled(piece, heatmap) for piece in outlines(heatmap, threshold_of(heatmap, "otsu"))]
    boxes = [polygon_box(piece) for piece in pieces if polygon_area(piece) >= _MIN_AREA]
    return "".join(
        f"M{left:.0f} {top:.0f}h{right - left:.0f}v{bottom - top:.0f}h{left - right:.0f}z"
        for left, top, right, bottom in boxes
    )
