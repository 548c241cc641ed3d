"""Where an image has regions that look like lines of text: watermarks, captions, copyright lines.

The usual way to find text before it is read, by connected components: at some grey levels the letters of a line are
separate pieces of one tone, of similar height, beside each other. It finds neither lines of fewer than four letters,
nor joined handwriting, nor faint or steep text, and takes some fences, windows and rows of bottles for text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusioncam.utils.optional import extra

Mask = NDArray[np.bool_]
Letters = NDArray[np.float64]  # (L, 4): top, bottom, left and right of each

_SIDE = 512  # length of the longer side at which text is searched
_LEVELS = range(32, 256, 32)  # grey levels
_HEIGHT = (6, 80)  # of letters, in pixels
_WIDE = 1.6  # largest width of a letter, in heights
_FULL = (0.15, 0.9)  # share of its box that a letter covers
_SIMILAR = 1.6  # largest ratio of the heights of neighbours
_GAP = 0.8  # largest gap between neighbours, in heights
_OVERLAP = 0.7  # least share of the smaller height that neighbours have in common
_LETTERS = 5  # of a line, at least


def text_mask(image: Image.Image) -> Mask:
    """Return the regions ``(H, W)`` of an image that look like lines of text; its longer side has at most 512 pixels.

    Needs scipy, of the extra ``audit``.
    """
    scale = min(1.0, _SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pixels = np.asarray(image.convert("L").resize(size, Image.Resampling.BILINEAR))
    found = np.zeros(pixels.shape, bool)
    for level in _LEVELS:
        for tone in (pixels < level, pixels >= level):
            for top, bottom, left, right in _lines(_letters(tone)):
                found[int(top) : int(bottom), int(left) : int(right)] = True
    return found


def _letters(tone: Mask) -> Letters:
    """Return the boxes of the pieces of one tone that have the size of letters."""
    image: Any = extra("audit", "scipy.ndimage", "audits")
    pieces, count = image.label(tone, np.ones((3, 3)))
    boxes = np.array([(r.start, r.stop, c.start, c.stop) for r, c in image.find_objects(pieces)], float).reshape(
        -1, 4
    )
    area = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    full = area / (height * width)
    kept = (height >= _HEIGHT[0]) & (height <= _HEIGHT[1]) & (width <= _WIDE * height)
    kept &= (full >= _FULL[0]) & ((full <= _FULL[1]) | (width < 0.4 * height))
    chosen: Letters = boxes[kept]
    return chosen


def _lines(letters: Letters) -> Iterator[Letters]:
    """Yield the box of each line: letters that are chained by neighbours."""
    if len(letters) < _LETTERS:
        return
    graph: Any = extra("audit", "scipy.sparse.csgraph", "audits")
    top, bottom, left, right = letters.T
    height = bottom - top
    least = np.minimum(height[:, None], height)
    similar = np.maximum(height[:, None], height) <= _SIMILAR * least
    overlap = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    gap = np.maximum(left[:, None], left) - np.minimum(right[:, None], right)
    count, group = graph.connected_components(similar & (overlap >= _OVERLAP * least) & (gap <= _GAP * least))
    for one in range(count):
        members = letters[group == one]
        if len(members) >= _LETTERS:
            line = np.array([members[:, 0].min(), members[:, 1].max(), members[:, 2].min(), members[:, 3].max()])
            tall = np.median(members[:, 1] - members[:, 0])
            if line[1] - line[0] <= 2 * tall and line[3] - line[2] >= 2.5 * tall:
                yield line
