"""Small video clips of free photographs, whole and damaged."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples import CAT, photo

av = pytest.importorskip("av", reason='clips need pip install "fusioncam[video]"')


def panned(count: int, size: tuple[int, int] = (96, 64), path: Path = CAT) -> Iterator[Image.Image]:
    """Yield the frames of a camera that moves slowly to the right over a photograph, and closer to it."""
    image = photo(path)
    for number in range(count):
        part = number / max(1, count - 1)
        width = image.width * (0.8 - 0.2 * part)
        height = width * size[1] / size[0]
        left, top = (image.width - width) * part, (image.height - height) / 2
        yield image.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))


def write_clip(
    path: Path,
    frames: Iterable[Image.Image],
    *,
    rate: int | Fraction = 10,
    codec: str = "h264",
    pixels: str = "yuv420p",
    times: Sequence[int] | None = None,
) -> Path:
    """Write frames as a clip; ``times`` are in units of 1/1000 seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.pix_fmt = pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            if not number:
                stream.width, stream.height = image.size
            frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turned(path: Path) -> Path:
    """Mark an MP4 as one that players turn by a quarter clockwise, as phones do."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def sound(path: Path) -> Path:
    """Write a second of silence and no image."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        for _ in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frames_of(path: Path) -> list[np.ndarray]:
    """Return the pixels of all frames of a clip."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def times_of(path: Path) -> list[float]:
    """Return the seconds at which the frames of a clip are shown."""
    with av.open(str(path)) as container:
        return [round(frame.time, 3) for frame in container.decode(video=0)]
