"""Stamps: patterns that are drawn onto images at a known place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# one character per pixel: "#" is the brightest value of the image, "." the darkest, and " " leaves the image as it is
_GLYPHS = (
    "  #   #####  #   #  # ###   ",
    "##### #   #  ##### ## # #   ",
    "# # # ##### #  #    # ###   ",
    "#####   #     ####  # #     ",
    "  #   #####   #  #  # ###   ",
    "  #   # # #   ####  # # #   ",
    "  #   #####   #  # ## ###   ",
    "                            ",
    "                            ",
    "                            ",
)
# three lines of characters, whose last columns and rows are empty
_WATERMARK = tuple(row[:-3] for row in tuple(2 * row for row in _GLYPHS) * 3)[:-3]
_CHECKERBOARD = ("#.#.#.#.", ".#.#.#.#") * 4
PATTERNS = {"watermark": _WATERMARK, "checkerboard": _CHECKERBOARD}


def box_of(size: Sequence[int], share: float, place: Sequence[float], ratio: float = 1) -> tuple[slice, slice]:
    """Return the rows and columns of a stamp in an image of (height, width) ``size``.

    Its width is ``share`` of the image's, its height ``ratio`` of its width, both at least one pixel and at most the
    image. ``place`` (row, column) is 0 at the first edge and 1 at the last one.

    >>> box_of((8, 8), 0.5, (1, 0.5))
    (slice(4, 8, None), slice(2, 6, None))
    """
    width = min(max(1, round(share * size[1])), size[1])
    height = min(max(1, round(ratio * width)), size[0])
    row, column = round(place[0] * (size[0] - height)), round(place[1] * (size[1] - width))
    return slice(row, row + height), slice(column, column + width)


def ratio_of(pattern: str) -> float:
    """Return the height of a pattern divided by its width."""
    rows = PATTERNS[pattern]
    return len(rows) / len(rows[0])


def drawn(x: Tensor, pattern: str, box: tuple[slice, slice], opacity: float) -> Tensor:
    """Return images ``(N, C, H, W)`` with a pattern of ``PATTERNS`` in the box.

    >>> drawn(torch.tensor([0.0, 0.5, 1.0, 0.0]).reshape(1, 1, 2, 2), "checkerboard", (slice(0, 1), slice(0, 2)), 1)
    tensor([[[[1., 1.],
              [1., 0.]]]])
    """
    low, high = x.flatten(2).amin(2)[..., None, None], x.flatten(2).amax(2)[..., None, None]
    size = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    bright, dark = (_resized(pattern, sign, size).to(x) * opacity for sign in "#.")
    stamped = x.clone()
    inside = x[:, :, box[0], box[1]]
    stamped[:, :, box[0], box[1]] = inside + bright * (high - inside) + dark * (low - inside)
    return stamped


def pasted(x: Tensor, patch: Tensor, box: tuple[slice, slice], opacity: float) -> Tensor:
    """Return images ``(N, C, H, W)`` with a patch ``(C, h, w)``, resized to the box by the mean of its pixels."""
    size = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    small = F.interpolate(patch[None].to(x), size=size, mode="area")
    stamped = x.clone()
    stamped[:, :, box[0], box[1]] = torch.lerp(x[:, :, box[0], box[1]], small.expand(len(x), -1, -1, -1), opacity)
    return stamped


def _resized(pattern: str, sign: str, size: tuple[int, int]) -> Tensor:
    """Return where a pattern has a sign, as ``(h, w)`` zeros and ones."""
    pixels = torch.tensor([[one == sign for one in row] for row in PATTERNS[pattern]], dtype=torch.float32)
    return F.interpolate(pixels[None, None], size=size, mode="nearest")[0, 0]
