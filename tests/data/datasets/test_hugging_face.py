"""Test data sets saved by Hugging Face's `datasets`."""

from __future__ import annotations

import pickle
import sys

import datasets as hugging
import pytest
from PIL import Image

from dataset_files import names, write
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.errors import DatasetError, ImageError, MissingExtraError
from samples import LABELS


def hugging_data(count=3, labels=(1, 0, 1), feature=None, **columns):
    """Return a Hugging Face data set of images and labels."""
    features = {"image": hugging.Image(), "label": feature or hugging.ClassLabel(names=["ash", "elm"])}
    images = [Image.new("RGB", (8 + n, 6), "red") for n in range(count)]
    data = {"image": images, "label": list(labels), **columns}
    features |= {name: hugging.Value("int64") for name in columns}
    return hugging.Dataset.from_dict(data, features=hugging.Features(features))


def test_hugging_face(tmp_path):
    """Columns are found by their types; an image is read when it is opened."""
    hugging_data(other=[1, 2, 3]).save_to_disk(str(tmp_path / "set"))

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
    hugging_data(labels=labels, feature=feature).save_to_disk(str(tmp_path / "set"))

    assert [sample.label for sample in open_dataset(tmp_path / "set", labels=LABELS)] == expected


def test_splits_of_hugging_face(tmp_path):
    """Of several splits the validation split is used, or the given one."""
    parts = {"train": hugging_data(), "validation": hugging_data(1, [0])}
    hugging.DatasetDict(parts).save_to_disk(str(tmp_path / "set"))
    assert names(open_dataset(tmp_path / "set")) == ["validation/00000000"]
    assert len(open_dataset(tmp_path / "set", split="train")) == 3
    with pytest.raises(DatasetError, match=r"which split\? Choose from train, validation"):
        open_dataset(tmp_path / "set", split="dev")

    hugging.DatasetDict({"a": hugging_data(), "b": hugging_data()}).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(DatasetError, match=r"which split\? Choose from a, b"):
        open_dataset(tmp_path / "other")


def test_damaged_hugging_face_is_reported(tmp_path):
    """Errors: labels that are not classes, no column of images, cells without image, an incomplete data set."""
    hugging_data(labels=[0, 7, 0], feature=hugging.Value("int64")).save_to_disk(str(tmp_path / "a"))
    with pytest.raises(DatasetError, match="a, row 1: there is no class 7 of 5 classes"):
        open_dataset(tmp_path / "a", labels=LABELS)
    hugging_data().remove_columns("image").save_to_disk(str(tmp_path / "b"))
    with pytest.raises(DatasetError, match=r"expected one column of images, got \['label'\]"):
        open_dataset(tmp_path / "b")
    hugging.Dataset.from_dict(
        {"image": [{"bytes": b"no image", "path": None}, None]},
        features=hugging.Features(image=hugging.Image()),
    ).save_to_disk(str(tmp_path / "c"))
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
