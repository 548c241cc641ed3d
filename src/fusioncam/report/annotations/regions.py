"""The highlighted regions of the images of a run, in pixels of the original images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fusioncam.errors import ResultsError, SettingError, require_known
from fusioncam.functional.boxes import PIECES
from fusioncam.functional.polygons import Polygon, outlines, polygon_area
from fusioncam.functional.regions import Threshold, place, threshold_of
from fusioncam.report.html.stored_explanations import FILE, read_heatmap
from fusioncam.utils.stored_files import EXPLANATIONS, read_stored

_VIEW = ".input.jpg"


@dataclass(frozen=True, eq=False)
class Region:
    """The highlighted region of one class in one image: a polygon ``(P, 2)`` around each piece, holes included.

    It is where the ``heatmap`` of the part ``window`` of the image is at least ``level``.
    """

    label: str
    probability: float
    polygons: tuple[Polygon, ...]
    heatmap: NDArray[np.float32]
    level: float
    window: tuple[float, float, float, float]

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the pixels of the pieces ``(height, width)`` in the image of this (width, height), without holes."""
        drawn = Image.new("1", size)
        for polygon in self.polygons:
            ImageDraw.Draw(drawn).polygon([tuple(point - 0.5) for point in polygon], 1)
        full = place(self.heatmap, self.window, size)
        mask: NDArray[np.bool_] = np.asarray(drawn) & (full >= self.level) & (full > 0)
        return mask


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with its regions: ``stem`` is its name without an ending, which no other image of the run has."""

    path: str
    stem: str
    size: tuple[int, int]
    regions: tuple[Region, ...]


def read_regions(
    folder: Path, threshold: Threshold = "otsu", pieces: str = "all", method: str | None = None
) -> Iterator[AnnotatedImage]:
    """Yield the images of a folder of ``fusioncam explain`` with the regions of one method, one image at a time.

    Raises :class:`ResultsError` for a folder that is not one, or is of an earlier version, and :class:`SettingError`
    if the run has several methods and ``method`` names none of them.
    """
    require_known("pieces", pieces, PIECES)
    threshold_of(np.zeros((1, 1), np.float32), threshold)  # raises for a wrong one
    facts: Any = read_stored(folder / FILE, EXPLANATIONS)
    if facts is None:
        raise ResultsError(f"{folder / FILE} does not exist: pass the folder that `fusioncam explain` wrote to")
    entries = _of_method(facts["explanations"], method)
    for entry in entries:
        if not {"size", "window", "view"} <= entry.keys():
            raise ResultsError(f"{folder / FILE} is of an earlier version: run fusioncam explain again")
    return _images(folder, entries, threshold, pieces)


def _images(
    folder: Path, entries: Sequence[dict[str, Any]], threshold: Threshold, pieces: str
) -> Iterator[AnnotatedImage]:
    by_image: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_image.setdefault(entry["view"], []).append(entry)
    for view, of_image in by_image.items():
        regions = tuple(_region(folder, entry, threshold, pieces) for entry in of_image)
        width, height = of_image[0]["size"]
        stem = Path(view).name.removesuffix(_VIEW)
        yield AnnotatedImage(of_image[0]["image"], stem, (width, height), regions)


def _of_method(entries: Sequence[dict[str, Any]], method: str | None) -> list[dict[str, Any]]:
    methods = list(dict.fromkeys(entry["method"] for entry in entries))
    if method is None and len(methods) > 1:
        raise SettingError(f"the run has heatmaps of {', '.join(methods)}: choose one by --method")
    if method is not None:
        require_known("method of this run", method, methods)
    return [entry for entry in entries if method in (None, entry["method"])]


def _region(folder: Path, entry: dict[str, Any], threshold: Threshold, pieces: str) -> Region:
    name = Path(entry["files"][-1]).name
    heatmap = read_heatmap(folder / name)
    if heatmap is None:
        raise ResultsError(f"{folder / name} cannot be read: run fusioncam explain again")
    place = Placement(tuple(entry["window"]), (entry["size"][0], entry["size"][1]))
    return region_of(heatmap, place, entry["class_name"], entry["probability"], threshold, pieces)


class Placement(NamedTuple):
    """The part of an image that a heatmap shows, and the (width, height) of the image."""

    window: tuple[float, float, float, float]
    size: tuple[int, int]


def region_of(
    heatmap: NDArray[np.float32],
    place: Placement,
    label: str,
    probability: float,
    threshold: Threshold,
    pieces: str,
) -> Region:
    """Return the region of a heatmap ``(H, W)``: the largest piece first, or that alone."""
    level = threshold_of(heatmap, threshold)
    found = [_placed(one, heatmap, place) for one in outlines(heatmap, level)]
    polygons = sorted((one for one in found if polygon_area(one) >= 1), key=polygon_area, reverse=True)
    chosen = tuple(polygons[: 1 if pieces == "largest" else None])
    return Region(label, probability, chosen, heatmap, level, place.window)


def _placed(polygon: Polygon, heatmap: NDArray[np.float32], place: Placement) -> Polygon:
    """Return a polygon of a heatmap in pixels of the whole image."""
    left, top, right, bottom = place.window
    scale = (right - left) / heatmap.shape[1], (bottom - top) / heatmap.shape[0]
    placed: Polygon = np.clip(polygon * scale + (left, top), 0, place.size)
    return placed
