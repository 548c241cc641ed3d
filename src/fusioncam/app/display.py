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
from fusioncam.visualization import DEFAULT_COLORMAP, DEFAULT_OPACITY, with_colorbar

COLORMAPS = ("turbo", "viridis", "inferno", "magma", "jet")
# how the heatmap may be drawn, and the arguments of :meth:`Explanation.overlay`
DRAWN: dict[str, dict[str, Any]] = {
    "fades with the heat": {"fade": True},
    "line at half heat": {"contour": 0.5},
    "boxes": {"boxes": True},
    "colour bar": {"colorbar": True},
}
DEFAULT_DRAWN = ("fades with the heat",)
HEATMAP, WIPE = "heatmap", "before and after"
_RADIUS = 0.125  # of the disc around a place, as a share of the shorter side
EXPIRED = "this heatmap has expired: choose the image again"


def overlay_settings(
    opacity: Any = DEFAULT_OPACITY, colormap: Any = DEFAULT_COLORMAP, drawn: Any = DEFAULT_DRAWN
) -> dict[str, Any]:
    """Return the arguments of an overlay; raise :class:`SettingError` for values that the page does not offer."""
    if not isinstance(opacity, int | float):
        raise SettingError(f"opacity must be a number between 0 and 1, got {opacity!r}")
    if colormap not in COLORMAPS:
        raise SettingError(f"colormap must be one of {', '.join(COLORMAPS)}, got {colormap!r}")
    if not isinstance(drawn, list | tuple) or any(not isinstance(one, str) or one not in DRAWN for one in drawn):
        raise SettingError(f"what is drawn must be a list of {', '.join(DRAWN)}, got {drawn!r}")
    chosen = {name: value for one in drawn for name, value in DRAWN[one].items()}
    return {"opacity": float(opacity), "colormap": colormap, "fade": False} | chosen


def styled(explanation: Explanation, *style: Any) -> Image.Image:
    """Return the overlay of an explanation; ``style`` are the arguments of :func:`overlay_settings`."""
    return explanation.overlay(**overlay_settings(*style))


def restyle(explained: CachedExplanation | None, *style: Any) -> tuple[Any, ...] | None:
    """Return the file of the overlay, and the facts, in another style; None if there is no heatmap."""
    if explained is None:
        return None
    settings = overlay_settings(*style)
    return store_image(explained.explanation.overlay(**settings)), html.facts(explained, settings["colormap"])


def show_view(view: object, explained: CachedExplanation | None, *style: Any) -> tuple[Any, ...]:
    """Show the heatmap, or the image and the heatmap under a slider; return both components."""
    is_wipe = view == WIPE and explained is not None
    pair = _before_and_after(explained.explanation, *style) if is_wipe and explained else None
    return gr.update(visible=not is_wipe), gr.update(visible=is_wipe, value=pair)


def _before_and_after(explanation: Explanation, *style: Any) -> tuple[str, str]:
    """Return the files of the image and of its overlay, which has no colour bar, so that both have one size."""
    whole = explanation.whole.open() if explanation.whole else None
    overlay = explanation.overlay(**overlay_settings(*style) | {"colorbar": False})
    return store_image(whole or explanation.image), store_image(overlay)


def probe(
    explained: CachedExplanation | None, opacity: Any, colormap: Any, drawn: Any, event: gr.SelectData
) -> tuple[str, str] | None:
    """Measure what the place of a click matters; return the overlay's file, with a ring around it, and a sentence.

    Return None if another heatmap was requested meanwhile. Raises :class:`ImageError` for a place that the network
    did not receive.
    """
    if explained is None:
        raise ImageError(EXPIRED)
    explanation, settings = explained.explanation, overlay_settings(opacity, colormap, drawn)
    overlay = explanation.overlay(**settings | {"colorbar": False})
    (left, top, right, bottom), size = explanation.frame
    column, row = _position(event.index)
    across, down = size[0] / overlay.width, size[1] / overlay.height
    x, y = (column * across - left) / (right - left), (row * down - top) / (bottom - top)
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ImageError("the network did not receive this part of the image: click inside the frame")
    height, width = explanation.heatmap.shape
    effect = region_effect(explanation, disc((height, width), x, y, _RADIUS))
    radius = _RADIUS * min((right - left) / across, (bottom - top) / down)
    shown = _ringed(overlay, column, row, radius)
    if settings.get("colorbar"):
        shown = with_colorbar(shown, colormap)
    return None if explained.superseded.is_set() else (store_image(shown), html.place(explanation.class_name, effect))


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
