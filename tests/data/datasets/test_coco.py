"""Test COCO instances."""

from __future__ import annotations

import pytest
import torch

from dataset_files import names, write
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.errors import DatasetError


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
