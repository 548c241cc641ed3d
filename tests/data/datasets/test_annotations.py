"""Test the transformation of boxes and masks from annotated images to the network's input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps
from pycocotools import mask as coco_mask

from fusioncam.data.datasets.annotations import EXIF_TRANSPOSES, decode_run_lengths, draw_mask, transpose_box
from fusioncam.data.datasets.sample import Sample
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import DatasetError, ImageError, MissingExtraError

PLAIN = Preprocessing((20, 20), 20, "nearest", (0,) * 3, (1,) * 3)


def painted(size, box, orientation=None, path=None):
    """Return a black image with a white box; with a path, save it, with an EXIF orientation if given."""
    image = Image.new("RGB", size)
    x0, y0, x1, y1 = box
    image.paste((255, 255, 255), (x0, y0, x1, y1))
    if path is None:
        return image
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    image.save(path, exif=exif.tobytes())
    return path


def polygon(box):
    """Return a box as COCO's list of polygons."""
    x0, y0, x1, y1 = box
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def white(sample, preprocessing):
    """Return which pixels of the network's input are white."""
    return preprocessing(sample.open())[0] > 0.5


def test_a_box_is_scaled_and_shifted_by_the_crop():
    """An image of 80 x 40 becomes 40 x 20 and is cropped to columns 10 to 30: halve, and subtract 10 from x."""
    truth = Sample("a", painted((80, 40), (0, 0, 80, 40)), boxes=((30.0, 10.0, 50.0, 20.0),)).truth(PLAIN)

    assert truth.size == (20, 20)
    assert truth.boxes("test")[0].tolist() == [[5, 5, 15, 10]]


def test_sides_are_rounded_down_to_whole_pixels():
    """The longer side of 50 x 33 becomes int(20 x 50 / 33) = 30, not 30.3, as in torchvision."""
    truth = Sample("a", painted((50, 33), (0, 0, 1, 1)), boxes=((10.0, 0.0, 40.0, 33.0),)).truth(PLAIN)

    assert truth.boxes("test")[0].tolist() == [[10 * 30 / 50 - 5, 0, 40 * 30 / 50 - 5, 20]]


@pytest.mark.parametrize("orientation", [None, 1, *EXIF_TRANSPOSES])
@pytest.mark.parametrize(
    "preprocessing",
    [PLAIN, Preprocessing((20, 24), (32, 40), "nearest", (0,) * 3, (1,) * 3)],
    ids=["cropped", "squashed"],
)
def test_boxes_and_masks_follow_their_pixels(orientation, preprocessing, tmp_path):
    """For any EXIF orientation, annotations of the stored image cover the same pixels in the input."""
    box = (16, 8, 40, 20)
    path = painted((72, 40), box, orientation, tmp_path / "a.png")
    boxed = Sample("a", path, boxes=(tuple(map(float, box)),))
    masked = Sample("a", path, segments=(polygon(box),), size=(72, 40))

    assert white(boxed, preprocessing).any()
    assert boxed.truth(preprocessing).mask("test")[0].equal(white(boxed, preprocessing))
    assert masked.truth(preprocessing).mask("test", "mask")[0].equal(white(boxed, preprocessing))


def test_annotations_of_the_upright_image_are_not_transposed(tmp_path):
    """If the annotated size is that of the upright image, so are the boxes."""
    path = painted((72, 40), (0, 0, 32, 40), 6, tmp_path / "a.png")

    stored = Sample("a", path, boxes=((0.0, 0.0, 32.0, 40.0),), size=(72, 40)).truth(PLAIN)
    upright = Sample("a", path, boxes=((0.0, 0.0, 40.0, 32.0),), size=(40, 72)).truth(PLAIN)
    upright_smaller = Sample("a", path, boxes=((0.0, 0.0, 20.0, 16.0),), size=(20, 36)).truth(PLAIN)

    for truth in (stored, upright, upright_smaller):
        assert truth.boxes("test")[0].tolist() == [[0, 0, 20, 8]]


def test_upright_annotations_cover_their_pixels(tmp_path):
    """A box in the middle, inside the crop, covers its white pixels."""
    path = painted((72, 40), (30, 8, 42, 20), 6, tmp_path / "a.png")
    sample = Sample("a", path, boxes=((20.0, 30.0, 32.0, 42.0),), size=(40, 72))

    assert sample.truth(PLAIN).mask("test")[0].equal(white(sample, PLAIN))
    assert white(sample, PLAIN).any()


@pytest.mark.parametrize("transpose", EXIF_TRANSPOSES.values(), ids=lambda transpose: transpose.name)
@given(data=st.data())
def test_a_transposed_box_is_the_box_of_the_transposed_pixels(transpose, data):
    """Boxes are transposed as images are."""
    width, height = data.draw(st.integers(2, 12)), data.draw(st.integers(2, 12))
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))

    transposed = painted((width, height), (x0, y0, x1, y1)).transpose(transpose)

    assert transpose_box((x0, y0, x1, y1), (width, height), transpose) == transposed.getbbox()


def test_transposes_are_those_of_pil(tmp_path):
    """Each EXIF orientation transposes an image as ImageOps does."""
    for orientation, transpose in EXIF_TRANSPOSES.items():
        path = painted((7, 4), (1, 0, 3, 1), orientation, tmp_path / "a.png")
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), np.asarray(image.transpose(transpose)))


@given(st.integers(20, 60), st.integers(20, 60), st.integers(0, 3))
def test_window_agrees_with_the_input(width, height, border):
    """The window has the size of the resized image, and the crop lies inside it."""
    preprocessing = Preprocessing((16, 16), 16 + border)
    columns, rows, left, top = preprocessing.window((width, height))

    assert (columns, rows) == tuple(int((16 + border) * side / min(width, height)) for side in (width, height))
    assert 0 <= left <= columns - 16
    assert 0 <= top <= rows - 16
    pixels = preprocessing(painted((width, height), (0, 0, width, height)))
    assert pixels.shape == (3, 16, 16)


def test_annotations_of_a_larger_image_are_scaled():
    """Boxes of a file that was resized since are scaled; other proportions are an error."""
    sample = Sample("a", painted((80, 40), (0, 0, 1, 1)), boxes=((300.0, 100.0, 500.0, 200.0),), size=(800, 400))
    assert sample.truth(PLAIN).boxes("test")[0].tolist() == [[5, 5, 15, 10]]

    other = Sample("b.jpg", painted((80, 40), (0, 0, 1, 1)), boxes=((0.0, 0.0, 5.0, 5.0),), size=(400, 800))
    with pytest.raises(DatasetError, match=r"b\.jpg: annotated at 400 x 800 pixels, but the image has 80 x 40"):
        other.truth(PLAIN)


def test_a_class_outside_the_crop_has_no_truth():
    """There is no truth if the crop has nothing of the mask, even if it has a corner of the box."""
    image = painted((80, 40), (0, 0, 1, 1))
    triangle = [[0, 0, 38, 0, 0, 38, 0, 0]]

    assert Sample("a", image).truth(PLAIN) is None
    assert Sample("a", image, boxes=((0.0, 0.0, 19.0, 40.0),)).truth(PLAIN) is None
    box = (0.0, 0.0, 38.0, 38.0)
    assert Sample("a", image, boxes=(box,), segments=(polygon((0, 0, 19, 40)),)).truth(PLAIN) is None
    assert Sample("a", image, boxes=(box,), segments=(triangle,)).truth(PLAIN) is not None


def test_an_object_smaller_than_a_pixel_of_the_input_keeps_its_box():
    """An object between the pixels of the input still has its box."""
    preprocessing = Preprocessing((4, 4), 4, "nearest", (0,) * 3, (1,) * 3)
    image, box = painted((40, 40), (0, 0, 1, 1)), (11.0, 11.0, 13.0, 13.0)

    truth = Sample("a", image, boxes=(box,), segments=(polygon(box),)).truth(preprocessing)

    assert truth.mask("test")[0].nonzero().tolist() == [[1, 1]]


# -- segments --------------------------------------------------------------------------------------------------


def test_polygons_and_run_lengths_of_the_same_shape_agree():
    """COCO's three encodings of a mask are equal, and two segments give their union."""
    pixels = np.zeros((6, 8), np.uint8, order="F")
    pixels[1:4, 2:7] = 1
    packed = coco_mask.encode(pixels)
    text = {"size": [6, 8], "counts": packed["counts"].decode()}
    columns = pixels.flatten(order="F")
    edges = np.flatnonzero(np.diff(columns)) + 1
    counts = np.diff([0, *edges, columns.size]).tolist()

    for segment in (polygon((2, 1, 7, 4)), text, {"size": [6, 8], "counts": counts}):
        assert np.array_equal(np.asarray(draw_mask([segment], (8, 6), "a")) > 0, pixels > 0)
    both = np.asarray(draw_mask([polygon((2, 1, 7, 4)), polygon((0, 5, 2, 6))], (8, 6), "a"))
    assert (both > 0).sum() == 15 + 2


@pytest.mark.parametrize(
    "segment",
    [
        [[0, 0, 5, 5]],
        [[0, 0, 5, 5, 1, 2, 3]],
        [[0, 0, 5, 5, "1", 2]],
        [[0, 0, 5, 5, float("nan"), 2]],
        [[]],
        [[0, 0, 1e9, 5, 1, 2]],
        [[0, 0, True, 5, 1, 2]],
        {"size": [6, 8], "counts": [24.0, 24.0]},
        {"size": [8, 6], "counts": [48]},
        {"size": [6, 8], "counts": [40]},
        {"size": [6, 8], "counts": [-1, 49]},
        {"size": [6, 8]},
        {"size": [6, 8], "counts": []},
        "polygon",
        7,
    ],
    ids=str,
)
def test_malformed_segments_are_reported(segment):
    """Malformed segments never reach the compiled code; the message names the sample."""
    with pytest.raises(
        DatasetError, match=r"a\.jpg#dog: a segment must be a list of polygons .* of 8 x 6 pixels, got"
    ):
        draw_mask([segment], (8, 6), "a.jpg#dog")


@pytest.mark.parametrize("counts", ["zzzz~~", "02", "", "P", "\u1234", b"\xff", "Q" * 1000])
def test_damaged_run_lengths_are_reported(counts):
    """Text without valid counts, or with those of another image, would make pycocotools read uninitialised memory."""
    with pytest.raises(DatasetError, match=r"a\.jpg#dog: a segment must be .* run lengths of 8 x 6 pixels, got"):
        draw_mask([{"size": [6, 8], "counts": counts}], (8, 6), "a.jpg#dog")


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=20))
def test_run_lengths_are_decoded(counts):
    """Decoding inverts the encoding of pycocotools."""
    packed = coco_mask.frPyObjects({"size": [1, max(1, sum(counts))], "counts": counts}, 1, max(1, sum(counts)))

    assert decode_run_lengths(packed["counts"]) == counts


def test_a_missing_package_is_reported(monkeypatch):
    """The error names the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "pycocotools.mask", None)

    with pytest.raises(MissingExtraError, match=r'masks of COCO need pycocotools: pip install "fusioncam\[data\]"'):
        draw_mask([polygon((2, 1, 7, 4))], (8, 6), "a")


def test_files_that_are_not_images_are_reported(tmp_path):
    """The truth of a missing or damaged file raises the same error as opening it."""
    (tmp_path / "a.jpg").write_bytes(b"no image")
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(ImageError, match=name):
            Sample(name, tmp_path / name, boxes=((0.0, 0.0, 1.0, 1.0),)).truth(PLAIN)


def test_on_coco(shared):
    """On real images a mask fills part of its boxes and almost nothing outside them."""
    from fusioncam.data.datasets.registry import open_dataset

    samples = open_dataset(shared / "data" / "coco128")
    inside, outside, images = torch.zeros(()), torch.zeros(()), 0
    for sample in samples[::8]:
        truth = sample.truth(Preprocessing())
        if truth is not None and truth.known("mask").all():
            mask, boxes = truth.mask("test", "mask"), truth.mask("test", "box")
            inside, outside = inside + (mask & boxes).sum(), outside + (mask & ~boxes).sum()
            images += 1
    assert images > 30
    assert outside < 0.02 * inside
