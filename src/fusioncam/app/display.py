"""How the page shows a heatmap: its colours and opacity, before and after, and what a place in the image matters."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

from fusioncam.app import html
from fusioncam.app.cached_explanation import CachedExplanation
from fusioncam.app.files import store_image
from fusioncam.errors import ImageError, SettingError
from fusioncam.explanations.explanation import Explanation
from fusioncam.explanations.region_effect import disc, region_effect
from fusioncam.visualization import DEFAULT_COLORMAP, DEFAULT_OPACITY

COLORMAPS = ("turbo", "viridis", "inferno", "magma", "jet")
# what may be drawn over the heatmap, and the arguments of :meth:`Explanation.overlay`
DRAWN: dict[str, dict[str, Any]] = {"line at half heat": {"contour": 0.5}, "boxes": {"boxes": True}}
HEATMAP, WIPE = "heatmap", "before and after"
_RADIUS = 0.125  # of the disc around a place, as a share of the shorter side
EXPIRED = "this heatmap has expired: choose the image again"


def styled(
    explanation: Explanation, opacity: Any = DEFAULT_OPACITY, colormap: Any = DEFAULT_COLORMAP, drawn: Any = ()
) -> Image.Image:
    """Return the overlay of an explanation; raise :class:`SettingError` for values that the page does not offer."""
    if not isinstance(opacity, int | float):
        raise SettingError(f"opacity must be a number between 0 and 1, got {opacity!r}")
    if colormap not in COLORMAPS:
        raise SettingError(f"colormap must be one of {', '.join(COLORMAPS)}, got {colormap!r}")
    if not isinstance(drawn, list | tuple) or any(not isinstance(one, str) or one not in DRAWN for one in drawn):
        raise SettingError(f"what is drawn must be a list of {', '.join(DRAWN)}, got {drawn!r}")
    settings = {name: value for one in drawn for name, value in DRAWN[one].items()}
    return explanation.overlay(float(opacity), colormap=colormap, **settings)


def restyle(
    explained: CachedExplanation | None, opacity: Any, colormap: Any, drawn: Any = ()
) -> tuple[Any, ...] | None:
    """Return the file of the overlay, and the facts, in other colours; None if there is no heatmap."""
    if explained is None:
        return None
    return store_image(styled(explained.explanation, opacity, colormap, drawn)), html.facts(explained, str(colormap))


def show_view(
    view: object, explained: CachedExplanation | None, opacity: Any, colormap: Any, drawn: Any = ()
) -> tuple[Any, ...]:
    """Show the heatmap, or the image and the heatmap under a slider; return both components."""
    is_wipe = view == WIPE and explained is not None
    pair = _before_and_after(explained.explanation, opacity, colormap, drawn) if is_wipe and explained else None
    return gr.update(visible=not is_wipe), gr.update(visible=is_wipe, value=pair)


def _before_and_after(explanation: Explanation, opacity: Any, colormap: Any, drawn: Any) -> tuple[str, str]:
    whole = explanation.whole.open() if explanation.whole else None
    return store_image(whole or explanation.image), store_image(styled(explanation, opacity, colormap, drawn))


def probe(
    explained: CachedExplanation | None, opacity: Any, colormap: Any, drawn: Any, event: gr.SelectData
) -> tuple[str, str]:
    """Measure what the place of a click matters; return the overlay's file, with a ring around it, and a sentence.

    Raises :class:`ImageError` for a place that the network did not receive.
    """
    if explained is None:
        raise ImageError(EXPIRED)
    explanation = explained.explanation
    overlay = styled(explanation, opacity, colormap, drawn)
    (left, top, right, bottom), size = explanation.frame
    column, row = _position(event.index)
    across, down = size[0] / overlay.width, size[1] / overlay.height
    x, y = (column * across - left) / (right - left), (row * down - top) / (bottom - top)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ImageError("the network did not receive this part of the image: click inside the frame")
    height, width = explanation.heatmap.shape
    effect = region_effect(explanation, disc((height, width), x, y, _RADIUS))
    radius = _RADIUS * min((right - left) / across, (bottom - top) / down)
    return store_image(_ringed(overlay, column, row, radius)), html.place(explanation.class_name, effect)


def _position(index: object) -> tuple[float, float]:
    """Return the column and row of a click, as a browser sent it."""
    if isinstance(index, list | tuple) and len(index) == 2 and all(isinstance(one, int | float) for one in index):
        return float(index[0]), float(index[1])
    raise ImageError("click on a place in the image")


def _ringed(image: Image.Image, column: float, row: float, radius: float) -> Image.Image:
    canvas, width = ImageDraw.Draw(image), max(2, round(max(image.size) / 250))
    for colour, extra in (("black", width), ("white", 0)):
        reach = radius + extra / 2
        canvas.ellipse(
            (column - reach, row - reach, column + reach, row + reach), outline=colour, width=width + extra
        )
    return image
