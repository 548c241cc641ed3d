"""Open files and arrays as upright RGB images."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from torch import Tensor

from fusioncam.data.channels import (
    ChannelImage,
    OpenedImage,
    as_8_bits,
    as_channels,
    bands_of,
    in_unit_range,
    is_array_file,
    pages_of,
    read_array,
    read_tiff,
)
from fusioncam.data.formats import identify, is_known
from fusioncam.data.frames import at_frame
from fusioncam.data.pixels import bytes_per_pixel, upright_rgb
from fusioncam.errors import ImageError, MissingExtraError

MAX_PIXELS = 100_000_000
MAX_BYTES = 400_000_000  # of decoded pixels: as many as MAX_PIXELS of RGB need in PIL

ImageLike = str | Path | OpenedImage | NDArray[Any] | Tensor


def open_image(source: ImageLike, *, max_pixels: int = MAX_PIXELS, frame: int | None = None) -> Image.Image:
    """Return an upright RGB image from a file, a PIL image, an array or a tensor.

    An array, also in a ``.npy`` file, is ``(H, W)`` for grey, ``(H, W, 3)`` for RGB or ``(H, W, 4)`` for RGBA; a
    tensor is ``(C, H, W)``. Both have 8 or 16 bits, or floating-point numbers in [0, 1]; all become 8 bits.
    Transparent parts become white, and the EXIF orientation is applied. ``frame``, counted from 1, chooses one of
    several. A file in none of the ``FORMATS``, or with more than ``max_pixels``, is rejected before its pixels are
    decoded.

    Raises :class:`ImageError`. A :class:`FusionCamWarning` says that the first of several frames is used, and how
    values of more than 8 bits are scaled if the file does not state their range.
    """
    if isinstance(source, str | os.PathLike):
        if is_array_file(source):
            return _from_array(read_array(source, max_pixels), str(source))
        with opened(source, max_pixels=max_pixels) as image:
            return _frame(image, frame, str(source))
    pixels = source.values if isinstance(source, ChannelImage) else source
    image = pixels if isinstance(pixels, Image.Image) else _from_array(pixels)
    with _image_errors("the image", max_pixels):
        if isinstance(image, ImageFile) and not is_known(image):
            raise ImageError(f"{image.format} is not a format that is opened: convert the image to RGB")
        return _frame(image, frame, "the image")


def _frame(image: Image.Image, frame: int | None, name: str) -> Image.Image:
    with at_frame(image, frame, name):
        return upright_rgb(image, name)


def read_image(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return an upright RGB image from the bytes of a file; ``name`` is used in the :class:`ImageError`."""
    with _identified(io.BytesIO(data), name, len(data), max_pixels) as image:
        return _frame(image, None, name)


def read_with_channels(data: bytes, name: str, channels: int) -> OpenedImage:
    """Return what :func:`open_with_channels` does from the bytes of a file with that name."""
    if channels in (1, 3):
        return read_image(data, name)
    with TemporaryDirectory() as folder:
        path = Path(folder, f"image{Path(name).suffix}")
        path.write_bytes(data)
        try:
            return _file_with_channels(path, channels, MAX_PIXELS, None)
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), name)) from None


def with_name(image: OpenedImage, name: str) -> OpenedImage:
    """Return the image with this name as its ``filename``, where PIL stores it too."""
    if isinstance(image, ChannelImage):
        return replace(image, filename=name)
    image.filename = name  # type: ignore[attr-defined] # PIL sets it only for files
    return image


@contextmanager
def opened(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image file without decoding its pixels; raise :class:`ImageError`, also for errors in the block."""
    with open_file(path) as file, _identified(file, str(path), os.fstat(file.fileno()).st_size, max_pixels) as image:
        yield image


def open_file(path: str | Path) -> IO[bytes]:
    """Open a regular file to read it; raise :class:`ImageError` that says why it cannot be read."""
    if not os.path.isfile(path):  # noqa: PTH113 # pathlib raises an error for names that are too long
        raise ImageError(f"{path}: {_problem_with(path)}")
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _problem_with(path: str | Path) -> str:
    """Return why this path is not a file."""
    try:
        if os.path.isdir(path):  # noqa: PTH112 # as above
            os.scandir(path).close()
            return "a folder, not an image"
        os.stat(path)  # noqa: PTH116 # as above
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    return "not a regular file"


@contextmanager
def _identified(file: IO[bytes], name: str, size: int, max_pixels: int) -> Iterator[Image.Image]:
    if size == 0:
        raise ImageError(f"{name}: the file is empty (0 bytes)")
    with _image_errors(name, max_pixels, f" ({size:,} bytes)"), identify(file) as image:
        pixels = image.width * image.height
        if pixels > max_pixels:
            raise Image.DecompressionBombError
        if pixels * bytes_per_pixel(image) > MAX_BYTES:
            raise ImageError(f"its pixels need over {MAX_BYTES // 10**6} MB of memory: resize it first")
        yield image


def _from_array(array: NDArray[Any] | Tensor, name: str = "the array") -> Image.Image:
    expected = "(H, W), (H, W, 3) or (H, W, 4), or a tensor (C, H, W)"
    if not isinstance(array, np.ndarray | Tensor):
        raise ImageError(f"expected a path, a PIL image or an array {expected}, got {type(array).__name__}")
    values = array if isinstance(array, np.ndarray) and array.dtype == np.uint8 else in_unit_range(array, name)
    if isinstance(array, Tensor) and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    values = values[..., 0] if values.shape[2:] == (1,) else values
    if values.ndim not in (2, 3) or values.shape[2:] not in ((), (3,), (4,)):
        raise ImageError(
            f"expected an array {expected}, got {array.dtype} {tuple(array.shape)}: for a network of other channels, "
            "pass a Preprocessing with one number per channel in mean and std"
        )
    return Image.fromarray(values) if values.dtype == np.uint8 else as_8_bits(values)


def open_with_channels(
    source: ImageLike, channels: int, *, max_pixels: int = MAX_PIXELS, frame: int | None = None
) -> OpenedImage:
    """Return the image as a network of so many channels takes it: :func:`open_image` for 1 and 3 channels.

    For another number the channels are those of an array or tensor, the bands of a file (as in RGBA or a TIFF), or
    the pages of a TIFF if it has as many. Raises :class:`ImageError`, also for another number of channels.
    """
    if channels in (1, 3):
        return open_image(source, max_pixels=max_pixels, frame=frame)
    if isinstance(source, Image.Image):
        return bands_of(source, channels, "the image")
    if isinstance(source, ChannelImage):
        return as_channels(source.values, channels, source.filename or "the image")
    if not isinstance(source, str | os.PathLike):
        if not isinstance(source, np.ndarray | Tensor):
            raise ImageError(f"expected a path, an image, an array or a tensor, got {type(source).__name__}")
        return as_channels(source, channels, "the array")
    return _file_with_channels(source, channels, max_pixels, frame)


def _file_with_channels(path: str | Path, channels: int, max_pixels: int, frame: int | None) -> ChannelImage:
    name = str(path)
    if is_array_file(path):
        return as_channels(read_array(path, max_pixels), channels, name)
    try:
        with opened(path, max_pixels=max_pixels) as image:
            if frame is None and getattr(image, "n_frames", 1) == channels:
                return as_channels(pages_of(image, name), channels, name)
            return bands_of(image, channels, name)
    except ImageError:
        if Path(path).suffix.lower() not in (".tif", ".tiff") or not os.path.isfile(path):  # noqa: PTH113 # as above
            raise
        return as_channels(read_tiff(path, max_pixels), channels, name)


@contextmanager
def _image_errors(name: str, max_pixels: int, size: str = "") -> Iterator[None]:
    """Turn the errors that PIL raises on damaged images into :class:`ImageError` with the image's name."""
    try:
        yield
    except (ImageError, MissingExtraError) as error:
        raise ImageError(f"{name}: {error}") from None
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not an image in a known format{size}{error}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: it has over {max_pixels:,} pixels: resize it first") from None
    except Warning:  # an error only because of the warnings filter
        raise
    except Exception as error:  # PIL's decoders raise many kinds of errors on damaged files
        raise ImageError(f"{name}: damaged or truncated: {error}{size}") from None
