"""Test the detection of kinds of data sets, and what holds for all of them."""

from __future__ import annotations

import pytest
from PIL import Image

from dataset_files import write
from fusioncam.data.datasets.registry import KINDS, open_dataset
from fusioncam.data.datasets.sample import draw
from fusioncam.errors import DatasetError, ImageError, UnknownNameError


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
    with pytest.raises(UnknownNameError, match=r"unknown kind of data set 'voc2012'; choose from .*, voc,"):
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


def test_on_the_shared_images(shared):
    """The two data sets shared with the project have the documented samples."""
    imagenet = open_dataset(shared / "data" / "imagenet-samples", classes=1000)
    assert [sample.label for sample in imagenet] == list(range(7, 1000, 10))

    coco = shared / "data" / "coco128"
    samples = open_dataset(coco, class_map=shared / "data" / "imagenet-to-coco.csv", classes=1000)
    assert (len(samples), len({sample.image for sample in samples})) == (248, 107)
    with pytest.raises(DatasetError, match="80 of 80 categories are not classes"):
        open_dataset(coco, classes=1000)
