"""Open files and arrays as upright RGB images, and find image files."""

from __future__ import annotations

import glob
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fusioncam.errors import ImageError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MAX_PIXELS = 100_000_000

ImageLike = str | Path | Image.Image | NDArray[np.uint8]


def open_image(
    source: ImageLike, *, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] | None = None
) -> Image.Image:
    """Return an upright RGB image from a file, a PIL image or a uint8 array.

    An array is ``(H, W)`` for grey, ``(H, W, 3)`` for RGB or ``(H, W, 4)`` for RGBA. Transparent parts become white,
    16 bits become 8, and the EXIF orientation is applied. A file with more than ``max_pixels``, or in none of the
    ``formats`` (PIL's names; None allows all), is rejected before its pixels are decoded. Raises :class:`ImageError`.
    """
    if isinstance(source, str | os.PathLike):
        return _from_file(Path(source), max_pixels, formats)
    image = source if isinstance(source, Image.Image) else _from_array(source)
    with _image_errors("the image", max_pixels):
        return _upright_rgb(image)


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    expected = "a uint8 array (H, W) or (H, W, 3)"
    if not isinstance(array, np.ndarray):
        raise ImageError(f"expected a path, a PIL image or {expected}, got {type(array).__name__}")
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise ImageError(f"expected {expected}, got {array.dtype} {array.shape}")
    return Image.fromarray(array)


def _from_file(path: Path, max_pixels: int, formats: tuple[str, ...] | None) -> Image.Image:
    if not os.path.isfile(path):  # noqa: PTH113 # pathlib raises an error for names that are too long
        raise ImageError(f"{path}: {'a folder, not an image' if os.path.isdir(path) else 'no such file'}")  # noqa: PTH112
    size = path.stat().st_size
    if size == 0:
        raise ImageError(f"{path}: the file is empty (0 bytes)")
    return _decode(path, str(path), size, max_pixels, formats)


def read_image(data: bytes, name: str) -> Image.Image:
    """Return an upright RGB image from the bytes of a file; ``name`` is used in the :class:`ImageError`."""
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)")
    return _decode(io.BytesIO(data), name, len(data), MAX_PIXELS, None)


def _decode(
    file: Path | io.BytesIO, name: str, size: int, max_pixels: int, formats: tuple[str, ...] | None
) -> Image.Image:
    with _image_errors(name, max_pixels, f" ({size:,} bytes)"), warnings.catch_warnings():
        # the limit below replaces PIL's, with a clearer error
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(file, formats=formats) as image:
            if image.width * image.height > max_pixels:
                raise Image.DecompressionBombError
            return _upright_rgb(image)


@contextmanager
def _image_errors(name: str, max_pixels: int, size: str = "") -> Iterator[None]:
    """Turn the errors that PIL raises on damaged images into :class:`ImageError` with the image's name."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image in a known format{size}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: it has over {max_pixels:,} pixels: resize it first") from None
    except (OSError, SyntaxError, ValueError) as error:  # PIL's decoders raise these on damaged files
        raise ImageError(f"{name}: damaged or truncated: {error}{size}") from None


def _upright_rgb(image: Image.Image) -> Image.Image:
    if min(image.size) < 2:
        raise ImageError(f"an image needs at least 2 x 2 pixels, got {image.width} x {image.height}")
    if image.mode == "F":
        raise ImageError("floating-point pixels have no fixed range: convert the image to 8 or 16 bits")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # PIL's own conversion clips 16-bit grey at 255
        grey = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def find_images(paths: Iterable[str | Path]) -> Iterator[Path | ImageError]:
    """Yield the image files of files, folders (searched recursively) and glob patterns, sorted within each argument.

    An argument without images yields an :class:`ImageError` at its position instead of raising it, so that the others
    are still found.
    """
    for path in map(str, paths):
        if os.path.isdir(path):  # noqa: PTH112 # pathlib raises an error for names that are too long
            found, problem = _images_in(Path(path)), f"the folder has no image ({', '.join(SUFFIXES)})"
        elif glob.has_magic(path) and not os.path.exists(path):  # noqa: PTH110 # as above
            found, problem = _matches(path), "no file matches this pattern"
        else:
            found, problem = [Path(path)] if path else [], "the path is empty: give a file, a folder or a pattern"
        yield from found
        if not found:
            yield ImageError(f"{path}: {problem}")


def _matches(pattern: str) -> list[Path]:
    matches = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 # the pattern may be absolute
    return sorted({file for match in matches for file in (_images_in(match) if match.is_dir() else [match])})


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_image(path) and not _is_hidden(path.relative_to(folder)))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
