"""Write frames as an animated GIF."""

from __future__ import annotations

import struct
from typing import IO

from PIL import GifImagePlugin, Image

from fusioncam.data.clips import Clip
from fusioncam.data.frame_folders import FrameFolder

# of an image, before its first frame: repeat for ever
_REPEAT = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
_END = b"\x3b"
_SHORTEST = 20  # ms: browsers show shorter frames for 100 ms


class GifWriter:
    """Writes frames of one size into an open file, with the times of the clip that they come from.

    A GIF has times in 1/100 s, and 256 colours per frame. Of frames that follow each other within 0.02 s, the first
    one is kept, because browsers slow shorter ones down. One frame is in memory.
    """

    def __init__(self, file: IO[bytes], clip: Clip | FrameFolder) -> None:
        self._file, self._clip = file, clip
        self._waiting: tuple[Image.Image, int] | None = None  # a frame, and its time in ms
        self._duration = max(_SHORTEST, round(1000 / clip.rate))

    def write(self, image: Image.Image, time: int) -> None:
        """Write a frame that is shown from ``time`` on, in units of the clip."""
        shown = round(time * self._clip.unit * 100) * 10
        if self._waiting is None:
            self._file.write(b"GIF89a" + struct.pack("<HHBBB", *image.size, 0, 0, 0) + _REPEAT)
        elif shown - self._waiting[1] < _SHORTEST:
            return
        else:
            self._write_waiting(shown - self._waiting[1])
        self._waiting = image, shown

    def close(self) -> None:
        """Write the last frame, which is shown as long as the one before."""
        self._write_waiting(self._duration)
        self._file.write(_END)

    def _write_waiting(self, duration: int) -> None:
        if self._waiting is not None:
            colours = self._waiting[0].quantize(256, dither=Image.Dither.NONE)
            data = GifImagePlugin.getdata(colours, duration=duration, include_color_table=True)
            self._file.write(b"".join(data))
        self._duration = duration
