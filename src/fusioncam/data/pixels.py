"""Convert the pixels of any image to upright 8-bit RGB, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import ExifTags, Image, ImageOps

from fusioncam.data.depth import black_and_white, has_deep_colours, lost_factor, scaled_to_16_bits
from fusioncam.errors import ImageError

_STRIP = 2**18  # pixels that are converted at a time, so that memory is bounded by the image and its result
_ORIENTATION = ExifTags.Base.Orientation
_SMALL_MODES = {"1": 1, "L": 1, "P": 1}


def bytes_per_pixel(image: Image.Image) -> int:
    """Return the memory that PIL needs for a pixel of an image that is not decoded yet."""
    if image.format == "JPEG2000":  # its decoder holds 32 bits for each channel
        return 4 + 4 * len(image.getbands())
    if image.format == "DICOM":  # its window is applied to numbers of 64 bits
        return 16
    return 2 if image.mode.startswith("I;16") else _SMALL_MODES.get(image.mode, 4)


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Return the image as 8-bit RGB on white, turned by its EXIF orientation; the given image is not changed.

    ``name`` is used in the :class:`FusionCamWarning` about a range of values that had to be guessed.
    Raises :class:`ImageError` for fewer than 2 x 2 pixels and for floating-point pixels.
    """
    if min(image.size) < 2:
        raise ImageError(f"an image needs at least 2 x 2 pixels, got {image.width} x {image.height}")
    if image.mode == "F":
        raise ImageError("floating-point pixels have no fixed range: convert the image to 8 or 16 bits")
    is_scaled, is_deep = scaled_to_16_bits(image), has_deep_colours(image)
    image.load()
    if image.mode.startswith("I"):  # PIL's own conversion clips 16-bit grey at 255
        rgb = _grey_from_16_bits(image, is_scaled, name)
    elif image.has_transparency_data:
        rgb = _by_strips(image, _on_white)
    else:
        rgb = image.convert("RGB")
    if is_deep:
        factor = lost_factor(_highest(rgb), name)
        rgb = rgb if factor == 1 else rgb.point(lambda value: min(value * factor, 255))
    if orientation := image.getexif().get(_ORIENTATION):
        rgb.getexif()[_ORIENTATION] = orientation
        ImageOps.exif_transpose(rgb, in_place=True)
    return rgb


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    rgb = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        rgb.paste(convert(strip), (0, top))
    return rgb


def _highest(image: Image.Image) -> int:
    return max(int(np.asarray(strip).max()) for _, strip in _strips(image))


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    step = max(1, _STRIP // image.width)
    for top in range(0, image.height, step):
        yield top, image.crop((0, top, image.width, min(top + step, image.height)))


def _grey_from_16_bits(image: Image.Image, is_scaled: bool, name: str) -> Image.Image:
    lowest = min(int(np.asarray(strip).min()) for _, strip in _strips(image))
    black, white = black_and_white(image, lowest, _highest(image), is_scaled=is_scaled, name=name)
    low, levels = min(black, white), abs(white - black) + 1

    def convert(strip: Image.Image) -> Image.Image:
        grey = ((np.asarray(strip) - low) * (256 / levels)).clip(0, 255).astype(np.uint8)
        return Image.fromarray(255 - grey if black > white else grey).convert("RGB")

    return _by_strips(image, convert)


def _on_white(strip: Image.Image) -> Image.Image:
    strip = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")
