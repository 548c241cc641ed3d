"""Read video clips frame by frame, upright and with their times; the whole clip is never in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, NoReturn

from PIL import Image

from fusioncam.data.images import MAX_PIXELS, open_file
from fusioncam.errors import ImageError, SettingError, require_count
from fusioncam.utils.optional import extra

SUFFIXES = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()  # noqa: SIM905 # readable
)
_ANIMATED = ".gif"  # an image, unless all of its frames are requested
_USUAL_RATE = 25  # frames per second, for clips that do not state any
_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


def has_clip_suffix(path: PurePath, *, animations: bool = False) -> bool:
    """Return whether the name of a file is that of a clip; with ``animations`` also of a GIF.

    >>> has_clip_suffix(Path("a.MP4")), has_clip_suffix(Path("a.gif"), animations=True), has_clip_suffix(Path("a"))
    (True, True, False)
    """
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or (animations and suffix == _ANIMATED)


def pyav() -> Any:
    """Return PyAV; raise :class:`MissingExtraError` that names the extra if it is not installed."""
    return extra("video", "av", "clips")


@dataclass(frozen=True, eq=False)  # compared by identity
class Frame:
    """An upright RGB frame, and when it is shown: ``time`` is in units of the clip, 0 for the first frame."""

    image: Image.Image
    time: int


class Clip:
    """An open clip.

    ``name`` is its path, ``rate`` the mean number of frames per second, ``unit`` the seconds of one unit of time,
    ``expected_frames`` the number of frames that the file states (0 if it does not), and ``damaged`` how many of its
    packets could not be decoded so far.
    """

    def __init__(self, name: str, container: Any, stream: Any) -> None:
        self.name = name
        self._container, self._stream = container, stream
        self.rate = _fraction(stream.average_rate or stream.guessed_rate or _USUAL_RATE)
        self.unit = _fraction(stream.time_base)
        self.expected_frames = int(stream.frames) or self._frames_by_duration()
        self.damaged = 0

    def frames(self) -> Iterator[Frame]:
        """Yield the frames one by one; raise :class:`ImageError` if none can be decoded.

        Their times increase, also where those of the file are missing or go back. All have the size of the first one.
        """
        first, size, time = None, None, -1
        step = max(1, round(1 / (self.rate * self.unit)))
        for raw in self._decoded():
            image = _upright(raw)
            size = size or image.size
            stated = time + step if raw.pts is None else raw.pts - (first if first is not None else raw.pts)
            first = raw.pts if first is None else first
            time = 0 if time < 0 else max(stated, time + 1)
            yield Frame(image if image.size == size else image.resize(size), time)
        if size is None:
            raise ImageError(f"{self.name}: no frame of the clip can be decoded: it is empty or damaged")

    def _decoded(self) -> Iterator[Any]:
        """Yield the frames as PyAV decodes them, without the packets that it cannot decode."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                decoded = [] if packet is None else packet.decode()
            except pyav().FFmpegError:  # an error of the file ends the packets, one of the decoder costs one
                self.damaged += 1
                continue
            if packet is None:
                return
            yield from decoded

    def _frames_by_duration(self) -> int:
        seconds = Fraction(0)
        if self._stream.duration:
            seconds = int(self._stream.duration) * self.unit
        elif self._container.duration:
            seconds = Fraction(self._container.duration, pyav().time_base)
        return max(0, round(seconds * self.rate))


@contextmanager
def opened_clip(path: str | Path) -> Iterator[Clip]:
    """Open the first video stream of a file, without decoding it.

    Raises :class:`ImageError` for a file without one, also for one that cannot be read or has over ``MAX_PIXELS`` per
    frame, and :class:`MissingExtraError` without PyAV.
    """
    av = pyav()
    with open_file(path) as file:
        if not os.fstat(file.fileno()).st_size:
            raise ImageError(f"{path}: the file is empty (0 bytes)")
        try:
            # an open file, because a name may also be an address, and a file may refer to others
            container = av.open(file, io_open=_refuse)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(f"{path}: not a clip in a known format, or damaged: {reason}") from None
        with container:
            yield Clip(str(path), container, _video_stream(path, container))


def _refuse(url: str, *_: object) -> NoReturn:
    raise PermissionError(f"a clip may not refer to another file: {url}")


def _video_stream(path: str | Path, container: Any) -> Any:
    """Return the first video stream that is no cover of a song, and can be decoded."""
    videos = [stream for stream in container.streams.video if "attached_pic" not in _disposition(stream)]
    if not videos:
        kinds = sorted({stream.type for stream in container.streams if stream.type in ("audio", "subtitle")})
        raise ImageError(f"{path}: it has no video{f', only {chr(32).join(kinds)}' if kinds else ''}")
    stream = videos[0]
    if stream.codec_context is None:
        raise ImageError(f"{path}: the format of its frames is not known: convert the clip to H.264")
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise ImageError(f"{path}: its frames have over {MAX_PIXELS:,} pixels: resize the clip first")
    return stream


def _fraction(value: Any) -> Fraction:
    return Fraction(value.numerator, value.denominator)  # newer versions of PyAV have a class of their own


def _disposition(stream: Any) -> str:
    return str(getattr(stream, "disposition", "")).lower()


def _upright(frame: Any) -> Image.Image:
    """Return a frame as an RGB image, turned as the file says."""
    image: Image.Image = frame.to_image()
    turn = _TURNS.get(round(frame.rotation / 90) * 90 % 360)
    return image if turn is None else image.transpose(turn)


@dataclass(frozen=True)
class Schedule:
    """Which frames of a clip are explained: each ``every``-th one, or at most ``fps`` of each second.

    Raises :class:`SettingError` for values out of range.
    """

    every: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        require_count("every", self.every)
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise SettingError(f"fps must be a positive number, got {self.fps!r}")
        if self.fps is not None and self.every != 1:
            raise SettingError(f"every={self.every} and fps={self.fps:g} both choose frames: give one of them")

    def mark(self, frames: Iterable[Frame], unit: Fraction) -> Iterator[tuple[Frame, bool]]:
        """Yield each frame, and whether it is explained; ``unit`` is the seconds of one unit of time."""
        last = None
        for number, frame in enumerate(frames):
            slot = number // self.every if self.fps is None else int(frame.time * unit * Fraction(self.fps))
            yield frame, slot != last
            last = slot
