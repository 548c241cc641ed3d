"""Images and networks of any number of channels."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from fusioncam import METHODS, METRICS, ExplainedModel, Preprocessing, explain, explain_each
from fusioncam.data.channels import ChannelImage
from fusioncam.data.images import open_image, open_with_channels
from fusioncam.errors import FusionCamError, FusionCamWarning, ImageError, ShapeError
from fusioncam.methods.registry import as_method
from samples import Channels, with_channels

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (40, 50, 6), np.uint8)


# -- opening ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "channels", "expected"),
    [
        (BYTES, 6, BYTES / 255),
        (np.moveaxis(BYTES, -1, 0), 6, BYTES / 255),
        (torch.from_numpy(BYTES).movedim(-1, 0), 6, BYTES / 255),
        (torch.from_numpy(BYTES[:6]).movedim(-1, 0), 6, BYTES[:6] / 255),  # both sides are 6: a tensor is (C, H, W)
        (BYTES.astype(np.uint16) * 257, 6, BYTES / 255),
        ((BYTES / 255).astype(np.float32), 6, BYTES / 255),
        (Image.fromarray(BYTES[..., :4], "RGBA"), 4, BYTES[..., :4] / 255),
        (Image.fromarray(BYTES[..., :2], "LA"), 2, BYTES[..., :2] / 255),
    ],
)
def test_channels_are_kept_in_their_order(source, channels, expected):
    """Whatever the layout and the depth, the values are the same numbers in [0, 1]."""
    opened = open_with_channels(source, channels)

    assert isinstance(opened, ChannelImage)
    np.testing.assert_allclose(opened.values, expected, atol=1e-6)


def test_files_of_many_channels_are_opened(tmp_path):
    """An array of numpy's, the bands of a TIFF, its pages, and the alpha channel of a PNG."""
    np.save(tmp_path / "a.npy", BYTES)
    tifffile.imwrite(tmp_path / "bands.tif", BYTES, photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(tmp_path / "pages.tif", np.moveaxis(BYTES, -1, 0), photometric="minisblack")
    Image.fromarray(BYTES[..., :4], "RGBA").save(tmp_path / "alpha.png")

    for name in ("a.npy", "bands.tif", "pages.tif", "alpha.png"):
        channels = 4 if name == "alpha.png" else 6
        opened = open_with_channels(tmp_path / name, channels)
        np.testing.assert_allclose(opened.values, BYTES[..., :channels] / 255, atol=1e-6, err_msg=name)


def test_files_with_too_many_values_are_not_decoded(tmp_path, monkeypatch):
    """The number of values is known from the header, also of a TIFF that PIL does not open."""
    np.save(tmp_path / "a.npy", BYTES)
    tifffile.imwrite(tmp_path / "bands.tif", BYTES, photometric="minisblack", planarconfig="contig")
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", lambda *args, **kwargs: pytest.fail("it was decoded"))

    for name in ("a.npy", "bands.tif"):
        with pytest.raises(ImageError, match="12,000 values, more than 2,400"):
            open_with_channels(tmp_path / name, 6, max_pixels=800)


def test_arrays_and_tensors_become_rgb():
    """A network of 3 channels takes floating-point and 16-bit arrays and tensors as it takes bytes."""
    pixels = np.asarray(open_image(BYTES[..., :3]))

    rgb = BYTES[..., :3]
    for same in (rgb / 255, rgb.astype(np.uint16) * 257, torch.tensor(rgb).movedim(-1, 0)):
        np.testing.assert_array_equal(np.asarray(open_image(same)), pixels)
    grey = np.asarray(open_image(BYTES[..., :1] / 255))
    np.testing.assert_array_equal(grey, np.asarray(open_image(BYTES[..., 0])))


@pytest.mark.parametrize(
    ("source", "channels", "message"),
    [
        (BYTES, 4, "takes 4 channels, got"),
        (BYTES, 3, "Preprocessing with one number per channel"),
        (BYTES[..., :3], 6, "takes 6 channels, got"),
        (BYTES[..., 0], 2, "takes 2 channels, got"),
        (BYTES * 1.0, 6, "must be in [0, 1], got 0 to 255"),
        (np.full((4, 4, 6), np.nan), 6, "must be in [0, 1], got nan"),
        (BYTES.astype(np.int64), 6, "got int64"),
        (np.zeros((0, 4, 6), np.uint8), 6, "is empty"),
        (BYTES.astype(complex), 3, "got complex128 (40, 50, 6)"),
        ("text", 6, "no such file"),
        (3, 6, "expected a path"),
    ],
)
def test_other_pixels_are_reported(source, channels, message):
    """The error says what is expected and what was given."""
    with pytest.raises(ImageError) as error:
        open_with_channels(source, channels)
    assert message in str(error.value)


def test_a_torn_array_is_reported(tmp_path):
    """Neither a torn file nor one with objects of Python's is loaded."""
    np.save(tmp_path / "torn.npy", BYTES)
    (tmp_path / "torn.npy").write_bytes((tmp_path / "torn.npy").read_bytes()[:100])
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)

    for name in ("torn.npy", "objects.npy"):
        with pytest.raises(ImageError, match="not an array that numpy can read"):
            open_with_channels(tmp_path / name, 6)


# -- networks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_networks_of_any_channels_are_explained(channels):
    """The input is that of the preprocessing, also for a bare network, which is assumed with a warning."""
    image = BYTES[..., 0] if channels == 1 else BYTES[..., :channels]

    explanation = explain(image, model=with_channels(channels), method="grad-cam", target=1)
    assert explanation.image.mode == "RGB"
    assert explanation.overlay(view="crop").size == explanation.image.size
    with pytest.warns(FusionCamWarning, match=f"takes {channels} channels"):
        explain(image, model=Channels(channels), method="grad-cam", target=1)


def test_input_of_channels_by_hand():
    """Without resizing the input is (value - mean) / std, channel by channel."""
    mean, std = (0.1, 0.2, 0.3, 0.4), (0.5, 0.6, 0.7, 0.8)
    preprocessing = Preprocessing((40, 50), (40, 50), mean=mean, std=std)

    x = preprocessing(open_with_channels(BYTES[..., :4], 4))

    expected = (BYTES[..., :4] / 255 - mean) / std
    np.testing.assert_allclose(x.movedim(0, -1).numpy(), expected, atol=1e-5)


def test_a_batch_of_tensors_is_explained():
    """Iterating over a batch (N, C, H, W) yields its images."""
    batch = torch.rand(2, 6, 40, 40)
    found = list(explain_each(batch, model=with_channels(6), methods=["grad-cam"], target=0, batch_size=2))
    assert [one.heatmap.shape for one in found] == [(32, 32)] * 2


@pytest.mark.parametrize("channels", [1, 4])
def test_black_is_known_for_the_channels_of_the_network(channels):
    """A bare network has a preprocessing of its channels, so that black is a number for each."""
    model = ExplainedModel(Channels(channels))
    x = torch.rand(1, channels, 16, 16)
    black = model.fill_pixels(x, "black")

    assert black.shape == x.shape
    assert type(METHODS["score-cam"])(fill="black")(model, x, 0).isfinite().all()
    assert type(METRICS["insertion"])(fill="black", steps=2)(model, x, 0, torch.rand(1, 16, 16)).isfinite().all()


def test_black_needs_as_many_channels_as_the_input():
    """The error names the preprocessing, not a shape of torch's."""
    model = ExplainedModel(Channels(4), preprocessing=Preprocessing())
    with pytest.raises(ShapeError, match="the preprocessing has 3"):
        model.fill_pixels(torch.rand(1, 4, 16, 16), "black")


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "rise(masks=2)"])
def test_an_input_of_other_channels_is_reported(method):
    """It is not an error of torch's."""
    with pytest.raises(ShapeError, match="the network takes 4 channels, got x"):
        as_method(method)[1](ExplainedModel(Channels(4)), torch.rand(1, 3, 16, 16), 0)
    with pytest.raises(FusionCamError):
        explain(BYTES[..., :3], model=ExplainedModel(Channels(4), preprocessing=Preprocessing()), method=method)
