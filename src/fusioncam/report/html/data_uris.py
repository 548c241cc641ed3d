"""Images and heatmaps as small data URIs."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from fusioncam.visualization import coloured

_FORMAT = "WEBP" if features.check("webp") else "JPEG"
_HEAT_SIDE = 128


def side_for(images: int) -> int:
    """Give how many pixels the longer side of each of so many images has: few may be large."""
    return 512 if images <= 24 else 320 if images <= 200 else 224


def as_uri(image: Image.Image, side: int) -> str:
    """Give an image as a data URI, no larger than ``side`` pixels."""
    return _encoded(_reduced(image.convert("RGB"), side), 76)


def heat_uri(heatmap: NDArray[np.float32]) -> str:
    """Give a heatmap ``(H, W)`` in [0, 1] as opaque colours, which a page may lay over an image."""
    scale = min(1.0, _HEAT_SIDE / max(heatmap.shape))
    height, width = (max(1, round(side * scale)) for side in heatmap.shape)
    return _encoded(Image.fromarray((coloured(heatmap, (width, height)) * 255).round().astype(np.uint8)), 72)


def _reduced(image: Image.Image, side: int) -> Image.Image:
    copy = image.copy()
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy


def _encoded(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, _FORMAT, quality=quality, **({"method": 2} if _FORMAT == "WEBP" else {}))
    return f"data:image/{_FORMAT.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
