"""One image made to be shared: the original, its overlay, the class and a sentence of evidence."""

from __future__ import annotations

from functools import partial
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from fusioncam.utils.quiet import ignoring
from fusioncam.utils.text import printable

_WIDTH, _DPI, _MARGIN, _HEADER = 12.0, 150, 0.35, 1.0  # in inches
_HIGHEST = 9.0  # of the images
_LINE = 0.36
_CHARACTERS = 100  # of a line of the sentence
_DARK, _GREY = "#1b1b1f", "#66666e"


def draw_poster(original: Image.Image, overlay: Image.Image, heading: str, sentence: str, credit: str) -> Image.Image:
    """Return the two images side by side below the heading, and below them the sentence and in small the credit."""
    lines = fill(sentence, _CHARACTERS)
    footer = 0.15 + _LINE * (1 + lines.count("\n")) * bool(lines)
    width = (_WIDTH - 3 * _MARGIN) / 2
    height = min(_HIGHEST, width * max(one.height / one.width for one in (original, overlay)))
    figure = Figure(figsize=(_WIDTH, _HEADER + height + footer + _MARGIN), dpi=_DPI, facecolor="white")
    canvas, total = FigureCanvasAgg(figure), figure.get_figheight()
    for number, image in enumerate((original, overlay)):
        left, bottom = _MARGIN + number * (width + _MARGIN), footer + _MARGIN
        axes = figure.add_axes((left / _WIDTH, bottom / total, width / _WIDTH, height / total))
        axes.imshow(_reduced(image, width, height))
        axes.axis("off")
    write = partial(figure.text, color=_DARK, parse_math=False)
    left, middle = _MARGIN / _WIDTH, 1 - 0.5 * _HEADER / total
    write(left, middle, printable(heading), fontsize=26, weight="bold", va="center")
    write(1 - left, middle, printable(credit), fontsize=13, color=_GREY, va="center", ha="right")
    write(left, (footer + 0.12) / total, lines, fontsize=15, va="top", linespacing=1.4)
    # names in scripts that the font lacks are drawn as boxes, which is not worth a warning
    with ignoring(UserWarning, "Glyph .* missing from"):
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _reduced(image: Image.Image, width: float, height: float) -> Image.Image:
    """Return an image with as many pixels as its part of the poster, because matplotlib reduces it less well."""
    scale = min(width * _DPI / image.width, height * _DPI / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
