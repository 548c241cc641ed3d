"""Test the XML annotations of ImageNet and Pascal VOC."""

from __future__ import annotations

import pytest

from dataset_files import BIRD, FISH, names, write, xml
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.errors import DatasetError, ImageError


@pytest.mark.parametrize(
    ("images", "files"),
    [("Data/CLS-LOC/val", "Annotations/CLS-LOC/val"), ("", ""), ("val", "bbox/val")],
    ids=["official", "same folder", "separate folders"],
)
def test_imagenet_layout(images, files, tmp_path):
    """Each image has an XML of the same stem; boxes name the last pixel inside, counted from 0."""
    for name in ("ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG", "ILSVRC2012_val_00000003.JPEG"):
        write(tmp_path / images / name)
    write(tmp_path / files / "ILSVRC2012_val_00000001.xml", xml((BIRD, 0, 1, 3, 5), (BIRD, 4, 4, 7, 5)))
    write(tmp_path / files / "ILSVRC2012_val_00000002.xml", xml((FISH, 2, 2, 2, 2), size=(0, 0)))

    first, second, third = open_dataset(tmp_path, classes=1000)

    assert first.name.endswith("ILSVRC2012_val_00000001.JPEG")
    assert (first.label, first.size) == (7, (8, 6))
    assert first.boxes == ((0, 1, 4, 6), (4, 4, 8, 6))
    assert (second.label, second.boxes, second.size) == (0, ((2, 2, 3, 3),), None)
    assert (third.label, third.boxes) == (None, ())


def test_imagenet_images_in_folders_of_their_class(tmp_path):
    """The folder names the class; boxes of other classes in the file are ignored."""
    write(tmp_path / "val" / BIRD / "a.JPEG")
    write(tmp_path / "val" / BIRD / "b.JPEG")
    write(tmp_path / "boxes" / "a.xml", xml((FISH, 0, 0, 1, 1), (BIRD, 2, 2, 3, 3)))

    first, second = open_dataset(tmp_path)

    assert (first.label, first.boxes) == (7, ((2, 2, 4, 4),))
    assert (second.label, second.boxes) == (7, ())


def test_imagenet_files_are_read_when_a_sample_is_indexed(tmp_path):
    """A damaged file is reported by its sample, with the line."""
    write(tmp_path / "a.JPEG")
    write(tmp_path / "b.JPEG")
    write(tmp_path / "a.xml", xml((BIRD, 0, 0, 1, 1)))
    write(tmp_path / "b.xml", "<annotation>\n<object>\n</annotation>")

    samples = open_dataset(tmp_path)

    assert samples[0].label == 7
    with pytest.raises(DatasetError, match=r"b\.xml, line 3: not XML: mismatched tag"):
        samples[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.xml, line 1: not XML"),
        (xml(("", 0, 0, 1, 1)), r"a\.xml, object 1: the object has no name"),
        (xml((BIRD, 0, 0, 1, 1), (BIRD, 5, 0, 1, 1)), r"object 2: the box ends before it begins: 5, 0, 1, 1"),
        (xml((BIRD, 0, "one", 1, 1)), r"object 1: bndbox/ymin must be a number, got 'one'"),
        (xml((BIRD, 0, "nan", 1, 1)), r"object 1: bndbox/ymin must be a number, got 'nan'"),
        (f"<annotation><object><name>{BIRD}</name></object></annotation>", r"bndbox/xmin must be a number, got None"),
        (xml(("dog", 0, 0, 1, 1)), r"a\.xml: 1 of 1 categories are not classes of the network \(dog\)"),
        ("<?xml version='1.0' encoding='nonsense'?><annotation/>", r"a\.xml"),
    ],
)
def test_damaged_xml_is_reported(text, message, tmp_path):
    """The message names the file, the object and the value."""
    write(tmp_path / "a.JPEG")
    write(tmp_path / "a.xml", text)

    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path, classes=1000)[0]


def voc(folder):
    """Write a small VOC with two images in the list "val", one in "train" and one in neither."""
    for stem in ("1", "2", "3", "4"):
        write(folder / "JPEGImages" / f"{stem}.jpg")
    write(folder / "Annotations" / "1.xml", xml(("dog", 1, 1, 4, 3), ("bird", 2, 2, 8, 6), ("dog", 5, 5, 5, 5)))
    write(folder / "Annotations" / "2.xml", xml(("cat", 1, 1, 8, 6)))
    write(folder / "Annotations" / "3.xml", xml(("bird", 1, 1, 8, 6)))
    write(folder / "ImageSets" / "Main" / "val.txt", "2\n1\n\n")
    write(folder / "ImageSets" / "Main" / "train.txt", "3\n")
    write(folder / "ImageSets" / "Main" / "bird_val.txt", "1  1\n2 -1\n")
    return folder


def test_pascal_voc(tmp_path):
    """There is a sample for each category in an image; boxes count pixels from 1 and name the last inside."""
    samples = open_dataset(voc(tmp_path))

    assert names(samples) == ["2#cat", "1#dog", "1#bird"]
    assert samples[1].boxes == ((0, 0, 4, 3), (4, 4, 5, 5))
    assert samples[2].boxes == ((1, 1, 8, 6),)
    assert [sample.label for sample in samples] == [1, 2, 0]
    assert samples[0].open().size == (8, 6)
    assert names(open_dataset(tmp_path, split="train")) == ["3#bird"]
    assert names(open_dataset(tmp_path, split="bird_val")) == ["1#dog", "1#bird", "2#cat"]
    with pytest.raises(DatasetError, match="no list 'test' in ImageSets/Main; choose from bird_val, train, val"):
        open_dataset(tmp_path, split="test")


def test_pascal_voc_with_a_class_map_and_without_lists(tmp_path):
    """Categories that are not in the class map are left out; without lists all annotated images are read."""
    for split in (voc(tmp_path) / "ImageSets" / "Main").glob("*.txt"):
        split.unlink()

    samples = open_dataset(tmp_path, class_map={"bird": (7, 8)}, classes=1000)

    assert names(samples) == ["1#bird", "3#bird"]
    assert samples[0].classes == (7, 8)
    with pytest.raises(DatasetError, match=r"3 of 3 categories are not classes of the network .* give a class map"):
        open_dataset(tmp_path, classes=1000)


def test_missing_files_of_pascal_voc_are_reported(tmp_path):
    """A missing annotation is reported at once, a missing image when it is opened."""
    folder = voc(tmp_path)
    (folder / "JPEGImages" / "2.jpg").unlink()
    with pytest.raises(ImageError, match=r"2\.jpg: no such file"):
        open_dataset(folder)[0].open()

    write(folder / "ImageSets" / "Main" / "val.txt", "1\n4\n")
    with pytest.raises(DatasetError, match=r"cannot read .*4\.xml: No such file"):
        open_dataset(folder)
