"""Test folders of images, with and without one folder per class."""

from __future__ import annotations

import os

import pytest

from dataset_files import BIRD, FISH, names, write
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.errors import DatasetError, ImageError
from samples import LABELS


def test_a_folder_of_images(tmp_path):
    """Images at any depth are sorted by name and have no class; hidden and other files are skipped."""
    for name in ("b.jpg", "a/z.PNG", "a/b/c.jpeg", ".hidden/d.jpg", "a b'ü#%.jpg"):
        write(tmp_path / name)
    write(tmp_path / "notes.txt", "no image")

    samples = open_dataset(tmp_path)

    assert names(samples) == ["a b'ü#%.jpg", "a/b/c.jpeg", "a/z.PNG", "b.jpg"]
    assert samples[0].label is None
    assert samples[-1].open().size == (8, 6)
    assert "4 images, classes unknown" in samples.kind
    assert repr(samples).startswith("<4 samples: a folder of 4 images")


def test_a_file_name_that_is_not_utf8(tmp_path):
    """Invalid bytes become escapes, so that rows and tables can store the name; the file can be opened."""
    name = os.fsdecode(b"caf\xe9.jpg")
    try:
        write(tmp_path / "a.jpg").rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system accepts only text")

    (sample,) = open_dataset(tmp_path)

    assert sample.name == r"caf\xe9.jpg"
    assert sample.open().size == (8, 6)


def test_wordnet_folders_are_imagenet_classes(tmp_path):
    """The indices are those of all 1,000 WordNet ids, not of the few folders."""
    for name in (f"{BIRD}/b.jpg", f"{FISH}/deeper/a.jpg", f"{BIRD}/a.jpg"):
        write(tmp_path / name)

    for known in ({}, {"classes": 1000}):
        samples = open_dataset(tmp_path, **known)
        assert names(samples) == [f"{FISH}/deeper/a.jpg", f"{BIRD}/a.jpg", f"{BIRD}/b.jpg"]
        assert [sample.label for sample in samples] == [0, 7, 7]
        assert samples[1].classes == (7,)
        assert samples[1].category == BIRD
    with pytest.raises(DatasetError, match=r"2 of 2 categories are not classes of the network .* which has 10"):
        open_dataset(tmp_path, kind="image-folder", classes=10)


def test_folders_named_after_the_classes(tmp_path):
    """A folder matches a name or synonym in any case; underscores count as spaces."""
    for name in ("Elm/a.jpg", "white_birch/a.jpg"):
        write(tmp_path / name)

    assert [sample.label for sample in open_dataset(tmp_path, labels=LABELS)] == [4, 1]


def test_one_folder_per_class_is_matched_by_position(tmp_path):
    """Folders are sorted as in torchvision's ImageFolder."""
    for name in ("x/a.jpg", "y/a.jpg", "v/a.jpg"):
        write(tmp_path / name)

    assert [(sample.category, sample.label) for sample in open_dataset(tmp_path, classes=3)] == [
        ("v", 0),
        ("x", 1),
        ("y", 2),
    ]
    assert [sample.label for sample in open_dataset(tmp_path, kind="image-folder")] == [0, 1, 2]
    assert open_dataset(tmp_path, classes=4)[0].label is None
    assert open_dataset(tmp_path)[0].label is None


def test_folders_are_not_matched_by_position_against_their_names(tmp_path):
    """Positions are not used if a folder has the name of a class at another position."""
    for name in ("ash", "birk", "cedar", "dogwood", "elm"):
        write(tmp_path / name / "a.jpg")
    assert [sample.label for sample in open_dataset(tmp_path, labels=LABELS)] == [0, 1, 2, 3, 4]

    (tmp_path / "birk").rename(tmp_path / "zelkova")
    with pytest.raises(DatasetError, match=r"1 of 5 categories are not classes of the network \(zelkova\)"):
        open_dataset(tmp_path, labels=LABELS)


def test_one_unknown_folder_is_reported(tmp_path):
    """If most folders are classes, another folder is an error, and so is an image next to the folders."""
    for name in ("elm/a.jpg", "ash/a.jpg", "oak/a.jpg"):
        write(tmp_path / name)
    with pytest.raises(DatasetError, match=r"1 of 3 categories .* \(oak\), which has 5: give a class map"):
        open_dataset(tmp_path, labels=LABELS)

    (tmp_path / "oak" / "a.jpg").rename(tmp_path / "loose.jpg")
    with pytest.raises(DatasetError, match=r"'loose\.jpg' lies next to the class folders"):
        open_dataset(tmp_path, labels=LABELS)


def test_a_class_map_for_folders(tmp_path):
    """Folders may be named after categories of the class map; others are left out."""
    for name in ("tree/a.jpg", "stone/a.jpg"):
        write(tmp_path / name)

    samples = open_dataset(tmp_path, labels=LABELS, class_map={"tree": (0, 4)})

    assert names(samples) == ["tree/a.jpg"]
    assert (samples[0].label, samples[0].classes) == (None, (0, 4))


def test_linked_class_folders_are_searched(tmp_path):
    """A class folder may be a link, and one that cannot be read is a sample that raises its error when opened."""
    write(tmp_path / "elsewhere" / "a.jpg")
    write(tmp_path / "data" / "cedar" / "b.jpg")
    (tmp_path / "data" / "elm").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cedar" / "c").symlink_to("c")

    samples = open_dataset(tmp_path / "data", labels=LABELS, kind="image-folder")

    assert names(samples) == ["cedar/b.jpg", "cedar/c", "elm/a.jpg"]
    assert [sample.category for sample in samples] == ["cedar", "cedar", "elm"]
    with pytest.raises(ImageError, match="cannot be read"):
        samples[1].open()
