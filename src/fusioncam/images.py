"""Files and arrays -> upright RGB pictures, or an error that says what is wrong with the file."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MAX_PIXELS = 100_000_000

Picture = str | Path | Image.Image | NDArray[np.uint8]


def open_picture(source: Picture) -> Image.Image:
    """Give an upright RGB picture from a file, a PIL image or a uint8 array ``(H, W)`` or ``(H, W, 3)``.

    Transparent parts become white, 16 bits become 8, EXIF rotation is applied. Raises :class:`ImageError`.
    """
    if isinstance(source, Image.Image):
        return _large_enough(_upright_rgb(source), "the picture")
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or source.shape[2:] not in ((), (3,), (4,)):
            raise ImageError(f"expected a uint8 array (H, W) or (H, W, 3), got {source.dtype} {source.shape}")
        return _large_enough(_upright_rgb(Image.fromarray(source)), "the array")
    return _large_enough(_from_file(Path(source)), str(source))


def _from_file(path: Path) -> Image.Image:
    if not path.is_file():
        raise ImageError(f"{path}: {'a folder, not a picture' if path.is_dir() else 'no such file'}")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            # ours is the limit below, and its error says more
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Image.DecompressionBombError(f"{picture.width:,} x {picture.height:,} pixels")
                return _upright_rgb(picture)
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a picture in a known format ({path.stat().st_size:,} bytes)") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}: over {MAX_PIXELS:,} pixels, make it smaller first") from None
    except (OSError, SyntaxError, ValueError) as error:  # what PIL's decoders raise on damaged files
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path}: damaged or cut off ({error}), {path.stat().st_size:,} bytes") from None


def _upright_rgb(picture: Image.Image) -> Image.Image:
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        raise ImageError("floating-point pixels have no fixed range: convert the picture to 8 or 16 bits")
    if picture.mode.startswith("I"):  # 16 bits of grey, which PIL's own conversion would clip at 255
        grey = np.asarray(picture).astype(np.int64).clip(0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _large_enough(picture: Image.Image, name: str) -> Image.Image:
    if min(picture.size) < 2:
        raise ImageError(f"{name}: {picture.width} x {picture.height} pixels are too few to explain")
    return picture


def find_pictures(paths: Iterable[str | Path]) -> Iterator[Path | ImageError]:
    """Give the picture files that files, folders (searched through) and glob patterns stand for, sorted.

    What stands for nothing comes as an :class:`ImageError` in its place, so that the rest goes on.
    """
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(one for one in path.rglob("*") if _is_picture(one))
            yield from _or_error(found, f"{path}: the folder has no picture ({', '.join(SUFFIXES)})")
        elif not path.exists() and glob.has_magic(str(path)):
            matches = sorted(Path(one) for one in glob.glob(str(path), recursive=True))  # noqa: PTH207 # any root
            yield from _or_error(matches, f"{path}: nothing matches this pattern")
        else:
            yield path


def _or_error(paths: list[Path], message: str) -> Iterable[Path | ImageError]:
    return paths or [ImageError(message)]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
