"""Transform boxes and masks from the annotated image to the network's input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from fusioncam.data.channels import ChannelImage
from fusioncam.data.ground_truth import Truth
from fusioncam.data.images import MAX_PIXELS, ImageLike, opened
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import DatasetError, shown
from fusioncam.utils.optional import extra
from fusioncam.utils.quiet import ignoring

Box = tuple[float, float, float, float]
Size = tuple[int, int]
Transpose = Image.Transpose

# what turns a stored image upright, by its EXIF orientation
EXIF_TRANSPOSES = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_SWAPS_SIDES = (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
_FLIPS_X = (Transpose.FLIP_LEFT_RIGHT, Transpose.ROTATE_180, Transpose.TRANSVERSE, Transpose.ROTATE_270)
_FLIPS_Y = (Transpose.FLIP_TOP_BOTTOM, Transpose.ROTATE_180, Transpose.TRANSVERSE, Transpose.ROTATE_90)


def transform_annotations(
    name: str,
    source: ImageLike,
    preprocessing: Preprocessing,
    boxes: Sequence[Box],
    segments: Sequence[Any],
    size: Size | None,
) -> Truth | None:
    """Transform one image's boxes and segments to the network's input; return None if nothing of them is in the crop.

    The annotated image has ``size`` (width, height); None means the size of the stored image.
    """
    stored, exif_transpose = read_header(source)
    _require_plausible(size or stored, name)
    annotated, upright = size or stored, transpose_size(stored, exif_transpose)
    transpose = exif_transpose if _needs_transpose(annotated, stored, upright) else None
    if not _same_proportions(transpose_size(annotated, transpose), upright):
        raise DatasetError(
            f"{name}: annotated at {annotated[0]} x {annotated[1]} pixels, but the image has {stored[0]} x "
            f"{stored[1]}: check that the annotation is of this image"
        )
    preprocessing = preprocessing.of_size(upright)
    columns, rows, left, top = preprocessing.window(upright)
    height, width = preprocessing.size
    sides = zip((columns, rows), transpose_size(annotated, transpose), strict=True)
    scale = [resized / original for resized, original in sides]
    scaled = [_scale_box(transpose_box(box, annotated, transpose), scale, (left, top)) for box in boxes]
    mask = None
    if segments:
        drawn = draw_mask(segments, annotated, name)
        drawn = drawn if transpose is None else drawn.transpose(transpose)
        mask = _crop_mask(drawn, (columns, rows), (left, top, left + width, top + height))
        if mask is None:
            return None
    truth = Truth(preprocessing.size, [scaled], [mask])
    return truth if truth.known().all() else None


def _require_plausible(size: Size, name: str) -> None:
    """Raise :class:`DatasetError` for a size whose masks would need more memory than any image that is opened."""
    if max(size) > MAX_PIXELS or size[0] * size[1] > MAX_PIXELS:
        raise DatasetError(
            f"{name}: annotated at {shown(size[0])} x {shown(size[1])} pixels, more than the {MAX_PIXELS:,} of the "
            "largest image: correct the size in the annotation"
        )


def read_header(source: ImageLike) -> tuple[Size, Transpose | None]:
    """Return an image's (width, height) as stored, and the transpose that turns it upright."""
    if isinstance(source, np.ndarray):
        return (source.shape[1], source.shape[0]), None
    if isinstance(source, Tensor):
        return (source.shape[-1], source.shape[-2]), None
    if isinstance(source, ChannelImage):
        return source.size, None
    if isinstance(source, Image.Image):
        return source.size, EXIF_TRANSPOSES.get(source.getexif().get(ExifTags.Base.Orientation, 1))
    with opened(source) as image:
        return read_header(image)


def transpose_size(size: Size, transpose: Transpose | None) -> Size:
    """Return the (width, height) of an image of ``size`` after the transpose."""
    return size[::-1] if transpose in _SWAPS_SIDES else size


def transpose_box(box: Box, size: Size, transpose: Transpose | None) -> Box:
    """Return a box of an image of ``size`` (width, height) after the transpose.

    >>> transpose_box((0, 0, 2, 1), (10, 5), Image.Transpose.ROTATE_270)
    (4, 0, 5, 2)
    """
    x0, y0, x1, y1 = box
    if transpose in _SWAPS_SIDES:
        x0, y0, x1, y1 = y0, x0, y1, x1
    width, height = transpose_size(size, transpose)
    if transpose in _FLIPS_X:
        x0, x1 = width - x1, width - x0
    if transpose in _FLIPS_Y:
        y0, y1 = height - y1, height - y0
    return x0, y0, x1, y1


def _needs_transpose(annotated: Size, stored: Size, upright: Size) -> bool:
    """Return whether the annotations are of the stored image, not of the upright one."""
    return not (annotated == upright != stored) and _same_proportions(annotated, stored)


def _same_proportions(first: Size, second: Size) -> bool:
    """Return whether two sizes have the same proportions, up to the rounding of a resized image."""
    return math.isclose(first[0] * second[1], first[1] * second[0], rel_tol=0.02)


def _scale_box(box: Box, scale: Sequence[float], corner: tuple[int, int]) -> Box:
    (x0, y0, x1, y1), (scale_x, scale_y), (left, top) = box, scale, corner
    return x0 * scale_x - left, y0 * scale_y - top, x1 * scale_x - left, y1 * scale_y - top


def _crop_mask(mask: Image.Image, resized: Size, crop: tuple[int, int, int, int]) -> Tensor | None:
    """Return the mask in the network's input, None if the crop has nothing of it at full resolution."""
    scale_x, scale_y = mask.width / resized[0], mask.height / resized[1]
    corner = (math.floor(crop[0] * scale_x), math.floor(crop[1] * scale_y))
    if mask.crop((*corner, math.ceil(crop[2] * scale_x), math.ceil(crop[3] * scale_y))).getbbox() is None:
        return None
    return torch.from_numpy(np.asarray(mask.resize(resized, Image.Resampling.NEAREST).crop(crop)) > 0)


# -- segments --------------------------------------------------------------------------------------------------


def draw_mask(segments: Sequence[Any], size: Size, name: str) -> Image.Image:
    """Draw COCO's segments, lists of polygons or run lengths, as one image of 0 and 255.

    Raises :class:`DatasetError`, which names the sample, for a malformed segment.
    """
    coco = extra("data", "pycocotools.mask", "the masks of COCO")
    width, height = size
    union = np.zeros((height, width), np.uint8)
    for segment in segments:
        valid = _validate_segment(segment, size, name)
        with ignoring(DeprecationWarning):  # pycocotools creates arrays in a way that NumPy 2 deprecates
            runs = coco.frPyObjects(valid, height, width)
            union |= coco.decode(coco.merge(runs) if isinstance(runs, list) else runs)
    return Image.fromarray(union * 255)


def _validate_segment(segment: Any, size: Size, name: str) -> Any:
    """Return a valid segment; pycocotools' compiled code would read past the end of others."""
    width, height = size
    if isinstance(segment, list) and segment and all(_is_polygon(points, max(size)) for points in segment):
        return segment
    if isinstance(segment, dict) and segment.get("size") == [height, width]:
        counts: Any = segment.get("counts")
        counts = decode_run_lengths(counts) if isinstance(counts, str | bytes) else counts
        if _are_numbers(counts, int) and min(counts) >= 0 and sum(counts) == width * height:
            return {"size": [height, width], "counts": counts}
    raise DatasetError(
        f"{name}: a segment must be a list of polygons [x, y, x, y, x, y, ...] or the run lengths of {width} x "
        f"{height} pixels, got {shown(segment)}"
    )


def decode_run_lengths(text: str | bytes) -> list[int]:
    """Decode COCO's compressed run lengths.

    Each character has five bits of a number, the lowest first. From the fourth number on, a number is the difference
    from the one two before it. Numbers of more than 60 bits return an empty list.

    >>> decode_run_lengths("52203")
    [5, 2, 2, 2, 5]
    """
    counts: list[int] = []
    value, bits = 0, 0
    for code in text if isinstance(text, bytes) else text.encode(errors="replace"):
        part = code - 48
        value |= (part & 31) << bits
        bits += 5
        if bits > 60:  # no number of pixels is so large
            return []
        if not part & 32:  # the last character of a number; its highest bit is the sign
            value -= (part & 16) << (bits - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, bits = 0, 0
    return counts


def is_finite(value: Any) -> bool:
    """Return whether it is a number that a float can hold, and not infinity or NaN."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _is_polygon(points: Any, side: int) -> bool:
    # the limits exist because drawing an edge costs memory in proportion to its length
    valid = _are_numbers(points) and len(points) >= 6 and len(points) % 2 == 0
    return valid and -side <= min(points) and max(points) <= 2 * side


def _are_numbers(values: Any, kind: type = float) -> bool:
    """Return whether it is a non-empty list of integers or, for ``float``, of finite numbers."""
    kinds = (int,) if kind is int else (int, float)
    numbers = isinstance(values, list) and all(type(value) in kinds and is_finite(value) for value in values)
    return numbers and len(values) > 0
