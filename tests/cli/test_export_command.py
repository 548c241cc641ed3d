"""`fusioncam export`: regions as annotations, read back by the readers of data sets."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import samples
from command_line import SMALL
from fusioncam import explain_each
from fusioncam.data.datasets.annotations import draw_mask
from fusioncam.data.datasets.xml import read_annotation
from fusioncam.errors import ResultsError, SettingError, UnknownNameError
from fusioncam.functional.polygons import outlines, polygon_area
from fusioncam.report.annotations import FORMATS, export_regions


@pytest.fixture
def folder(cli, tmp_path):
    """Explain two images, of which the network receives the centre, for two classes each."""
    (tmp_path / "images").mkdir()
    for name, photo in (("cat.png", samples.CAT), ("cup & saucer.png", samples.COFFEE)):
        samples.photo(photo, (120, 60)).save(tmp_path / "images" / name)
    assert cli("explain", tmp_path / "images", *SMALL, "-m", "layer-cam", "--target", "top2", "-q").code == 0
    return Path("fusioncam-out")


def masks_of(folder, threshold):
    """Return the union of the masks of an image's classes, from the library's interface."""
    images = sorted(Path("images").iterdir()) if Path("images").exists() else sorted(folder.parent.glob("images/*"))
    found = list(explain_each(images, model=samples.small(), methods=["layer-cam"], target="top2"))
    first, second = ([one.mask(threshold).numpy() for one in found[n : n + 2]] for n in (0, 2))
    return {"cat": first[0] | first[1], "cup_&_saucer": second[0] | second[1]}


def overlap(one, other):
    """Return the IoU of two masks."""
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("threshold", ["otsu", "top20%"])
def test_masks_are_those_of_the_explanation(threshold, folder):
    """The PNG of each image covers its masks, up to the pixels at the edges of polygons; classes are listed."""
    written = export_regions(folder, folder / "png", "png-masks", threshold=threshold)
    pngs = [path for path in written if path.suffix == ".png"]
    classes = (folder / "png" / "classes.txt").read_text().splitlines()
    expected = list(masks_of(folder, threshold).values())
    for path, mask in zip(sorted(pngs), expected, strict=True):
        with Image.open(path) as image:
            values, colours = np.asarray(image), np.asarray(image.convert("RGB"))
        assert values.shape == (60, 120)
        assert (colours[values == 1] == (128, 0, 0)).all()  # class 1 in the colours of PASCAL VOC
        assert len(np.unique(colours.reshape(-1, 3), axis=0)) == len(np.unique(values))
        assert set(np.unique(values)) <= set(range(len(classes) + 1))
        assert overlap(values > 0, mask) > 0.98


def test_coco_can_be_read_back(folder):
    """Polygons lie inside their boxes, cover the masks, and belong to images and categories that exist."""
    (path,) = export_regions(folder, folder / "coco", "coco", threshold=0.5)
    content = json.loads(path.read_text())
    assert [Path(one["file_name"]).name for one in content["images"]] == ["cat.png", "cup & saucer.png"]
    ids = [one["id"] for one in content["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    for one in content["annotations"]:
        ((points,), (left, top, width, height)) = one["segmentation"], one["bbox"]
        assert left - 0.01 <= min(points[::2]) <= max(points[::2]) <= left + width + 0.02
        assert 0 <= top <= top + height <= 60
        assert one["area"] <= width * height + 0.1
    first = [one["segmentation"] for one in content["annotations"] if one["image_id"] == 1]
    drawn = np.asarray(draw_mask(first, (120, 60), "cat")) > 0
    assert overlap(drawn, masks_of(folder, 0.5)["cat"]) > 0.85


def test_voc_can_be_read_back(folder):
    """The boxes lie inside the image; names need no quoting, and 0 and 1 are counted as VOC does."""
    written = export_regions(folder, folder / "voc", "voc")
    annotation = read_annotation(written[0], 1)
    boxes = [box for found in annotation.boxes.values() for box in found]
    assert boxes
    assert all(0 <= x1 < x2 <= 120 and 0 <= y1 < y2 <= 60 for x1, y1, x2, y2 in boxes)
    (path,) = export_regions(folder, folder / "coco", "coco")
    left, top = json.loads(path.read_text())["annotations"][0]["bbox"][:2]
    assert boxes[0][:2] == (int(left), int(top))
    names = {ElementTree.parse(path).findtext("filename") for path in written}
    assert names == {"cat.png", "cup & saucer.png"}


def test_labelme_names_the_image(folder):
    """The path of the image leads to it from anywhere."""
    (first, _) = export_regions(folder, folder / "labelme", "labelme")
    content = json.loads(first.read_text())
    assert Path(content["imagePath"]).is_absolute()
    assert Path(content["imagePath"]).exists()
    assert (content["imageWidth"], content["imageHeight"]) == (120, 60)
    assert all(len(shape["points"]) >= 3 for shape in content["shapes"])


def test_only_the_largest_piece(folder):
    """At most one object for each class of an image."""
    every = json.loads(export_regions(folder, folder / "a", "coco", threshold=0.3)[0].read_text())
    largest = json.loads(export_regions(folder, folder / "b", "coco", threshold=0.3, pieces="largest")[0].read_text())
    assert len(largest["annotations"]) == 4
    assert len(every["annotations"]) > 4
    assert max(one["area"] for one in every["annotations"]) in {one["area"] for one in largest["annotations"]}


def test_outlines_of_pixels():
    """Two hot pixels in a corner have the area that linear interpolation gives them; the border belongs to them."""
    heatmap = np.zeros((10, 10), np.float32)
    heatmap[0, :2] = 1
    (polygon,) = outlines(heatmap, 0.5)
    assert polygon.min(0).tolist() == [0, 0]
    assert polygon_area(polygon) == pytest.approx(2, abs=0.2)
    assert outlines(np.zeros((4, 4), np.float32), 0.0) == []
    assert polygon_area(outlines(np.ones((4, 4), np.float32), 0.5)[0]) == 16


# -- the command ----------------------------------------------------------------------------------------------------


def test_the_command_writes_every_format(cli, folder):
    """It names the file or the folder that it wrote; by default the folder lies in the run."""
    for name in FORMATS:
        result = cli("export", folder, "--format", name)
        assert (result.code, result.err) == (0, "")
        assert f"fusioncam-out/{name}" in result.out


def test_wrong_requests(cli, folder, tmp_path):
    """The exit code is 2, and the error says what to do."""
    for options, message in (
        (("--format", "yolo"), "unknown format 'yolo'"),
        (("--format", "coco", "--threshold", "best"), "threshold must be"),
        (("--format", "coco", "--method", "grad-cam"), "unknown method of this run 'grad-cam'"),
    ):
        result = cli("export", folder, *options)
        assert result.code == 2
        assert message in result.err
    with pytest.raises(ResultsError, match="does not exist"):
        export_regions(tmp_path, tmp_path / "out", "coco")
    with pytest.raises(UnknownNameError, match="unknown pieces"):
        export_regions(folder, tmp_path / "out", "coco", pieces="first")


def test_runs_of_several_methods_or_of_an_earlier_version(folder, tmp_path):
    """One method must be chosen, and a run without sizes must be made again."""
    facts = json.loads((folder / "explanations.json").read_text())
    facts["explanations"][1]["method"] = "grad-cam"
    (folder / "explanations.json").write_text(json.dumps(facts))
    with pytest.raises(SettingError, match="heatmaps of layer-cam, grad-cam: choose one by --method"):
        export_regions(folder, tmp_path / "out", "coco")
    assert export_regions(folder, tmp_path / "out", "coco", method="grad-cam")
    del facts["explanations"][1]["window"]
    (folder / "explanations.json").write_text(json.dumps(facts))
    with pytest.raises(ResultsError, match="of an earlier version: run fusioncam explain again"):
        export_regions(folder, tmp_path / "out", "coco", method="grad-cam")


def test_regions_of_a_bulk_run(cli, folder):
    """They are those of the same run without --bulk, within the error of the stored heatmaps."""
    options = (*SMALL, "-m", "layer-cam", "--target", "top2", "-q", "--bulk", "--out", "bulk")
    assert cli("explain", "images", *options).code == 0
    assert cli("export", "bulk", "--format", "coco").code == 0
    bulk, usual = (
        json.loads(path.read_text())
        for path in (Path("bulk/coco/instances.json"), *export_regions(folder, folder / "coco", "coco"))
    )
    assert [one["width"] for one in bulk["images"]] == [120, 120]
    assert [one["name"] for one in bulk["categories"]] == [one["name"] for one in usual["categories"]]
    areas = [sum(one["area"] for one in content["annotations"]) for content in (bulk, usual)]
    assert areas[0] == pytest.approx(areas[1], rel=0.1)
