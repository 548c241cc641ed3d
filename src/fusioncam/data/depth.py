"""Greys and colours of more than 8 bits: which values are black and white."""

from __future__ import annotations

import re
import warnings
from typing import Any

from PIL import Image

from fusioncam.errors import FusionCamWarning

# tags of TIFF: BitsPerSample, PhotometricInterpretation, ImageDescription, and pairs of lowest and highest values
_BITS, _PHOTOMETRIC, _DESCRIPTION = 258, 262, 270
_RANGES = ((340, 341), (280, 281))
_MIN_IS_WHITE = 0
_DEPTHS = (8, 10, 12, 14)  # of sensors, stored in 16 bits

Range = tuple[float, float]
FULL = (0, 65535)


def black_and_white(image: Image.Image, lowest: int, highest: int, *, is_scaled: bool, name: str) -> Range:
    """Return the values of black and white of a grey image with these lowest and highest values.

    They are what the file states, or else what its values suggest, with a :class:`FusionCamWarning`. ``is_scaled``
    means that PIL scaled the values to 16 bits.
    """
    stated = FULL if is_scaled else _stated_range(image)
    black, white = stated or guessed_range(lowest, highest, name)
    return (white, black) if _is_inverted(image) else (black, white)


def scaled_to_16_bits(image: Image.Image) -> bool:
    """Return whether PIL scales the greys of an image that is not decoded yet from its own range to 16 bits."""
    decoders = [tile[0] for tile in getattr(image, "tile", ())]
    return image.format == "PPM" and "raw" not in decoders


def has_deep_colours(image: Image.Image) -> bool:
    """Return whether PIL keeps only the upper 8 of 16 bits of a colour image that is not decoded yet."""
    return not image.mode.startswith("I") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def lost_factor(highest: int, name: str) -> int:
    """Return by what to multiply the upper 8 bits of colours that use fewer than 16 bits; ``highest`` is of the 8."""
    bits = next((bits for bits in _DEPTHS if highest < 2 ** (bits - 8)), 16)
    if bits < 16:
        readable = f"only the upper {bits - 8} of these" if bits > 8 else "none of these"
        _warn(f"{name}: its colours use {bits} of 16 bits, and {readable} can be read: convert it to 8 bits")
    return int(2 ** (16 - bits))


def imagej_facts(image: Image.Image) -> dict[str, float]:
    """Return the numbers that ImageJ wrote into a TIFF, for example ``min`` and ``max`` of the display."""
    text = str(_tags(image).get(_DESCRIPTION, ""))
    if not text.startswith("ImageJ="):
        return {}
    return {
        key: float(value) for key, value in re.findall(r"^(\w+)=(-?\d{1,15}(?:\.\d{1,15})?)$", text, re.MULTILINE)
    }


def _stated_range(image: Image.Image) -> Range | None:
    tags, facts = _tags(image), imagej_facts(image)
    pairs = [(_number(tags.get(low)), _number(tags.get(high))) for low, high in _RANGES]
    for black, white in [*pairs, (facts.get("min"), facts.get("max"))]:
        if black is not None and white is not None and black < white and (black, white) != FULL:
            return black, white
    bits = _number(tags.get(_BITS)) or 16
    return (0, 2**bits - 1) if bits < 16 else None


def guessed_range(lowest: int, highest: int, name: str) -> Range:
    """Return black and white for integers whose range is not stated, with a :class:`FusionCamWarning`."""
    if 0 <= lowest <= highest <= FULL[1]:
        bits = next((bits for bits in _DEPTHS if highest < 2**bits), 16)
        if bits == 16 or lowest == highest:  # one value does not show the range
            return FULL
        _warn(f"{name}: the range of its values is not stated, and they reach {highest:,}: {bits} bits are assumed")
        return 0, 2**bits - 1
    _warn(
        f"{name}: the range of its values is not stated: the lowest, {lowest:,}, is shown as black, and the highest, "
        f"{highest:,}, as white"
    )
    return lowest, highest


def _is_inverted(image: Image.Image) -> bool:
    return bool(_tags(image).get(_PHOTOMETRIC) == _MIN_IS_WHITE)  # PIL inverts only up to 8 bits


def _tags(image: Image.Image) -> Any:
    return getattr(image, "tag_v2", {})


def _number(value: Any) -> float | None:
    value = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _warn(message: str) -> None:
    warnings.warn(message, FusionCamWarning, stacklevel=2)
