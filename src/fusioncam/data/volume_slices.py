"""Slices of a volume to look at, upright and in true proportions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fusioncam.data.volumes import Grid, S, reoriented

_MOST = 24
_SIDE = 192  # pixels of the longer side of a slice
_COLUMNS = 6
_HEADER = 14  # pixels above each slice, for its number
_PERCENTILES = (1, 99)
_SCREEN = "LPS"  # columns to the patient's left, rows to the back, slices to the head, as radiologists look at them


@dataclass(frozen=True)
class Slices:
    """Which slices of a volume are shown, as counted from 0 along ``axis`` of the volume in the order "LPS".

    They lie across the axis along which voxels are longest, as they were taken; of cubes the axial ones are shown.
    ``size`` is the (width, height) of each in pixels.
    """

    axis: int
    indices: tuple[int, ...]
    size: tuple[int, int]

    @classmethod
    def of(cls, grid: Grid) -> Slices:
        """Choose at most 24 slices of a volume, at even distances."""
        shape, spacing = _on_screen(grid)
        axis = max(range(3), key=lambda one: (round(spacing[one] / spacing.min(), 1), one))
        count = min(shape[axis], _MOST)
        indices = tuple(int((number + 0.5) * shape[axis] / count) for number in range(count))
        width, height = (shape[one] * spacing[one] for one in range(3) if one != axis)
        scale = _SIDE / max(width, height)
        return cls(axis, indices, (max(1, round(width * scale)), max(1, round(height * scale))))

    def cut(self, values: NDArray[S], grid: Grid) -> list[NDArray[S]]:
        """Return the slices ``(rows, columns)`` of values ``(X, Y, Z)`` on the grid of the volume."""
        across = np.moveaxis(reoriented(values, grid, _SCREEN), self.axis, 0)
        chosen = across[list(self.indices)].swapaxes(1, 2)
        head_up = chosen if self.axis == 2 else chosen[:, ::-1]
        return [np.ascontiguousarray(one) for one in head_up]

    def images(self, values: NDArray[np.float32], grid: Grid) -> list[Image.Image]:
        """Return the slices of values ``(X, Y, Z, C)`` as images of ``size``: three channels are red, green, blue."""
        shown = values if values.shape[3] == 3 else np.repeat(values[..., :1], 3, axis=3)
        low, high = np.percentile(shown[tuple(slice(None, None, max(1, n // 64)) for n in grid.shape)], _PERCENTILES)
        scale = 255 / (float(high - low) or 1)
        channels = [self.cut(((shown[..., n] - low) * scale).clip(0, 255).astype(np.uint8), grid) for n in range(3)]
        pixels = [np.stack(one, -1) for one in zip(*channels, strict=True)]
        return [Image.fromarray(one).resize(self.size, Image.Resampling.BILINEAR) for one in pixels]


def _on_screen(grid: Grid) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Return the numbers and the sides of the voxels in the order "LPS"."""
    axes = [next(n for n, pair in enumerate(("LR", "PA", "IS")) if letter in pair) for letter in grid.orientation]
    order = [axes.index(one) for one in range(3)]
    return tuple(grid.shape[one] for one in order), grid.spacing[order]


def montage(images: Sequence[Image.Image], names: Sequence[str]) -> Image.Image:
    """Arrange images of one size in rows of six, each below its name."""
    width, height = images[0].size
    columns = min(len(images), _COLUMNS)
    rows = -(-len(images) // columns)
    whole = Image.new("RGB", (columns * width, rows * (height + _HEADER)), "white")
    draw = ImageDraw.Draw(whole)
    for (left, top), image, name in zip(_corners(len(images), (width, height)), images, names, strict=True):
        draw.text((left + 2, top - _HEADER + 1), name, "black")
        whole.paste(image, (left, top))
    return whole


def parts_of_montage(whole: Image.Image, count: int, size: tuple[int, int]) -> list[Image.Image]:
    """Return the images of a montage, as :func:`montage` arranged them."""
    return [whole.crop((left, top, left + size[0], top + size[1])) for left, top in _corners(count, size)]


def _corners(count: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    return [(index % _COLUMNS * size[0], index // _COLUMNS * (size[1] + _HEADER) + _HEADER) for index in range(count)]
