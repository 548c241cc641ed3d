"""Overlays under the name of torch-cam."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fusioncam.errors import InputTypeError, SettingError, shown
from fusioncam.visualization import OverlayStyle, overlay


def overlay_mask(img: Image.Image, mask: Image.Image, colormap: str = "jet", alpha: float = 0.7) -> Image.Image:
    """Return an image below a coloured heatmap, an image in [0, 1] of mode "F"; ``alpha`` is the image's weight.

    Heatmaps are shown as they are; torch-cam squares them, which hides low values.
    """
    if not isinstance(img, Image.Image) or not isinstance(mask, Image.Image) or mask.mode != "F":
        raise InputTypeError(f"expected two PIL images, the second of mode 'F', got {shown(img)} and {shown(mask)}")
    if not 0 <= alpha < 1:
        raise SettingError(f"alpha must be at least 0 and below 1, got {alpha}")
    return overlay(img, np.asarray(mask), OverlayStyle(1 - alpha, colormap, fade=False))
