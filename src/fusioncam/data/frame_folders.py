"""Clips whose frames are numbered image files in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from fusioncam.data.clips import Clip, Frame, opened_clip
from fusioncam.data.formats import has_image_suffix
from fusioncam.data.images import open_image
from fusioncam.errors import ImageError

RATE = 25  # frames per second
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)(?P<after>\D*)", re.DOTALL)


def numbered_frames(folder: Path) -> list[Path]:
    """Return the images of a folder in the order of their numbers, without those of its subfolders and hidden ones.

    Returns none unless there are at least two, whose names differ only in their last number.
    """
    images = sorted(path for path in folder.iterdir() if has_image_suffix(path) and not path.name.startswith("."))
    names = {path: match for path in images if (match := _NUMBERED.fullmatch(path.stem))}
    kinds = {(match["before"], match["after"], path.suffix.lower()) for path, match in names.items()}
    if len(kinds) != 1 or not 2 <= len(images) == len(names):
        return []
    return sorted(images, key=lambda path: int(names[path]["number"]))


class FrameFolder:
    """An open folder of numbered frames; its attributes are those of :class:`Clip`.

    The frames follow each other at ``RATE`` per second, also where a number is missing. A frame that cannot be read
    counts as damaged, and is left out.

    Raises :class:`ImageError` for a folder without numbered frames.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = numbered_frames(folder)
        if not self._paths:
            raise ImageError(
                f"{folder}: not a folder of numbered frames: it needs at least two images directly in it, and their "
                "names may differ only in the last number, such as frame_001.jpg and frame_002.jpg"
            )
        self.name, self.rate, self.unit = str(folder), Fraction(RATE), Fraction(1, RATE)
        self.expected_frames = len(self._paths)
        self.damaged = 0

    def frames(self) -> Iterator[Frame]:
        """Yield the frames one by one, with the size of the first one; raise :class:`ImageError` if none is read."""
        size, error = None, None
        for time, path in enumerate(self._paths):
            try:
                image = open_image(path)
            except ImageError as one:
                error = error or one
                self.damaged += 1
                continue
            size = size or image.size
            yield Frame(image if image.size == size else image.resize(size), time)
        if size is None and error is not None:
            raise error


@contextmanager
def opened_frames(path: str | Path) -> Iterator[Clip | FrameFolder]:
    """Open a clip or a folder of numbered frames; raise the errors of both."""
    if Path(path).is_dir():
        yield FrameFolder(Path(path))
    else:
        with opened_clip(path) as clip:
            yield clip
