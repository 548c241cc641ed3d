"""Images of any number of channels: arrays, tensors, ``.npy`` files, and the bands or pages of a TIFF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fusioncam.data.depth import guessed_range
from fusioncam.errors import ImageError
from fusioncam.utils.array_files import map_array
from fusioncam.utils.optional import extra

_SHOWN = (2, 98)  # percentiles that are shown as black and white


@dataclass(frozen=True, eq=False)
class ChannelImage:
    """An image of any number of channels: ``values`` ``(H, W, C)`` float32 in [0, 1].

    ``filename`` is the name of its file, as that of a PIL image; "" if it does not come from one.
    """

    values: NDArray[np.float32]
    filename: str = ""

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self.values.shape[1])

    @property
    def height(self) -> int:
        """The number of rows."""
        return int(self.values.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """The (width, height), as that of a PIL image."""
        return self.width, self.height

    @property
    def tensor(self) -> Tensor:
        """The values ``(C, H, W)``."""
        return torch.from_numpy(self.values).movedim(-1, 0)

    def as_rgb(self) -> Image.Image:
        """Return the first three channels as red, green and blue, or the first one as grey, to look at.

        The contrast is stretched: the channels of a camera for science are often dark.
        """
        shown = self.values[..., :3] if self.values.shape[2] >= 3 else self.values[..., :1]
        low, high = np.percentile(shown, _SHOWN)
        stretched = ((shown - low) / max(float(high - low), 1e-6)).clip(0, 1)
        return as_8_bits(np.broadcast_to(stretched, (*shown.shape[:2], 3)))


OpenedImage = Image.Image | ChannelImage


def as_rgb(image: OpenedImage) -> Image.Image:
    """Return the image in RGB; the first three of more channels are shown as red, green and blue."""
    return image.as_rgb() if isinstance(image, ChannelImage) else image.convert("RGB")


def is_array_file(path: str | Path) -> bool:
    """Return whether a path names a file of numpy's."""
    return Path(path).suffix.lower() == ".npy"


def read_array(path: str | Path, max_pixels: int) -> NDArray[Any]:
    """Return the array of a ``.npy`` file; raise :class:`ImageError` if it has none or is too large."""
    try:
        array = map_array(path)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: not an array that numpy can read: {error}") from None
    _require_size(array.size, max_pixels, path)
    return np.array(array)


def read_tiff(path: str | Path, max_pixels: int) -> NDArray[Any]:
    """Return the bands of a TIFF that PIL does not open; raise :class:`ImageError` if it is damaged or too large."""
    tifffile = extra("tiff", "tifffile", "TIFF files with more than four bands")
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            _require_size(series.size, max_pixels, path)  # before the pixels are decoded
            return np.asarray(series.asarray())
    except ImageError:
        raise
    except Exception as error:  # its decoders raise many kinds of errors on damaged files
        raise ImageError(f"{path}: damaged, or of a kind that tifffile does not open: {error}") from None


def _require_size(values: int, max_pixels: int, path: str | Path) -> None:
    if values > 3 * max_pixels:
        raise ImageError(f"{path}: it has {values:,} values, more than {3 * max_pixels:,}: resize it first")


def as_channels(array: NDArray[Any] | Tensor, channels: int, name: str) -> ChannelImage:
    """Return an array ``(H, W, C)`` or ``(C, H, W)``, or a tensor ``(C, H, W)``, as an image of so many channels.

    Raises :class:`ImageError` for another number of channels, and for values without a range.
    """
    is_tensor = isinstance(array, Tensor)
    values = in_unit_range(array, name)
    if values.ndim == 2:
        values = values[None] if is_tensor else values[..., None]
    if values.ndim != 3 or channels not in (values.shape[0], values.shape[-1]):
        raise ImageError(
            f"{name}: the network's preprocessing takes {channels} channels, got {tuple(array.shape)}: give an array "
            f"(H, W, {channels}), or pass a Preprocessing with one number per channel in mean and std"
        )
    if values.shape[-1] != channels or (is_tensor and values.shape[0] == channels):
        values = np.moveaxis(values, 0, -1)
    return ChannelImage(np.ascontiguousarray(values))


def in_unit_range(array: NDArray[Any] | Tensor, name: str) -> NDArray[np.float32]:
    """Return the values as float32 in [0, 1]; integers have the range of their type or of the bits that they use.

    Raises :class:`ImageError` for floating-point values outside [0, 1] and for other types.
    """
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
    if values.size == 0:
        raise ImageError(f"{name}: the array {values.shape} is empty")
    if values.dtype in (np.uint8, np.bool_):
        return np.asarray(values / np.float32(255 if values.dtype == np.uint8 else 1), np.float32)
    if values.dtype in (np.uint16, np.int16, np.int32):
        low, high = guessed_range(int(values.min()), int(values.max()), name)
        return np.asarray((values - np.float32(low)) / np.float32(high - low or 1), np.float32)
    if values.dtype.kind == "f":
        if values.min() >= 0 and values.max() <= 1:
            return np.asarray(values, np.float32)
        got = f"{values.min():.4g} to {values.max():.4g}"
        raise ImageError(f"{name}: floating-point pixels must be in [0, 1], got {got}: scale them")
    got = f"{values.dtype} {values.shape}"
    raise ImageError(f"{name}: pixels must have 8 or 16 bits or be floating-point numbers in [0, 1], got {got}")


def as_8_bits(values: NDArray[np.float32]) -> Image.Image:
    """Return values ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` in [0, 1] as an image."""
    return Image.fromarray((values * 255).round().astype(np.uint8))


def bands_of(image: Image.Image, channels: int, name: str) -> ChannelImage:
    """Return the bands of an image as channels, as those of RGBA; raise :class:`ImageError` for another number."""
    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return as_channels(np.asarray(image), channels, name)


def pages_of(image: Image.Image, name: str) -> NDArray[Any]:
    """Return the pages of a grey TIFF ``(H, W, pages)``; raise :class:`ImageError` if they differ in size."""
    pages = []
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        pages.append(np.asarray(image))
    if len({page.shape for page in pages}) > 1 or pages[0].ndim != 2:
        raise ImageError(f"{name}: its pages are not grey images of one size")
    return np.stack(pages, -1)
