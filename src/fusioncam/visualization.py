"""Turn arrays into images: coloured heatmaps, overlays with their outlines and boxes, rows of titled panels."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from contourpy import contour_generator
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from fusioncam.errors import SettingError, require_known

Box = tuple[float, float, float, float]

# docs/explain-images.md has the reason
DEFAULT_COLORMAP = "turbo"
DEFAULT_OPACITY = 0.6
_LARGE = 2**20  # pixels
# brightness of what the network did not receive
_UNSEEN = 0.6
_MAX_TITLE = 32  # characters of a line above a panel
# from this heat on an overlay that fades has its full opacity
_FULL_HEAT = 0.6


class RawFormat(NamedTuple):
    """The ending of a file that holds a heatmap as numbers, and its format in PIL."""

    ending: str
    format: str


RAW_FORMATS = {"png16": RawFormat(".heatmap.png", "PNG"), "tiff": RawFormat(".tiff", "TIFF")}


@dataclass(frozen=True)
class OverlayStyle:
    """How a heatmap is drawn over an image.

    ``colormap`` is a name of matplotlib, such as turbo, viridis, inferno, magma or jet. ``opacity`` is that of the
    heatmap at its highest values; with ``fade`` it falls to 0 where the heat does, so that the rest of the image
    keeps its colours, and without it is the same everywhere. ``contour`` is a level in [0, 1] around which a line is
    drawn, and ``colorbar`` adds the colours of 0 to 1 at the right edge.

    Raises :class:`UnknownNameError` for an unknown colormap, and :class:`SettingError` for other bad settings.
    """

    opacity: float = DEFAULT_OPACITY
    colormap: str = DEFAULT_COLORMAP
    fade: bool = True
    contour: float | None = None
    colorbar: bool = False

    def __post_init__(self) -> None:
        require_known("colormap", self.colormap, list(colormaps))
        for name in ("opacity", "contour"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise SettingError(f"{name} must be between 0 and 1, got {value}")

    def alpha(self, heat: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the opacity of each value of a heatmap in [0, 1].

        >>> OverlayStyle(opacity=0.5).alpha(np.float32([0, 0.3, 0.6, 1])).tolist()
        [0.0, 0.25, 0.5, 0.5]
        """
        share = (heat / _FULL_HEAT).clip(0, 1) if self.fade else np.ones_like(heat)
        return np.asarray(self.opacity * share, np.float32)


PLAIN = OverlayStyle()


def colourise(
    heatmap: NDArray[np.float32], size: tuple[int, int], colormap: str = DEFAULT_COLORMAP
) -> NDArray[np.float64]:
    """Return the colours ``(height, width, 3)`` in [0, 1] of a heatmap, resized to ``size`` (width, height)."""
    colours: NDArray[np.float64] = _colours(colormap)[_levels(heatmap, size)]
    return colours


def _colours(colormap: str) -> NDArray[np.float64]:
    """Return the 256 colours ``(256, 3)`` of a colormap, from 0 to 1."""
    colours: NDArray[np.float64] = colormaps[colormap](np.linspace(0, 1, 256))[:, :3]
    return colours


def _levels(heatmap: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a heatmap in 256 levels, resized to (width, height)."""
    resized = Image.fromarray(np.asarray(heatmap, np.float32)).resize(size, Image.Resampling.BILINEAR)
    return (np.asarray(resized) * 256).clip(0, 255).astype(np.uint8)


def overlay(image: Image.Image, heatmap: NDArray[np.float32], style: OverlayStyle = PLAIN) -> Image.Image:
    """Blend a heatmap ``(H, W)`` in [0, 1] over an image of any size."""
    levels = _levels(heatmap, image.size)
    colours = (_colours(style.colormap) * 255).round().astype(np.uint8)
    alpha = (style.alpha(np.linspace(0, 1, 256, dtype=np.float32)) * 255).round().astype(np.uint8)
    blended = Image.composite(Image.fromarray(colours[levels]), image.convert("RGB"), Image.fromarray(alpha[levels]))
    if style.contour is not None:
        draw_contour(blended, heatmap, style.contour)
    return with_colorbar(blended, style.colormap) if style.colorbar else blended


def overlay_part(
    image: Image.Image, heatmap: NDArray[np.float32], box: Box, style: OverlayStyle = PLAIN
) -> Image.Image:
    """Blend a heatmap over the part ``box`` of an image: left, top, right, bottom. The rest stays as it is."""
    left, top, right, bottom = map(round, box)
    whole, bar = image.convert("RGB"), style.colorbar
    part = overlay(whole.crop((left, top, right, bottom)), heatmap, replace(style, colorbar=False))
    whole.paste(part, (left, top))
    return with_colorbar(whole, style.colormap) if bar else whole


def draw_contour(image: Image.Image, heatmap: NDArray[np.float32], level: float) -> None:
    """Draw the line around the values of a heatmap ``(H, W)`` that are above a level: white, with a dark edge."""
    canvas, width = ImageDraw.Draw(image), _line_width(image)
    across, down = image.width / heatmap.shape[1], image.height / heatmap.shape[0]
    lines = [line * (across, down) for line in contour_lines(heatmap, level)]
    for colour, extra in (("black", 2), ("white", 0)):
        for line in lines:
            canvas.line([tuple(point) for point in line], colour, width + extra, joint="curve")


def contour_lines(heatmap: NDArray[np.float32], level: float) -> list[NDArray[np.float64]]:
    """Return the lines ``(P, 2)`` between the values of a heatmap ``(H, W)`` above a level and those below.

    They are in pixels of the heatmap, whose centres are at 0.5.
    """
    return [np.asarray(line, np.float64) + 0.5 for line in contour_generator(z=heatmap).lines(level)]


def draw_boxes(image: Image.Image, boxes: Mapping[Box, str]) -> None:
    """Draw named boxes (left, top, right, bottom), white with a dark edge."""
    canvas, width, font = ImageDraw.Draw(image), _line_width(image), _font(image)
    for box, name in boxes.items():
        left, top, right, bottom = box
        canvas.rectangle((left - 1, top - 1, right + 1, bottom + 1), None, "black", width + 2)
        canvas.rectangle(box, None, "white", width)
        canvas.text((left + 2 * width, top + 2 * width), name, "white", font, stroke_width=1, stroke_fill="black")


def draw_window(image: Image.Image, window: Box) -> None:
    """Outline the part of an image that a network received, and darken the rest, unless it is nearly all of it."""
    left, top, right, bottom = window
    inside = (max(left, 0), max(top, 0), min(right, image.width) - 1, min(bottom, image.height) - 1)
    margins = (inside[0], inside[1], image.width - 1 - inside[2], image.height - 1 - inside[3])
    if max(margins) > _line_width(image):
        dark = ImageEnhance.Brightness(image).enhance(_UNSEEN)
        x1, y1, x2, y2 = map(round, inside)
        dark.paste(image.crop((x1, y1, x2, y2)), (x1, y1))
        image.paste(dark)
        draw_boxes(image, {inside: ""})


def with_colorbar(image: Image.Image, colormap: str) -> Image.Image:
    """Return the image with the colours of a colormap at its right edge, from 1 at the top to 0."""
    font = _font(image)
    gap, label = max(2, image.height // 50), round(font.getlength("0.5")) + 4
    bar = Image.new("RGB", (3 * gap + label, image.height), "white")
    colours = colourise(np.linspace(1, 0, 256, dtype=np.float32)[:, None], (2 * gap, image.height), colormap)
    bar.paste(Image.fromarray((colours * 255).round().astype(np.uint8)), (gap, 0))
    canvas = ImageDraw.Draw(bar)
    for height, text, anchor in ((0, "1", "la"), (image.height / 2, "0.5", "lm"), (image.height - 1, "0", "ls")):
        canvas.text((3 * gap + 2, height), text, "black", font, anchor=anchor)
    return joined([image, bar])


def joined(images: Sequence[Image.Image]) -> Image.Image:
    """Return images of one height side by side."""
    whole = Image.new("RGB", (sum(image.width for image in images), images[0].height))
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width
    return whole


def _line_width(image: Image.Image) -> int:
    return max(1, round(max(image.size) / 200))


def _font(image: Image.Image) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(max(10, round(max(image.size) / 32)))


def remove_overlay(overlaid: Image.Image, heatmap: NDArray[np.float32]) -> Image.Image:
    """Return the image below an overlay as earlier versions wrote it: jet, with an opacity of 0.5 everywhere."""
    image = np.asarray(overlaid.convert("RGB")) / 127.5 - colourise(heatmap, overlaid.size, "jet")
    return Image.fromarray((image * 255).round().clip(0, 255).astype(np.uint8))


def wrap_name(name: str, width: int) -> str:
    """Break a name that has more than ``width`` characters into lines, before its settings if it has any.

    >>> print(wrap_name("fusion-cam(theta=20, budget=64)", 20))
    fusion-cam
    (theta=20,
    budget=64)
    """
    if len(name) <= width:
        return name
    plain, bracket, settings = name.partition("(")
    return "\n".join(
        line for part in (plain, bracket + settings) for line in wrap(part, width, break_on_hyphens=False)
    )


def as_png(image: Image.Image) -> bytes:
    """Return an image encoded as PNG; a large one is compressed less, which takes a fifth of the time."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1 if image.width * image.height > _LARGE else 6)
    return buffer.getvalue()


def raw_names(stem: str, formats: Sequence[str]) -> list[str]:
    """Return the file names of a heatmap in raw formats; raise :class:`UnknownNameError` for another format."""
    for name in formats:
        require_known("raw format", name, RAW_FORMATS)
    return [f"{stem}{RAW_FORMATS[name].ending}" for name in formats]


def raw_image(heatmap: NDArray[np.float32], name: str) -> Image.Image:
    """Return a heatmap ``(H, W)`` in [0, 1] as an image of a raw format, to be saved as it is."""
    values = (heatmap * 65535).round().astype(np.uint16) if name == "png16" else heatmap
    return Image.fromarray(values)


def side_by_side(panels: Sequence[tuple[str, Image.Image]], title: str = "", columns: int = 5) -> Image.Image:
    """Arrange titled images in even rows of at most ``columns``, like figures 2 and 4 of the Fusion-CAM paper."""
    # figures take a third of a second to import, which overlays do not need
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    columns = -(-len(panels) // rows)
    figure = Figure(figsize=(2.6 * columns, 2.9 * rows + 0.3), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    if title:
        figure.suptitle("\n".join(wrap(title, 26 * columns)), fontsize=11, parse_math=False)
    for axes in (grid := figure.subplots(rows, columns, squeeze=False)).flat:
        axes.axis("off")
    for axes, (name, image) in zip(grid.flat, panels, strict=False):  # the last row may not be full
        axes.imshow(image)
        lines = [wrap_name(line, _MAX_TITLE) for line in name.split("\n")]
        axes.set_title("\n".join(lines), fontsize=9, parse_math=False)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
