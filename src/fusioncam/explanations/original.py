"""The whole image of an explanation, of which the network may have received only a part."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fusioncam.data.channels import OpenedImage, as_rgb
from fusioncam.data.images import ImageLike, open_with_channels
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import ImageError
from fusioncam.visualization import Box


@dataclass(frozen=True, eq=False)
class Original:
    """The whole image: its ``size`` (width, height), and the ``window`` that the network received, in its pixels.

    An image from memory is kept. A file is opened again when the image is shown, so that explanations of many large
    photos need little memory.
    """

    size: tuple[int, int]
    window: Box
    _kept: Image.Image | None
    _path: str | Path | None
    _stamp: tuple[int, int] | None
    _frame: int | None
    _channels: int

    @classmethod
    def of(cls, source: ImageLike, opened: OpenedImage, preprocessing: Preprocessing, frame: int | None) -> Original:
        """Return the original of an opened image."""
        path = source if isinstance(source, str | Path) else None
        kept = as_rgb(opened) if path is None else None
        stamp = None if path is None else _stamp(path)
        window = preprocessing.visible_box(opened.size)
        return cls(opened.size, window, kept, path, stamp, frame, preprocessing.channels)

    def open(self) -> Image.Image | None:
        """Return the upright RGB image, or None if its file was changed or removed since."""
        if self._path is None:
            return self._kept
        if _stamp(self._path) != self._stamp:
            return None
        try:
            return as_rgb(open_with_channels(self._path, self._channels, frame=self._frame))
        except ImageError:
            return None


def _stamp(path: str | Path) -> tuple[int, int] | None:
    """Return what differs after a file was changed; None for a file that is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116 # pathlib raises an error for names that are too long
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
