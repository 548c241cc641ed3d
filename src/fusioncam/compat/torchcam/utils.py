"""Overlays under the name of torch-cam."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from PIL import Image

from fusioncam.errors import InputTypeError, SettingError, shown


def overlay_mask(img: Image.Image, mask: Image.Image, colormap: str = "jet", alpha: float = 0.7) -> Image.Image:
    """Return an image below a coloured heatmap, an image in [0, 1] of mode "F"; ``alpha`` is the image's weight.

    Heatmaps are shown as they are; torch-cam squares them, which hides low values.
    """
    if not isinstance(img, Image.Image) or not isinstance(mask, Image.Image):
        raise InputTypeError(f"expected two PIL images, got {shown(img)} and {shown(mask)}")
    if not 0 <= alpha < 1:
        raise SettingError(f"alpha must be at least 0 and below 1, got {alpha}")
    resized = np.asarray(mask.resize(img.size, Image.Resampling.BILINEAR))
    colours = colormaps[colormap](resized, bytes=True)[..., :3]
    return Image.blend(Image.fromarray(colours), img.convert("RGB"), alpha)
