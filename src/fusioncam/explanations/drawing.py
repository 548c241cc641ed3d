"""Draw a heatmap over the whole image that was explained, or over the part that the network received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from PIL import Image
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.explanations.original import Original
from fusioncam.functional.regions import placed_boxes
from fusioncam.visualization import Box, OverlayStyle, draw_boxes, draw_window, overlay_part, with_colorbar

# "image" is the whole image, "crop" the part that the network received
VIEWS = ("image", "crop")


def draw(
    part: Image.Image,
    heatmap: Tensor,
    original: Original | None,
    style: OverlayStyle,
    *,
    boxes: Mapping[Box, str],
    view: str = "image",
) -> Image.Image:
    """Return the image under a heatmap ``(H, W)``, with named boxes in pixels of the heatmap.

    ``part`` is what the network received; it is drawn with ``view="crop"``, and if the whole image cannot be opened.
    Raises :class:`UnknownNameError` for another view.
    """
    require_known("view", view, VIEWS)
    image, window = part, (0.0, 0.0, float(part.width), float(part.height))
    if view == "image" and original is not None and (whole := original.open()) is not None:
        image, window = whole, original.window
    drawn = overlay_part(image, heatmap.numpy(), window, replace(style, colorbar=False))
    draw_window(drawn, window)
    if boxes:
        corners = placed_boxes(np.array(list(boxes)), tuple(heatmap.shape), window, drawn.size)
        draw_boxes(drawn, dict(zip(corners, boxes.values(), strict=True)))
    return with_colorbar(drawn, style.colormap) if style.colorbar else drawn
