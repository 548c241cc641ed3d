"""Folders of numbered frames: which folders are some, the order of their frames, and damaged ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusioncam.data.frame_folders import numbered_frames, opened_frames
from fusioncam.errors import ImageError


def write_frames(folder: Path, names: list[str], size=(8, 6)) -> Path:
    """Write an image of one colour for each name: the first is red 0, the next red 10 and so on."""
    folder.mkdir()
    for number, name in enumerate(names):
        Image.new("RGB", size, (10 * number, 0, 0)).save(folder / name)
    return folder


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    """Not of their names; missing numbers do not matter, and time runs at 25 frames per second."""
    folder = write_frames(tmp_path / "a", ["run2_9.png", "run2_10.png", "run2_100.png"])
    (folder / "notes.txt").touch()
    (folder / ".run2_1.png").touch()
    with opened_frames(folder) as clip:
        frames = list(clip.frames())
    assert [np.asarray(frame.image)[0, 0, 0] for frame in frames] == [0, 10, 20]
    assert [frame.time * clip.unit for frame in frames] == [0, Fraction(1, 25), Fraction(2, 25)]
    assert (clip.name, clip.rate, clip.expected_frames, clip.damaged) == (str(folder), 25, 3, 0)


@pytest.mark.parametrize(
    "names",
    [
        ["cat.png", "dog.png"],
        ["1.png"],
        ["1.png", "2.jpg"],
        ["left1.png", "right2.png"],
        ["1.png", "2.png", "cover.png"],
        [],
    ],
    ids=str,
)
def test_other_folders_are_refused(names, tmp_path):
    """Photos in a folder are no clip; the error says what frames are called."""
    folder = write_frames(tmp_path / "a", names)
    assert numbered_frames(folder) == []
    with pytest.raises(ImageError, match="at least two images directly in it, and their names may differ only in"):
        opened_frames(folder).__enter__()


def test_damaged_frames_are_left_out(tmp_path):
    """They are counted; the others keep their times and have the size of the first one."""
    folder = write_frames(tmp_path / "a", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes(b"nothing")
    Image.new("RGB", (16, 12)).save(folder / "3.png")
    with opened_frames(folder) as clip:
        assert [(frame.time, frame.image.size) for frame in clip.frames()] == [(0, (8, 6)), (2, (8, 6))]
    assert clip.damaged == 1
    for path in folder.iterdir():
        path.write_bytes(b"nothing")
    with opened_frames(folder) as clip, pytest.raises(ImageError, match=r"1\.png: not an image"):
        list(clip.frames())
