"""Turn arrays into images: coloured heatmaps, overlays, rows of titled panels."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from fusioncam.errors import SettingError

# the colours that most papers on class activation maps use: blue is 0, red is 1
_COLOURS = colormaps["jet"](np.arange(256))[:, :3]


def colourise(heatmap: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the colours ``(height, width, 3)`` in [0, 1] of a heatmap, resized to ``size`` (width, height)."""
    resized = Image.fromarray(np.asarray(heatmap, np.float32)).resize(size, Image.Resampling.BILINEAR)
    levels = (np.asarray(resized) * 256).clip(0, 255).astype(np.uint8)
    colours: NDArray[np.float64] = _COLOURS[levels]
    return colours


def overlay(image: Image.Image, heatmap: NDArray[np.float32], opacity: float = 0.5) -> Image.Image:
    """Blend a heatmap ``(H, W)`` in [0, 1] over an image of any size; ``opacity`` 0 shows the image alone.

    Raises :class:`SettingError` unless ``opacity`` is between 0 and 1.
    """
    if not 0 <= opacity <= 1:
        raise SettingError(f"opacity must be between 0 and 1, got {opacity}")
    colours = colourise(heatmap, image.size)
    blended = (1 - opacity) * np.asarray(image.convert("RGB")) / 255 + opacity * colours
    return Image.fromarray((blended * 255).round().astype(np.uint8))


def overlay_part(
    image: Image.Image, heatmap: NDArray[np.float32], box: tuple[float, float, float, float], opacity: float = 0.5
) -> Image.Image:
    """Blend a heatmap over the part ``box`` of an image: left, top, right, bottom. The rest stays as it is."""
    left, top, right, bottom = map(round, box)
    whole = image.convert("RGB")
    whole.paste(overlay(whole.crop((left, top, right, bottom)), heatmap, opacity), (left, top))
    return whole


def draw_boxes(
    image: Image.Image, boxes: Mapping[tuple[float, float, float, float], str], size: tuple[int, int]
) -> Image.Image:
    """Return the image with named boxes `(x1, y1, x2, y2)` in pixels of an image of this (width, height)."""
    drawn = image.copy()
    canvas = ImageDraw.Draw(drawn)
    width = max(1, round(max(image.size) / 200))
    scale = [image.width / size[0], image.height / size[1]] * 2
    for box, name in boxes.items():
        corners = [side * factor for side, factor in zip(box, scale, strict=True)]
        canvas.rectangle(corners, outline="white", width=width)
        canvas.text(
            (corners[0] + 2 * width, corners[1] + 2 * width), name, "white", stroke_width=1, stroke_fill="black"
        )
    return drawn


def remove_overlay(overlaid: Image.Image, heatmap: NDArray[np.float32], opacity: float = 0.5) -> Image.Image:
    """Return the image below an overlay of this heatmap, exact to about one level of 255."""
    colours = colourise(heatmap, overlaid.size)
    image = (np.asarray(overlaid.convert("RGB")) / 255 - opacity * colours) / (1 - opacity)
    return Image.fromarray((image * 255).round().clip(0, 255).astype(np.uint8))


def as_png(image: Image.Image) -> bytes:
    """Return an image encoded as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def side_by_side(panels: Sequence[tuple[str, Image.Image]], title: str = "", columns: int = 5) -> Image.Image:
    """Arrange titled images in even rows of at most ``columns``, like figures 2 and 4 of the Fusion-CAM paper."""
    rows = -(-len(panels) // columns)
    columns = -(-len(panels) // rows)
    figure = Figure(figsize=(2.6 * columns, 2.9 * rows + 0.3), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=11, parse_math=False)
    for axes in (grid := figure.subplots(rows, columns, squeeze=False)).flat:
        axes.axis("off")
    for axes, (name, image) in zip(grid.flat, panels, strict=False):  # the last row may not be full
        axes.imshow(image)
        axes.set_title(name, fontsize=9, parse_math=False, wrap=True)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
