"""Boxes and masks from the pixels that were annotated to those of a network's input."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.data.images import ImageLike
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import DatasetError, ImageError
from fusioncam.utils.optional import extra

Box = tuple[float, float, float, float]
Turn = Image.Transpose

# what turns a stored image upright, by its EXIF entry
EXIF_TRANSPOSES = {
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}
_LYING = (Turn.TRANSPOSE, Turn.ROTATE_270, Turn.TRANSVERSE, Turn.ROTATE_90)
_MIRRORED_X = (Turn.FLIP_LEFT_RIGHT, Turn.ROTATE_180, Turn.TRANSVERSE, Turn.ROTATE_270)
_MIRRORED_Y = (Turn.FLIP_TOP_BOTTOM, Turn.ROTATE_180, Turn.TRANSVERSE, Turn.ROTATE_90)


def transform_annotations(
    name: str,
    source: ImageLike,
    preprocessing: Preprocessing,
    boxes: Sequence[Box],
    segments: Sequence[Any],
    size: tuple[int, int] | None,
) -> Truth | None:
    """Carry one image's boxes and segments, of an annotated image of ``size``, into the network's input."""
    stored, turning = header(source)
    annotated, shown = size or stored, upright(stored, turning)
    turn = None if annotated == shown != stored or not _alike(annotated, stored) else turning
    if not _alike(upright(annotated, turn), shown):
        raise DatasetError(
            f"{name}: annotated at {annotated[0]} x {annotated[1]} pixels, and the image has {stored[0]} x "
            f"{stored[1]}: the annotation of another image?"
        )
    columns, rows, left, top = preprocessing.window(shown)
    height, width = preprocessing.size
    scale = [to / of for to, of in zip((columns, rows), upright(annotated, turn), strict=True)]
    moved = [_moved(turned_box(box, annotated, turn), scale, (left, top)) for box in boxes]
    mask = None
    if segments:
        drawn = drawn_mask(segments, annotated, name)
        drawn = drawn if turn is None else drawn.transpose(turn)
        mask = _in_view(drawn, (columns, rows), (left, top, left + width, top + height))
        if mask is None:
            return None
    truth = Truth(preprocessing.size, [moved], [mask])
    return truth if truth.known().all() else None


def header(source: ImageLike) -> tuple[tuple[int, int], Turn | None]:
    """Give an image's (width, height) as stored, and what turns it upright."""
    if isinstance(source, np.ndarray):
        return (source.shape[1], source.shape[0]), None
    if isinstance(source, Image.Image):
        return source.size, EXIF_TRANSPOSES.get(source.getexif().get(ExifTags.Base.Orientation, 1))
    try:
        with Image.open(source) as image:
            return header(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{source}: no image: {error}") from None


def upright(size: tuple[int, int], turn: Turn | None) -> tuple[int, int]:
    """Give the (width, height) of an image of ``size`` behind the turn."""
    return size[::-1] if turn in _LYING else size


def turned_box(box: Box, size: tuple[int, int], turn: Turn | None) -> Box:
    """Give a box of an image of ``size`` (width, height) behind the turn.

    >>> turned_box((0, 0, 2, 1), (10, 5), Image.Transpose.ROTATE_270)
    (4, 0, 5, 2)
    """
    x0, y0, x1, y1 = box
    if turn in _LYING:
        x0, y0, x1, y1 = y0, x0, y1, x1
    width, height = upright(size, turn)
    if turn in _MIRRORED_X:
        x0, x1 = width - x1, width - x0
    if turn in _MIRRORED_Y:
        y0, y1 = height - y1, height - y0
    return x0, y0, x1, y1


def _alike(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Say whether sides have the same proportions, as those of an image made smaller have."""
    return math.isclose(first[0] * second[1], first[1] * second[0], rel_tol=0.02)


def _moved(box: Box, scale: Sequence[float], corner: tuple[int, int]) -> Box:
    (x0, y0, x1, y1), (across, down), (left, top) = box, scale, corner
    return x0 * across - left, y0 * down - top, x1 * across - left, y1 * down - top


def _in_view(mask: Image.Image, resized: tuple[int, int], view: tuple[int, int, int, int]) -> Tensor | None:
    """Give the mask in the network's input, None where nothing of it is seen, not even less than one such pixel."""
    across, down = mask.width / resized[0], mask.height / resized[1]
    corner = (math.floor(view[0] * across), math.floor(view[1] * down))
    if mask.crop((*corner, math.ceil(view[2] * across), math.ceil(view[3] * down))).getbbox() is None:
        return None
    return torch.from_numpy(np.asarray(mask.resize(resized, Image.Resampling.NEAREST).crop(view)) > 0)


# -- segments --------------------------------------------------------------------------------------------------


def drawn_mask(segments: Sequence[Any], size: tuple[int, int], name: str) -> Image.Image:
    """Draw COCO's segments, lists of polygons or run lengths, as one image of 0 and 255."""
    coco = extra("data", "pycocotools.mask", "the masks of COCO")
    width, height = size
    union = np.zeros((height, width), np.uint8)
    for segment in segments:
        checked = _checked(segment, size, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of how it makes arrays, by NumPy 2
            runs = coco.frPyObjects(checked, height, width)
            union |= coco.decode(coco.merge(runs) if isinstance(runs, list) else runs)
    return Image.fromarray(union * 255)


def _checked(segment: Any, size: tuple[int, int], name: str) -> Any:
    """Hand on a segment if it is one: the compiled code behind would read past the ends of others."""
    width, height = size
    if isinstance(segment, list) and segment and all(_is_polygon(one, max(size)) for one in segment):
        return segment
    if isinstance(segment, dict) and segment.get("size") == [height, width]:
        counts: Any = segment.get("counts")
        counts = unpacked(counts) if isinstance(counts, str | bytes) else counts
        if _are_numbers(counts, int) and min(counts) >= 0 and sum(counts) == width * height:
            return {"size": [height, width], "counts": counts}
    raise DatasetError(
        f"{name}: a segment is a list of polygons [x, y, x, y, x, y, ...] or the run lengths of {width} x {height} "
        f"pixels, got {repr(segment)[:80]}"
    )


def unpacked(text: str | bytes) -> list[int]:
    """Read COCO's packed run lengths: five bits a character, the low ones first; from the fourth number the changes.

    >>> unpacked("52203")
    [5, 2, 2, 2, 5]
    """
    counts: list[int] = []
    value, bits = 0, 0
    for code in text if isinstance(text, bytes) else text.encode():
        part = code - 48
        value |= (part & 31) << bits
        bits += 5
        if not part & 32:  # the last character of a number, whose own highest bit is the sign
            value -= (part & 16) << (bits - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, bits = 0, 0
    return counts


def _is_polygon(points: Any, side: int) -> bool:
    # an edge costs memory by its length
    fits = _are_numbers(points) and len(points) >= 6 and len(points) % 2 == 0
    return fits and -side <= min(points) and max(points) <= 2 * side


def _are_numbers(values: Any, kind: type = float) -> bool:
    """Say whether it is a list of numbers, whole ones or (for floats) any that are finite; with one at least."""
    kinds = (int,) if kind is int else (int, float)
    numbers = isinstance(values, list) and all(type(one) in kinds and math.isfinite(one) for one in values)
    return numbers and len(values) > 0
