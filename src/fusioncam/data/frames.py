"""Images with several frames: pages of a TIFF, slices of a volume, pictures of an animation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from fusioncam.data.depth import imagej_facts
from fusioncam.errors import FusionCamWarning, ImageError

_SUBFILE = 254
_NO_FRAME = 1 | 4  # bits of NewSubfileType: a smaller version of another page, a transparency mask


@contextmanager
def at_frame(image: Image.Image, frame: int | None, name: str) -> Iterator[None]:
    """Move to a frame, counted from 1, while the block runs.

    Without ``frame`` the current one is used; a :class:`FusionCamWarning` says so for the first of several. Raises
    :class:`ImageError` for a frame that the image does not have.
    """
    position, count = image.tell(), frame_count(image)
    if frame is not None and not 1 <= frame <= count:
        raise ImageError(f"it has no frame {frame}: choose 1 to {count}")
    if frame is None and count > 1 and position == 0:
        message = f"{name}: frame 1 of {count} is used: choose another one by frame= (--frame)"
        warnings.warn(message, FusionCamWarning, stacklevel=4)
    if frame is not None and frame != position + 1:
        image.seek(frame - 1)
    try:
        yield
    finally:
        if image.tell() != position:
            image.seek(position)


def frame_count(image: Image.Image) -> int:
    """Return the number of frames; thumbnails, masks and the depth maps of phones are no frames."""
    animated: Any = image
    if image.format == "MPO" or not getattr(animated, "is_animated", False):
        return max(1, int(imagej_facts(image).get("images", 1)))
    if image.format == "TIFF" and not _second_is_frame(animated):
        return 1
    return int(animated.n_frames)


def _second_is_frame(image: Any) -> bool:
    position = image.tell()
    image.seek(1)
    is_frame = not int(image.tag_v2.get(_SUBFILE, 0)) & _NO_FRAME
    image.seek(position)
    return is_frame
