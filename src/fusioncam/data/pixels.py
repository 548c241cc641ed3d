"""Convert the pixels of any image to upright 8-bit RGB, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import ExifTags, Image, ImageOps

from fusioncam.errors import ImageError

_STRIP = 2**22  # pixels that are converted at a time, so that memory is bounded by the image and its result
_ORIENTATION = ExifTags.Base.Orientation
_SMALL_MODES = {"1": 1, "L": 1, "P": 1}


def bytes_per_pixel(image: Image.Image) -> int:
    """Return the memory that PIL needs for a pixel of an image that is not decoded yet."""
    if image.format == "JPEG2000":  # its decoder holds 32 bits for each channel
        return 4 + 4 * len(image.getbands())
    return 2 if image.mode.startswith("I;16") else _SMALL_MODES.get(image.mode, 4)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Return the image as 8-bit RGB on white, turned by its EXIF orientation; the given image is not changed.

    Raises :class:`ImageError` for fewer than 2 x 2 pixels and for floating-point pixels.
    """
    if min(image.size) < 2:
        raise ImageError(f"an image needs at least 2 x 2 pixels, got {image.width} x {image.height}")
    if image.mode == "F":
        raise ImageError("floating-point pixels have no fixed range: convert the image to 8 or 16 bits")
    image.load()
    if image.mode.startswith("I"):  # PIL's own conversion clips 16-bit grey at 255
        rgb = _by_strips(image, _grey_from_16_bits)
    elif image.has_transparency_data:
        rgb = _by_strips(image, _on_white)
    else:
        rgb = image.convert("RGB")
    if orientation := image.getexif().get(_ORIENTATION):
        rgb.getexif()[_ORIENTATION] = orientation
        ImageOps.exif_transpose(rgb, in_place=True)
    return rgb


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    rgb = Image.new("RGB", image.size)
    step = max(1, _STRIP // image.width)
    for top in range(0, image.height, step):
        box = (0, top, image.width, min(top + step, image.height))
        rgb.paste(convert(image.crop(box)), box)
    return rgb


def _grey_from_16_bits(strip: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(strip).clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB")


def _on_white(strip: Image.Image) -> Image.Image:
    strip = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")
