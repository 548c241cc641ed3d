"""Images and heatmaps as small data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

_FORMAT = "WEBP" if features.check("webp") else "JPEG"
_HEATMAP_SIDE = 128


def image_side(count: int) -> int:
    """Return the length in pixels of the longer side of each of ``count`` images: fewer images may be larger."""
    return 512 if count <= 24 else 320 if count <= 200 else 224


def image_uri(image: Image.Image, side: int) -> str:
    """Return an image as a data URI; its longer side has at most ``side`` pixels."""
    return _encoded(_reduced(image.convert("RGB"), side), 76)


def strip_of(images: Sequence[Image.Image]) -> Image.Image:
    """Return images of one size one below the other."""
    width, height = images[0].size
    strip = Image.new("RGB", (width, height * len(images)))
    for index, image in enumerate(images):
        strip.paste(image.convert("RGB"), (0, index * height))
    return strip


def heatmap_uri(heatmap: NDArray[np.float32], slices: int = 1) -> str:
    """Return a heatmap ``(H, W)`` in [0, 1] as a data URI of a grey image, which a page colours.

    It may be ``(slices * H, W)``, the slices of a volume one below the other.
    """
    scale = min(1.0, _HEATMAP_SIDE / max(heatmap.shape[0] / slices, heatmap.shape[1]))
    height, width = (max(1, round(side * scale)) for side in heatmap.shape)
    grey = Image.fromarray(np.asarray(heatmap, np.float32) * 255).resize((width, height), Image.Resampling.BILINEAR)
    return _encoded(Image.fromarray(np.asarray(grey).round().clip(0, 255).astype(np.uint8)), 80)


def _reduced(image: Image.Image, side: int) -> Image.Image:
    copy = image.copy()
    copy.thumbnail((side, side), Image.Resampling.LANCZOS)
    return copy


def _encoded(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, _FORMAT, quality=quality, **({"method": 2} if _FORMAT == "WEBP" else {}))
    return f"data:image/{_FORMAT.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
