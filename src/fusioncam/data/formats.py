"""The image formats that are opened, by the contents of a file, and their suffixes, by which folders are searched."""

from __future__ import annotations

import struct
from pathlib import PurePath
from typing import IO

from PIL import Image, UnidentifiedImageError

from fusioncam.data.dicom_image import SUFFIX, DicomImage, is_dicom

# Only raster formats that PIL and its plugins decode themselves: PIL runs Ghostscript on the content of EPS files.
# PIL tries them in this order; TGA is last because its files have no signature.
FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "HEIF", "JPEG2000", "TIFF", "PPM", "QOI", "PCX", "SGI"),
    "TGA",
)
_WITH_SUFFIXES = (*FORMATS, "MPO")  # PIL opens MPO, a JPEG with further images, as JPEG


def suffixes() -> list[str]:
    """Return the suffixes of the formats, for example ``.jpg``; PIL's plugins, as for HEIC, may add some."""
    of_pil = {suffix for suffix, name in Image.registered_extensions().items() if name in _WITH_SUFFIXES}
    return sorted({*of_pil, SUFFIX})


def has_image_suffix(path: PurePath) -> bool:
    """Return whether the name of a file is that of an image, in upper or lower case."""
    suffix = path.suffix.lower()
    return suffix == SUFFIX or Image.registered_extensions().get(suffix) in _WITH_SUFFIXES


def identify(file: IO[bytes]) -> Image.Image:
    """Return the image in an open file without decoding its pixels.

    This is ``PIL.Image.open`` without its check of the size, which warns and so depends on the warnings filter that
    all threads share. Raises PIL's errors.
    """
    if is_dicom(file):
        return DicomImage(file, "")
    file.seek(0)
    Image.init()
    prefix, reason = file.read(16), ""
    for name in FORMATS:
        if name not in Image.OPEN:
            continue
        create, accepts = Image.OPEN[name]
        accepted = accepts is None or accepts(prefix)
        if accepted and not isinstance(accepted, str):  # a text says that PIL was built without this format
            file.seek(0)
            try:
                return create(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error) as error:
                # another format may have the same first bytes
                reason = reason or (f": {name}: {error}" if accepts else "")
    raise UnidentifiedImageError(reason)


def is_known(image: Image.Image) -> bool:
    """Return whether an image is of one of the formats, or not from a file."""
    return image.format in (None, DicomImage.format, *_WITH_SUFFIXES)
