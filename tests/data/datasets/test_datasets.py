"""Test the detection of data sets, their samples, and the errors for damaged ones."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

import datasets as hugging
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fusioncam.data.datasets.class_mapping import network_classes, synset_indices
from fusioncam.data.datasets.registry import KINDS, open_dataset
from fusioncam.data.datasets.sample import Sample, draw
from fusioncam.errors import DatasetError, ImageError, MissingExtraError, TargetError, UnknownNameError
from samples import LABELS

BIRD, FISH = "n01514668", "n01440764"  # a cock, class 7, and a tench, class 0


def write(path, content="", size=(8, 6)):
    """Write text or, if the suffix is that of an image, an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        Image.new("RGB", size, content or "red").save(path)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def xml(*objects, size=(8, 6)):
    """Return an annotation with objects of name and corners."""
    elements = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        "</bndbox><part><name>head</name></part></object>"
        for name, x0, y0, x1, y1 in objects
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{elements}</annotation>"


def names(samples):
    """Return the samples' names, which must equal the data set's own list."""
    assert list(samples.names) == [sample.name for sample in samples]
    return list(samples.names)


# -- folders ---------------------------------------------------------------------------------------------------


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


def test_the_order_of_all_wordnet_ids():
    """The first, one in between and the last id have the indices that every ImageNet model uses."""
    indices = synset_indices()

    assert len(indices) == 1000
    assert [indices[synset] for synset in (FISH, BIRD, "n02123045", "n15075141")] == [0, 7, 281, 999]
    assert sorted(indices) == list(indices)


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


# -- ImageNet and VOC ------------------------------------------------------------------------------------------


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


# -- COCO ------------------------------------------------------------------------------------------------------


def instances(**changes):
    """Return small instances: a dog and a cat in the first image, two dogs in the second."""
    polygon = [[1, 1, 4, 1, 4, 3]]
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 8, "height": 6},
            {"id": 2, "file_name": "b.jpg", "width": 8, "height": 6},
            {"id": 3, "file_name": "c.jpg"},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
        "annotations": [
            {"id": 5, "image_id": 2, "category_id": 18, "bbox": [1, 1, 3, 2], "segmentation": polygon},
            {"id": 6, "image_id": 1, "category_id": 18, "bbox": [0, 0, 2.5, 2]},
            {"id": 7, "image_id": 2, "category_id": 18, "bbox": [1, 1, 0, 2], "segmentation": []},
            {"id": 8, "image_id": 1, "category_id": 17, "bbox": [0, 0, 8, 6]},
        ],
    }
    return {**content, **changes}


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("instances.json", "images"),
        ("instances.json", "."),
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
    ],
)
def test_coco(file, images, tmp_path):
    """There is a sample for each category in an image, with all its boxes except those without area."""
    write(tmp_path / file, instances())
    for name in ("a.jpg", "b.jpg"):
        write(tmp_path / images / name)

    for path in (tmp_path, tmp_path / file):
        samples = open_dataset(path)
        assert names(samples) == ["b.jpg#dog", "a.jpg#dog", "a.jpg#cat"]
        assert [sample.label for sample in samples] == [1, 1, 0]
        assert samples[0].boxes == ((1, 1, 4, 3),)
        assert samples[0].segments == ([[1, 1, 4, 1, 4, 3]],)
        assert samples[1].boxes == ((0, 0, 2.5, 2),)
        assert samples[0].size == (8, 6)
        assert samples[0].open().size == (8, 6)


def test_coco_with_a_class_map(tmp_path):
    """All classes of a category count as correct; the most probable of them is explained."""
    write(tmp_path / "instances.json", instances())
    for name in ("a.jpg", "b.jpg"):
        write(tmp_path / "images" / name)
    class_map = write(tmp_path / "map.csv", "imagenet_index,coco_category\n2,dog\n4,dog\n1,bird\n")

    samples = open_dataset(tmp_path, class_map=class_map, classes=5)

    assert names(samples) == ["b.jpg#dog", "a.jpg#dog"]
    assert (samples[0].label, samples[0].classes) == (None, (2, 4))
    assert samples[0].target(torch.tensor([9.0, 8, 1, 7, 2])) == 4
    assert samples[0].target(torch.tensor([9.0, 8, 2, 7, 2])) == 2


def test_choice_of_the_instances_file(tmp_path):
    """Of several files the validation file is used, or the one of the split."""
    for part in ("train2017", "val2017"):
        write(tmp_path / "annotations" / f"instances_{part}.json", instances())
        write(tmp_path / part / "a.jpg")
        write(tmp_path / part / "b.jpg")

    assert open_dataset(tmp_path)[0].image == tmp_path / "val2017" / "b.jpg"
    assert open_dataset(tmp_path, split="train")[0].image == tmp_path / "train2017" / "b.jpg"
    with pytest.raises(
        DatasetError, match=r"cannot choose one of instances_train2017\.json, instances_val2017\.json: give"
    ):
        open_dataset(tmp_path, split="test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{\n"images": [', r"instances\.json, line 2: not JSON"),
        ("[]", "the lists images, annotations, categories, got list"),
        ({"images": []}, r"got \['images'\]"),
        (instances(images=[7]), "each entry of images must have file_name, got 7"),
        (instances(images=[{"id": 1}]), "each entry of images must have file_name, got {'id': 1}"),
        (instances(images=[{"file_name": "a.jpg"}]), "each entry of images must have id"),
        (instances(images=[{"id": 1, "file_name": 3}]), "file_name must be text, got 3"),
        (instances(categories=[{"id": 1}]), "each entry of categories must have name"),
        (instances(annotations=[{"id": 9}]), "each entry of annotations must have image_id"),
        (instances(annotations=[{"id": 9, "image_id": 4, "category_id": 18}]), "annotation 9 is of image 4"),
        (instances(annotations=[{"id": 9, "image_id": 1, "category_id": 1}]), "annotation 9 .* category 1"),
        *(
            (
                instances(annotations=[{"id": 9, "image_id": 1, "category_id": 18, "bbox": box}]),
                "bbox of annotation 9 must be x, y, width, height, got",
            )
            for box in ([1, 2, 3], [1, 2, -3, 4], [1, 2, "3", 4], [1, 2, float("nan"), 4], 7)
        ),
        (instances(annotations=[]), "no images to explain"),
    ],
    ids=str,
)
def test_damaged_coco_is_reported(content, message, tmp_path):
    """The message names the file, the annotation and the value."""
    write(tmp_path / "images" / "a.jpg")
    write(tmp_path / "instances.json", content)

    with pytest.raises(DatasetError, match=message):
        open_dataset(tmp_path)


def test_missing_images_of_coco_are_reported(tmp_path):
    """The message names all folders that were searched."""
    write(tmp_path / "annotations" / "instances_val2017.json", instances())

    with pytest.raises(DatasetError, match=r"its image b\.jpg is in none of .*val2017"):
        open_dataset(tmp_path)


# -- CSV -------------------------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path):
    """Return a folder with images for tables."""
    for name in ("a.jpg", "b, c.jpg", "d/e.jpg"):
        write(tmp_path / name)
    return tmp_path


def test_csv_table(images):
    """A table may have a header, quoted paths, class indices and names; boxes of one image are grouped."""
    rows = 'a.jpg,3,1,1,4,3.5\n"b, c.jpg",elm,,,,\nd/e.jpg,,,,,\n\na.jpg,3,5,5,6,6\na.jpg,birch\n'
    for text in (rows, "path,label,x0,y0,x1,y1\n" + rows, "\ufeffPath,Label,x0,y0,x1,y1\r\n" + rows):
        samples = open_dataset(write(images / "t.csv", text), labels=LABELS)
        assert names(samples) == ["a.jpg#3", "b, c.jpg", "d/e.jpg", "a.jpg#birch"]
        assert [sample.label for sample in samples] == [3, 4, None, 1]
        assert samples[0].boxes == ((1, 1, 4, 3.5), (5, 5, 6, 6))
        assert samples[1].open().size == (8, 6)


def test_csv_tables_in_folders(images):
    """The one table that begins with path,label is found in a folder; other tables are ignored."""
    write(images / "colours.csv", "red,1\n")
    assert open_dataset(images).kind.startswith("a folder of 3 images")
    write(images / "t.csv", "label,path\n1,a.jpg\n")
    assert open_dataset(images / "t.csv")[0].label == 1
    write(images / "t.csv", "path,label\na.jpg,1\n")
    assert open_dataset(images)[0].label == 1

    write(images / "u.csv", "path,label\na.jpg,1\n")
    with pytest.raises(DatasetError, match=r"2 files \*\.csv begin with path,label"):
        open_dataset(images)


def test_labels_of_csv_tables_by_class_map_and_wordnet_id(images):
    """Labels are matched as categories are, except by position."""
    table = write(images / "t.csv", f"a.jpg,{BIRD}\nd/e.jpg,tree\n")

    assert [sample.classes for sample in open_dataset(table, class_map={BIRD: 3, "tree": [0, 1]})] == [(3,), (0, 1)]
    with pytest.raises(DatasetError, match=r"1 of 2 categories are not classes of the network \(tree\)"):
        open_dataset(table)
    with pytest.raises(DatasetError, match=r"2 of 2 categories are not classes of the network \(stone, tree\)"):
        open_dataset(write(images / "u.csv", "a.jpg,stone\nd/e.jpg,tree\n"), classes=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,1\nno.jpg,1\n", r"t\.csv, line 2: no such file: .*no\.jpg"),
        ("a.jpg,5\n", r"t\.csv, line 1: there is no class 5 of 5 classes; indices start at 0"),
        ("a.jpg,1\na.jpg,-1\n", r"t\.csv, line 2: there is no class -1 of 5 classes"),
        ("a.jpg,oak\n", r"t\.csv: 1 of 1 categories are not classes of the network \(oak\)"),
        ("a.jpg,1,1,1,4\n", r"line 1: expected path,label,x0,y0,x1,y1, got 'a\.jpg,1,1,1,4'"),
        ("a.jpg,1,4,1,4,3\n", "line 1: a box must be x0,y0,x1,y1 with x0 < x1 and y0 < y1, got '4,1,4,3'"),
        ("a.jpg,1,1,1,inf,3\n", "line 1: a box must be .* got '1,1,inf,3'"),
        ("a.jpg,1,1,one,4,3\n", "line 1: a box must be .* got '1,one,4,3'"),
        ("a.jpg,1,1,,4,3\n", "line 1: a box must be .* got '1,,4,3'"),
        (",1\n", "line 1: expected path,label,x0,y0,x1,y1, got ',1'"),
        ("path,label,weight\na.jpg,1,2\n", "line 1: the columns must be among path, label, .* got weight"),
        ("path,label\na.jpg,1,2\n", "line 2: expected path,label, got 'a.jpg,1,2'"),
        ("path,label\n", "expected lines of path,label, found none"),
        ("", "expected lines of path,label, found none"),
        ('a.jpg,"1\n', r"t\.csv, line 1: unexpected end of data"),
    ],
)
def test_damaged_csv_tables_are_reported(text, message, images):
    """The message names the file, the line and the content."""
    with pytest.raises(DatasetError, match=message):
        open_dataset(write(images / "t.csv", text), labels=LABELS)


def test_a_csv_table_that_is_not_utf8_is_reported(images):
    """The message names the file and the encoding."""
    (images / "t.csv").write_bytes(b"a.jpg,\xff\n")

    with pytest.raises(DatasetError, match=r"t\.csv is not UTF-8 text"):
        open_dataset(images / "t.csv")


# -- Hugging Face ----------------------------------------------------------------------------------------------


def hugging_data(count=3, labels=(1, 0, 1), feature=None, **columns):
    """Return a Hugging Face data set of images and labels."""
    features = {"image": hugging.Image(), "label": feature or hugging.ClassLabel(names=["ash", "elm"])}
    images = [Image.new("RGB", (8 + n, 6), "red") for n in range(count)]
    data = {"image": images, "label": list(labels), **columns}
    features |= {name: hugging.Value("int64") for name in columns}
    return hugging.Dataset.from_dict(data, features=hugging.Features(features))


def test_hugging_face(tmp_path):
    """Columns are found by their types; an image is read when it is opened."""
    hugging_data(other=[1, 2, 3]).save_to_disk(tmp_path / "set")

    samples = open_dataset(tmp_path / "set", labels=LABELS)

    assert names(samples) == ["data/00000000", "data/00000001", "data/00000002"]
    assert [sample.label for sample in samples] == [4, 0, 4]
    assert [sample.open().size for sample in samples] == [(8, 6), (9, 6), (10, 6)]
    assert pickle.loads(pickle.dumps(samples[2])).open().size == (10, 6)
    assert [sample.label for sample in open_dataset(tmp_path / "set", classes=2)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("feature", "labels", "expected"),
    [
        (hugging.Value("int64"), [3, None, 0], [3, None, 0]),
        (hugging.Value("string"), ["elm", "2", "ash"], [4, 2, 0]),
        (hugging.ClassLabel(names=["a", "b", "c", "d", "e"]), [4, -1, 0], [4, None, 0]),
    ],
)
def test_labels_of_hugging_face(feature, labels, expected, tmp_path):
    """Labels may be indices, names or class labels by position; -1 and None are unknown."""
    hugging_data(labels=labels, feature=feature).save_to_disk(tmp_path / "set")

    assert [sample.label for sample in open_dataset(tmp_path / "set", labels=LABELS)] == expected


def test_splits_of_hugging_face(tmp_path):
    """Of several splits the validation split is used, or the given one."""
    parts = {"train": hugging_data(), "validation": hugging_data(1, [0])}
    hugging.DatasetDict(parts).save_to_disk(tmp_path / "set")
    assert names(open_dataset(tmp_path / "set")) == ["validation/00000000"]
    assert len(open_dataset(tmp_path / "set", split="train")) == 3
    with pytest.raises(DatasetError, match=r"which split\? Choose from train, validation"):
        open_dataset(tmp_path / "set", split="dev")

    hugging.DatasetDict({"a": hugging_data(), "b": hugging_data()}).save_to_disk(tmp_path / "other")
    with pytest.raises(DatasetError, match=r"which split\? Choose from a, b"):
        open_dataset(tmp_path / "other")


def test_damaged_hugging_face_is_reported(tmp_path):
    """Errors: labels that are not classes, no column of images, cells without image, an incomplete data set."""
    hugging_data(labels=[0, 7, 0], feature=hugging.Value("int64")).save_to_disk(tmp_path / "a")
    with pytest.raises(DatasetError, match="a, row 1: there is no class 7 of 5 classes"):
        open_dataset(tmp_path / "a", labels=LABELS)
    hugging_data().remove_columns("image").save_to_disk(tmp_path / "b")
    with pytest.raises(DatasetError, match=r"expected one column of images, got \['label'\]"):
        open_dataset(tmp_path / "b")
    hugging.Dataset.from_dict(
        {"image": [{"bytes": b"no image", "path": None}, None]},
        features=hugging.Features(image=hugging.Image()),
    ).save_to_disk(tmp_path / "c")
    for sample in open_dataset(tmp_path / "c"):
        with pytest.raises(ImageError, match=sample.name):
            sample.open()
    write(tmp_path / "d" / "dataset_info.json", "{}")
    with pytest.raises(DatasetError, match=r"cannot read .*d: "):
        open_dataset(tmp_path / "d")


def test_hugging_face_without_its_package(monkeypatch, tmp_path):
    """The error names the extra to install."""
    write(tmp_path / "dataset_info.json", "{}")
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingExtraError, match=r'Hugging Face.* need datasets: pip install "fusioncam\[data\]"'):
        open_dataset(tmp_path)


# -- all kinds -------------------------------------------------------------------------------------------------


def test_a_path_that_is_not_a_data_set_is_reported(tmp_path):
    """The message lists the kinds of data sets."""
    for path in (tmp_path, write(tmp_path.parent / f"{tmp_path.name}.txt", "text")):
        with pytest.raises(DatasetError) as caught:
            open_dataset(path)
        for part in (
            "save_to_disk",
            "JPEGImages",
            "instances",
            "path,label",
            "XML",
            "folder of images for each class",
        ):
            assert part in str(caught.value)
    with pytest.raises(DatasetError, match="nowhere: no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(UnknownNameError, match=r"unknown kind of data set 'voc2012'; did you mean 'voc'"):
        open_dataset(tmp_path, kind="voc2012")
    for kind in KINDS:
        with pytest.raises(DatasetError):
            open_dataset(tmp_path, kind=kind)
        with pytest.raises(DatasetError):
            open_dataset(write(tmp_path / "file.txt"), kind=kind)


def test_no_image_is_opened_before_it_is_needed(tmp_path, monkeypatch):
    """Files that are not images are samples until they are opened."""
    for number in range(300):
        (tmp_path / f"{number:03}.jpg").write_bytes(b"")
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("an image was opened"))

    samples = open_dataset(tmp_path)
    assert len(draw(samples, 10)) == 10

    monkeypatch.undo()
    with pytest.raises(ImageError, match=r"007\.jpg: the file is empty"):
        samples[7].open()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,dog\n", None),
        ("0,dog\ndog,1\n", r"map\.csv, line 2: expected class index,category, got 'dog,1'"),
        ("0,dog,cat\n", "line 1: expected class index,category"),
        ("index,category\n", "expected lines of class index,category, found none"),
        ("5,dog\n", r"the class map must have indices of 5 classes for 'dog', got \[5\]"),
    ],
)
def test_damaged_class_maps_are_reported(rows, message, tmp_path):
    """The message names the file, the line and the content."""
    path = write(tmp_path / "map.csv", rows)

    with pytest.raises(DatasetError, match=message or "found none"):
        network_classes(5, None, path)


def test_class_maps_given_as_mappings():
    """A class map has integers or lists of them; empty lists and negative indices are errors."""
    assert network_classes(5, None, {"dog": 1, "cat": [2, 3]}).class_map == {"dog": (1,), "cat": (2, 3)}
    for wrong in ({"dog": []}, {"dog": -1}):
        with pytest.raises(DatasetError, match="must have indices of 5 classes for 'dog'"):
            network_classes(5, None, wrong)


def test_target_of_a_sample():
    """The target is the label, the best correct class, or the best class; a class that does not exist is an error."""
    scores = torch.tensor([0.1, 0.7, 0.2])
    image = Path("a.jpg")

    assert Sample("a", image).target(scores) == 1
    assert Sample("a", image, label=2).target(scores) == 2
    assert Sample("a", image, classes=(0, 2)).target(scores) == 2
    with pytest.raises(TargetError, match="a has class 3, but the network has 3 classes"):
        Sample("a", image, label=3).target(scores)


def test_samples_are_a_sequence(tmp_path):
    """Slices and negative indices work as for lists."""
    for name in "abcdef":
        write(tmp_path / f"{name}.png")
    samples = open_dataset(tmp_path)

    assert names(samples[4:1:-2]) == ["e.png", "c.png"]
    assert names(samples[1:][::2]) == ["b.png", "d.png", "f.png"]
    assert samples[-1].name == "f.png"
    assert hash(samples[0]) == hash(samples[0])
    with pytest.raises(IndexError):
        samples[6]


# -- draws -----------------------------------------------------------------------------------------------------


def numbered_samples(count):
    """Return ``count`` samples."""
    return [Sample(f"{n}.jpg", Path(f"{n}.jpg")) for n in range(count)]


def test_a_draw_is_the_same_on_every_machine():
    """The draw depends only on names and seed: these are fixed examples."""
    assert [sample.name for sample in draw(numbered_samples(100), 5, seed=0)] == [
        "46.jpg",
        "53.jpg",
        "67.jpg",
        "68.jpg",
        "77.jpg",
    ]
    assert [sample.name for sample in draw(numbered_samples(100), 5, seed=1)] == [
        "2.jpg",
        "3.jpg",
        "8.jpg",
        "69.jpg",
        "96.jpg",
    ]


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_larger_draw_has_the_smaller_one(small, large, seed, random):
    """A larger limit with the same seed keeps the samples of the smaller one, in any order of the data set."""
    small, large = sorted((small, large))
    samples = numbered_samples(30)
    shuffled = random.sample(samples, len(samples))

    few, many = draw(samples, small, seed), draw(samples, large, seed)

    assert len(few) == min(small, 30)
    assert set(few) <= set(many)
    assert few == [sample for sample in samples if sample in few]
    assert set(draw(shuffled, small, seed)) == set(few)


def test_a_draw_of_all_is_all():
    """No limit keeps all samples; a limit of 0 keeps none."""
    assert draw(numbered_samples(7)) == numbered_samples(7)
    assert draw(numbered_samples(7), 0) == []
    assert draw(numbered_samples(7), 100, seed=3) == numbered_samples(7)


def test_accents_do_not_change_the_draw():
    """Some file systems store letters and accents separately."""
    composed, decomposed = ([Sample(name, Path(name)) for name in names] for names in (["é", "a"], ["e\u0301", "a"]))

    assert [sample.name == "a" for sample in draw(composed, 1)] == [
        sample.name == "a" for sample in draw(decomposed, 1)
    ]


def test_on_the_shared_images(shared):
    """The two data sets shared with the project have the documented samples."""
    imagenet = open_dataset(shared / "data" / "imagenet-samples", classes=1000)
    assert [sample.label for sample in imagenet] == list(range(7, 1000, 10))

    coco = shared / "data" / "coco128"
    samples = open_dataset(coco, class_map=shared / "data" / "imagenet-to-coco.csv", classes=1000)
    assert (len(samples), len({sample.image for sample in samples})) == (248, 107)
    with pytest.raises(DatasetError, match="80 of 80 categories are not classes"):
        open_dataset(coco, classes=1000)
