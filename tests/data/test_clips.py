"""Clips: frames, times and positions, and files that are damaged or something else."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from clips import av, panned, sound, turned, write_clip
from fusioncam.data.clips import Frame, Schedule, opened_clip
from fusioncam.errors import ImageError, SettingError
from samples import corners


def read(path):
    """Return the frames of a clip, and the open clip's facts."""
    with opened_clip(path) as clip:
        return list(clip.frames()), clip


def test_frames_are_read_in_order(tmp_path):
    """Size, rate, times and pixels are those of the frames that were written."""
    images = list(panned(5))
    frames, clip = read(write_clip(tmp_path / "a.mp4", images, rate=Fraction(30000, 1001)))

    assert (clip.rate, clip.expected_frames, clip.damaged) == (Fraction(30000, 1001), 5, 0)
    assert [float(frame.time * clip.unit) for frame in frames] == pytest.approx([n * 1001 / 30000 for n in range(5)])
    for image, frame in zip(images, frames, strict=True):
        assert frame.image.size == image.size
        assert np.abs(np.asarray(image).astype(int) - np.asarray(frame.image)).mean() < 8


def test_variable_rates_keep_their_times(tmp_path):
    """The times are those of the file, from 0."""
    times = [0, 40, 500, 510, 2000]
    frames, clip = read(write_clip(tmp_path / "a.mkv", panned(5), times=[time + 300 for time in times]))
    assert [round(frame.time * clip.unit * 1000) for frame in frames] == times


def test_frames_are_upright(tmp_path):
    """A clip that a phone marked as turned is turned."""
    plain = write_clip(tmp_path / "a.mp4", [corners(60, 40)] * 2)
    ((first, *_), _) = read(turned(plain))
    pixels = np.asarray(first.image)

    assert first.image.size == (40, 60)
    assert pixels[5, 30].argmax() == 0  # red was in the upper left, and is now in the upper right
    assert pixels[5, 5].argmax() == 2


def test_odd_sizes_are_read(tmp_path):
    """No row or column is lost."""
    (frames, _) = read(write_clip(tmp_path / "a.avi", panned(2, (51, 33)), codec="mjpeg", pixels="yuvj444p"))
    assert {frame.image.size for frame in frames} == {(51, 33)}


def test_animations_are_clips(tmp_path):
    """The frames of a GIF have the times of the file."""
    first, *others = (image.quantize() for image in panned(3))
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=[100, 300, 100], loop=0)
    frames, clip = read(tmp_path / "a.gif")
    assert [round(frame.time * clip.unit, 2) for frame in frames] == [0, Fraction("0.1"), Fraction("0.4")]


def test_missing_and_falling_times_are_replaced():
    """Times increase in any case, because the video that is written needs that."""

    class Raw:
        rotation = 0

        def __init__(self, pts):
            self.pts = pts

        def to_image(self):
            return corners()

    class Packets:
        average_rate, time_base, frames, duration = 10, Fraction(1, 100), 0, None

        def demux(self, stream):
            return iter([self])

        def decode(self):
            packet = [Raw(pts) for pts in (7, None, 5, 27, 27, None)]
            self.decode = list
            return packet

    from fusioncam.data.clips import Clip

    packets = Packets()
    packets.duration = 50
    clip = Clip("a", packets, packets)
    assert clip.expected_frames == 5
    assert [frame.time for frame in clip.frames()] == [0, 10, 11, 20, 21, 31]


def playlist(path):
    """Write a list of clips, which a player would open."""
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n")
    return path


def text(path):
    """Write text."""
    path.write_text("not a clip\n" * 100)
    return path


def nothing(path):
    """Write an empty file."""
    path.touch()
    return path


def torn(path):
    """Write a clip whose index, which is at its end, is missing."""
    write_clip(path, panned(20))
    path.write_bytes(path.read_bytes()[:-3000])
    return path


def no_frames(path):
    """Write a clip of no frame."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("h264", rate=10)
        stream.width, stream.height = 64, 48
        container.start_encoding()
    return path


def zeros(path):
    """Write a clip whose frames have lost their contents."""
    data = bytearray(write_clip(path, panned(5)).read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (playlist, "not a clip in a known format, or damaged"),
        (text, "not a clip in a known format, or damaged"),
        (nothing, "the file is empty"),
        (torn, "not a clip in a known format, or damaged"),
        (no_frames, "not a clip in a known format, or damaged"),
        (zeros, "no frame of the clip can be decoded"),
        (sound, "it has no video, only audio"),
        (lambda path: path, "no such file"),
        (lambda path: path.parent, "a folder"),
    ],
    ids=["playlist", "text", "empty", "torn", "no frames", "zeros", "sound", "missing", "folder"],
)
def test_other_files_are_refused(make, message, tmp_path):
    """The error names the file and what is wrong."""
    path = make(tmp_path / "a.mp4")
    with pytest.raises(ImageError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path))


def test_what_can_be_decoded_is_read(tmp_path):
    """A clip that ends too early has the frames before the end, and damaged packets are counted."""
    path = write_clip(tmp_path / "a.mkv", panned(30))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    assert 0 < len(read(path)[0]) < 30

    middle = len(data) // 2
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    assert 0 < len(read(path)[0]) <= 30


def test_large_frames_are_refused(tmp_path, monkeypatch):
    """They are not decoded."""
    path = write_clip(tmp_path / "a.mp4", panned(1))
    monkeypatch.setattr("fusioncam.data.clips.MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match="over 1,000 pixels"):
        read(path)


def marked(schedule, seconds):
    """Return which frames of a clip with these times are explained."""
    frames = [Frame(corners(), round(1000 * one)) for one in seconds]
    return [frame.time / 1000 for frame, is_due in schedule.mark(frames, Fraction(1, 1000)) if is_due]


def test_schedules():
    """Frames are counted, or at most so many of each second are taken, also at a variable rate."""
    quarter = [n / 4 for n in range(9)]
    assert marked(Schedule(), quarter) == quarter
    assert marked(Schedule(every=3), quarter) == [0, 0.75, 1.5]
    assert marked(Schedule(fps=2), quarter) == [0, 0.5, 1, 1.5, 2]
    assert marked(Schedule(fps=100), quarter) == quarter
    assert marked(Schedule(fps=1), [0, 0.1, 5, 5.1, 6.5]) == [0, 5, 6.5]
    chosen = marked(Schedule(fps=3), [n / 25 for n in range(50)])
    assert len(chosen) == 6
    assert max(after - before for before, after in pairwise(chosen)) < 0.4


@pytest.mark.parametrize(
    "settings", [{"every": 0}, {"every": 1.5}, {"fps": 0}, {"fps": float("nan")}, {"every": 2, "fps": 3}]
)
def test_bad_schedules_are_refused(settings):
    """The message names the setting."""
    with pytest.raises(SettingError, match=r"every|fps"):
        Schedule(**settings)
