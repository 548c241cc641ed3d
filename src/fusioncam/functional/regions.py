"""From heatmaps to regions: thresholds, and heatmaps in the coordinates of a larger image."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusioncam.errors import InputTypeError, SettingError

# "otsu", a share of the highest heat, or "top20%", the share of pixels
Threshold = str | float
_TOP = re.compile(r"top\s*(\d+(?:\.\d+)?)\s*%")
_BINS = 256


def threshold_of(heatmap: NDArray[np.float32], rule: Threshold) -> float:
    """Return the lowest heat of the region that a rule selects in a heatmap ``(H, W)`` in [0, 1].

    ``rule`` is a share of the highest heat such as 0.5, ``"top20%"`` for the hottest fifth of the pixels, or
    ``"otsu"`` (Otsu 1979, doi:10.1109/TSMC.1979.4310076). Raises :class:`SettingError` for another rule.

    >>> threshold_of(np.float32([[0.1, 0.2], [0.3, 0.8]]), 0.5)
    0.4000000059604645
    >>> round(threshold_of(np.float32([[0.1, 0.2], [0.3, 0.8]]), "top25%"), 3)
    0.8
    """
    if isinstance(rule, bool) or not isinstance(rule, str | int | float):
        raise InputTypeError(f'threshold must be "otsu", a number or "top20%", got {rule!r}')
    if rule == "otsu":
        return otsu(heatmap)
    number = _number(rule)
    if number is not None and 0 <= number <= 1:
        return number * float(heatmap.max())
    found = _TOP.fullmatch(rule) if isinstance(rule, str) else None
    if found is None or not 0 < float(found[1]) <= 100:
        raise SettingError(f'threshold must be "otsu", a number in [0, 1] or such as "top20%", got {rule!r}')
    values = np.sort(heatmap, axis=None)[::-1]
    return float(values[max(1, round(len(values) * float(found[1]) / 100)) - 1])


def _number(rule: Threshold) -> float | None:
    try:
        return float(rule)
    except ValueError:
        return None


def otsu(heatmap: NDArray[np.float32]) -> float:
    """Return the threshold in [0, 1] that separates the values of a heatmap into two classes by Otsu's rule.

    It has the largest variance between the classes; of several, it is their middle.

    >>> otsu(np.float32([[0.0, 0.1, 0.9, 1.0]]))
    0.5
    """
    counts, edges = np.histogram(heatmap, _BINS, (0, 1))
    centres = (edges[:-1] + edges[1:]) / 2
    below, heat = counts.cumsum()[:-1], (counts * centres).cumsum()
    above = counts.sum() - below
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = heat[:-1] / below - (heat[-1] - heat[:-1]) / above
    variance = np.nan_to_num(below * above * difference**2)
    return float(edges[1:-1][variance >= variance.max() * (1 - 1e-9)].mean())


def highlighted(heatmap: NDArray[np.float32], rule: Threshold) -> NDArray[np.bool_]:
    """Return the region ``(H, W)`` of a heatmap that a rule selects; where the heat is 0 nothing is selected."""
    region: NDArray[np.bool_] = (heatmap >= threshold_of(heatmap, rule)) & (heatmap > 0)
    return region


def place(
    heatmap: NDArray[np.float32], window: tuple[float, float, float, float], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return a heatmap of the part ``window`` of an image, in the coordinates of the whole image of (width, height).

    It is interpolated linearly, and 0 outside the window.

    >>> place(np.float32([[1]]), (1, 0, 2, 1), (3, 1)).tolist()
    [[0.0, 1.0, 0.0]]
    """
    left, top, right, bottom = window
    across, down = heatmap.shape[1] / (right - left), heatmap.shape[0] / (bottom - top)
    coefficients = (across, 0, -left * across, 0, down, -top * down)
    placed = Image.fromarray(np.asarray(heatmap, np.float32)).transform(
        size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.array(placed)


def placed_boxes(
    boxes: NDArray[np.float64],
    shape: tuple[int, ...],
    window: tuple[float, float, float, float],
    size: tuple[int, int],
) -> list[tuple[float, float, float, float]]:
    """Return boxes ``(B, 4)`` in a heatmap of shape ``(H, W)`` in the coordinates of the whole image.

    >>> placed_boxes(np.array([[0.0, 0, 2, 2]]), (4, 4), (10, 0, 30, 20), (40, 20))
    [(10.0, 0.0, 20.0, 10.0)]
    """
    left, top, right, bottom = window
    scale = np.array([(right - left) / shape[1], (bottom - top) / shape[0]] * 2)
    placed = boxes * scale + [left, top, left, top]
    x1, y1, x2, y2 = placed.clip(0, [*size, *size]).round(2).T
    return list(zip(x1.tolist(), y1.tolist(), x2.tolist(), y2.tolist(), strict=True))
