"""Test that preprocessing equals timm's and torchvision's transforms, and that views show exactly the crop."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from fusioncam import Preprocessing
from fusioncam.errors import SettingError, UnknownNameError, WeightsError
from fusioncam.zoo.loading import as_model
from samples import CAT, COFFEE, ROCKET, photo

SIZES = {
    "cat": (451, 300),
    "portrait": (300, 451),
    "wide": (1999, 301),
    "tall": (97, 800),
    "exact": (224, 224),
    "resized": (256, 256),
    "smaller": (150, 120),
    "one side smaller": (500, 100),
    "tiny": (2, 3),
    "odd": (257, 383),
}
INTERPOLATIONS = ["nearest", "bilinear", "bicubic"]


def pixels(x: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """Return the pixels ``(H, W, C)`` in [0, 1] of an input."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return (x * std[:, None, None] + mean[:, None, None]).permute(1, 2, 0).numpy()


def framed(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """Return a black image with a white ``box`` (left, top, right, bottom)."""
    image = Image.new("RGB", size)
    image.paste("white", box)
    return image


# -- compared with timm and torchvision ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CAT, COFFEE, ROCKET], ids=lambda path: path.stem)
def test_the_default_model_has_timms_preprocessing(path, lite0):
    """The input equals that of timm's transform with the weights' own mean and std."""
    own = lite0.preprocessing
    config = resolve_model_data_config(timm.create_model("tf_efficientnet_lite0"))
    transform = create_transform(**config | {"mean": own.mean, "std": own.std})
    torch.testing.assert_close(own(photo(path)), transform(photo(path)), atol=1e-6, rtol=0)


def assert_equals_timm(config: dict[str, object], sizes: Iterable[tuple[int, int]]) -> None:
    """Compare the preprocessing of a timm network with these settings with timm's transform."""
    network = timm.create_model("test_resnet", pretrained_cfg_overlay=config)
    transform = create_transform(**resolve_model_data_config(network))
    own = as_model(network, None, None).preprocessing
    for size in sizes:
        image = photo(size=size)
        torch.testing.assert_close(own(image), transform(image), atol=1e-6, rtol=0, msg=f"{size} differs")


@pytest.mark.parametrize(
    "config",
    [
        {"crop_pct": 0.875, "interpolation": "bicubic", "input_size": (3, 224, 224)},
        {"crop_pct": 0.95, "interpolation": "bilinear"},
        {"crop_pct": 1.0, "interpolation": "bicubic"},
        {"crop_pct": 1.0, "interpolation": "bicubic", "crop_mode": "squash"},
        {"crop_pct": 0.9, "interpolation": "bilinear", "crop_mode": "squash"},
        {"crop_pct": 0.875, "mean": (0.5, 0.4, 0.3), "std": (0.3, 0.2, 0.1), "input_size": (3, 99, 99)},
        {"crop_pct": 0.9, "crop_mode": "squash", "input_size": (3, 96, 160)},
    ],
    ids=["center", "bilinear", "all", "squash", "squash and crop", "odd", "oblong squash"],
)
def test_timm_networks_have_timms_preprocessing(config):
    """The input equals that of timm's transform for each kind of setting."""
    assert_equals_timm(config, SIZES.values())


@pytest.mark.parametrize(
    "config",
    [
        {"crop_pct": 0.5, "input_size": (3, 96, 160)},
        {"crop_pct": 0.9, "input_size": (3, 96, 160)},
        {"crop_pct": 1.15, "input_size": (3, 96, 96)},
        {"crop_pct": 1.0, "crop_mode": "border"},
    ],
    ids=["oblong", "oblong and nearly all", "more than all", "padded"],
)
def test_rare_settings_of_timm_are_followed_or_rejected(config):
    """Oblong inputs, and crops larger than the resized image, equal timm's or raise an error."""
    with suppress(WeightsError):
        assert_equals_timm(config, [(451, 300), (300, 451)])


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_the_input_equals_that_of_torchvisions_preset(size, interpolation):
    """The preset is the one that torchvision's weights come with."""
    preset = ImageClassification(
        crop_size=224, resize_size=256, interpolation=InterpolationMode(interpolation), antialias=True
    )
    own = Preprocessing((224, 224), 256, interpolation)
    torch.testing.assert_close(own(photo(size=size)), preset(photo(size=size)), atol=1e-6, rtol=0)


# -- the view --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(),
        Preprocessing((224, 224), (224, 224)),
        Preprocessing((160, 224), (200, 224), "bilinear"),
        Preprocessing((160, 224), "fit", "bilinear"),
    ],
    ids=["crop", "squash", "oblong", "fit"],
)
def test_the_view_is_the_input_at_a_higher_resolution(preprocessing, size):
    """Resized to the input, the view has the same pixels, so heatmaps are not shifted on it."""
    image = photo(size=size)
    view = preprocessing.view(image)
    height, width = preprocessing.size
    shrunk = np.asarray(view.resize((width, height), Image.Resampling.BICUBIC)) / 255
    assert np.abs(shrunk - pixels(preprocessing(image), preprocessing)).mean() < 0.012


def test_the_view_ends_where_the_crop_ends():
    """A white box at the location of the crop fills the view exactly."""
    # 400 x 200 is resized to 512 x 256; the centre 224 x 224 are 175 x 175 pixels of the image
    box = (112, 12, 288, 188)
    inside = np.asarray(Preprocessing().view(framed((400, 200), box)))
    assert inside.min() > 200
    smaller = np.asarray(Preprocessing().view(framed((400, 200), (116, 16, 284, 184))))
    for edge in (smaller[0], smaller[-1], smaller[:, 0], smaller[:, -1]):
        assert edge.max() < 50


@pytest.mark.parametrize("size", [(400, 200), (200, 400), (401, 203), (90, 60)])
def test_a_mark_has_the_same_location_in_view_and_input(size):
    """The centre of a white mark is at the same fraction of the view and of the input, within half a pixel."""
    left, top = size[0] // 2 - 20, size[1] // 2 + 5
    image = framed(size, (left, top, left + 12, top + 8))
    preprocessing = Preprocessing()

    def centre(grey: np.ndarray) -> np.ndarray:
        weights = grey.clip(0)
        positions = [(np.arange(side) + 0.5) / side for side in grey.shape]
        return np.array([weights.sum(1) @ positions[0], weights.sum(0) @ positions[1]]) / weights.sum()

    view = np.asarray(preprocessing.view(image).convert("L")) / 255
    red = pixels(preprocessing(image), preprocessing)[..., 0]
    assert np.abs(centre(view) - centre(red)).max() < 0.5 / 224


def test_the_whole_image_fits_between_grey_bars():
    """As ultralytics prepares images: the bars are 114 of 255, the lower one wider by an odd pixel."""
    preprocessing = Preprocessing((8, 8), "fit", mean=(0,) * 3, std=(1,) * 3)
    image = Image.new("RGB", (80, 50), "white")

    rows = (preprocessing(image)[0, :, 4] * 255).round().tolist()

    assert rows == [114, 255, 255, 255, 255, 255, 114, 114]
    assert preprocessing.window(image.size) == (8, 5, 0, -1)
    view = np.asarray(preprocessing.view(image))
    assert view.shape == (80, 80, 3)
    assert view[:, 40, 0].tolist() == [114] * 10 + [255] * 50 + [114] * 20


@pytest.mark.parametrize(
    ("size", "view"),
    [
        ((2000, 2000), (1024, 1024)),
        ((20_000, 30), (224, 224)),
        ((1000, 800), (700, 700)),
        ((224, 224), (224, 224)),
        ((30, 30), (224, 224)),
    ],
)
def test_the_view_has_the_images_own_resolution(size, view):
    """A view has the image's resolution, but is at least as large as the input and at most 1,024 pixels a side."""
    assert Preprocessing().view(Image.new("RGB", size)).size == view


def test_the_view_is_in_colour():
    """The view of a network with grey input is in colour."""
    grey = Preprocessing(mean=(0.5,), std=(0.5,))
    assert grey.view(photo()).mode == "RGB"
    assert np.ptp(np.asarray(grey.view(photo())), axis=2).max() > 50


# -- grey networks and mistakes --------------------------------------------------------------------------------


def test_one_mean_makes_a_grey_input():
    """The input of a network with one channel is the image's normalised luma."""
    x = Preprocessing((32, 32), 32, mean=(0.5,), std=(0.25,))(photo(size=(32, 32)))
    luma = torch.from_numpy(np.asarray(photo(size=(32, 32)).convert("L")) / 255).float()
    torch.testing.assert_close(x, (luma[None] - 0.5) / 0.25)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_any_mode_of_image_is_accepted(mode):
    """An image that was not opened by open_image is converted to RGB."""
    x = Preprocessing((32, 32), 32)(photo(size=(32, 32)).convert(mode))
    torch.testing.assert_close(x, Preprocessing((32, 32), 32)(photo(size=(32, 32)).convert(mode).convert("RGB")))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"interpolation": "bicubi"}, UnknownNameError, "did you mean 'bicubic'"),
        ({"mean": (0.5,)}, SettingError, "one number per channel"),
        ({"mean": (), "std": ()}, SettingError, "one number per channel"),
        ({"resize": 200}, SettingError, r"resize must be at least the crop \(224, 224\), got 200"),
        ({"resize": "fill"}, UnknownNameError, "unknown resize 'fill'"),
        ({"resize": (300, 200)}, SettingError, r"resize must be at least .* got \(300, 200\)"),
        ({"size": 224}, SettingError, "size"),
        ({"size": (0, 0), "resize": 0}, SettingError, "size"),
        ({"std": (0.0, 0.1, 0.1)}, SettingError, "std"),
        ({"mean": 0.5, "std": 0.5}, SettingError, "mean"),
    ],
)
def test_bad_settings_are_reported(settings, error, message):
    """The error is raised when the preprocessing is created, not at the first image."""
    with pytest.raises(error, match=message):
        Preprocessing(**settings)


def test_settings_compare_by_value():
    """Preprocessings with the same settings are equal and have the same hash."""
    assert Preprocessing() == Preprocessing((224, 224), 256)
    assert Preprocessing() != Preprocessing(resize=232)
    assert len({Preprocessing(), Preprocessing((224, 224), 256)}) == 1


# -- without a crop -------------------------------------------------------------------------------------------------


def test_whole_images_keep_their_scale():
    """The input shows the pixels of the usual one in its centre, and more at both sides."""
    usual = Preprocessing((32, 32), 40)
    image = photo(size=(120, 60))
    whole = usual.uncropped()(image)
    assert whole.shape == (3, 40, 80)
    assert torch.equal(whole[:, 4:36, 24:56], usual(image))
    assert usual.uncropped().visible_box(image.size) == (0, 0, *image.size)
    assert usual.uncropped().view(image).size[0] == 2 * usual.uncropped().view(image).size[1]


def test_very_long_images_are_made_smaller():
    """A strip of 500:1 has no more than 16 times the pixels of the usual input."""
    whole = Preprocessing((32, 32), 32).uncropped().of_size((5000, 10))
    assert whole.size[0] * whole.size[1] <= 1.1 * 16 * 32 * 32


def test_what_crops_nothing_stays():
    """Preprocessings that resize the whole image are returned as they are."""
    for one in (Preprocessing((32, 32), (32, 32)), Preprocessing((32, 32), "fit")):
        assert one.uncropped() is one
