"""Write frames as a video that browsers and players show: H.264 in MP4, without sound."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusioncam.data.clips import Clip, pyav
from fusioncam.data.frame_folders import FrameFolder

# quality: 18 looks like the original, 28 is visibly worse
_OPTIONS = {"crf": "20", "preset": "veryfast"}


class ClipWriter:
    """Writes upright frames of one size into an open file, with the times of the clip that they come from."""

    def __init__(self, file: IO[bytes], clip: Clip | FrameFolder) -> None:
        self._clip = clip
        self._container = pyav().open(file, "w", format="mp4")
        self._stream: Any = None

    def write(self, image: Image.Image, time: int) -> None:
        """Write a frame that is shown from ``time`` on, in units of the clip."""
        pixels = _even(np.asarray(image))
        if self._stream is None:
            self._stream = self._add_stream(pixels.shape[1], pixels.shape[0])
        frame = pyav().VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = time, self._clip.unit
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds, and the index of the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def _add_stream(self, width: int, height: int) -> Any:
        stream = self._container.add_stream("h264", rate=self._clip.rate, options=dict(_OPTIONS))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = self._clip.unit
        return stream


def _even(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels ``(H, W, 3)`` of an even height and width: the last row and column are repeated if necessary.

    >>> _even(np.zeros((3, 4, 3), np.uint8)).shape
    (4, 4, 3)
    """
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
