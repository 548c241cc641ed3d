"""The same pixels as timm's and torchvision's own transforms, and a view of exactly what the network sees."""

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
from fusioncam.errors import FusionCamError, ShapeError, UnknownNameError, WeightsError
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
    """Turn an input back into pixels ``(H, W, C)`` from 0 to 1."""
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return (x * std[:, None, None] + mean[:, None, None]).permute(1, 2, 0).numpy()


def framed(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """Give a black image with a white ``box`` (left, top, right, bottom)."""
    image = Image.new("RGB", size)
    image.paste("white", box)
    return image


# -- as others do it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CAT, COFFEE, ROCKET], ids=lambda path: path.stem)
def test_the_default_model_gets_what_timm_gives_it(path, lite0):
    """The default model's input is that of timm's transform for it, with the weights' own mean and std."""
    own = lite0.preprocessing
    config = resolve_model_data_config(timm.create_model("tf_efficientnet_lite0"))
    transform = create_transform(**config | {"mean": own.mean, "std": own.std})
    torch.testing.assert_close(own(photo(path)), transform(photo(path)), atol=1e-6, rtol=0)


def same_as_timms(config: dict[str, object], sizes: Iterable[tuple[int, int]]) -> None:
    """Compare what a timm network of these settings gets with timm's own transform."""
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
def test_timm_networks_get_what_timm_gives_them(config):
    """Whatever a timm network's settings ask for, its input is that of timm's own transform."""
    same_as_timms(config, SIZES.values())


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
def test_rare_settings_of_timm_are_followed_or_refused(config):
    """Oblong inputs, and crops larger than the resized image, are as timm does them or refused, never different."""
    with suppress(WeightsError):
        same_as_timms(config, [(451, 300), (300, 451)])


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_the_same_as_torchvisions_preset(size, interpolation):
    """The input is that of the preset which torchvision's weights come with."""
    preset = ImageClassification(
        crop_size=224, resize_size=256, interpolation=InterpolationMode(interpolation), antialias=True
    )
    own = Preprocessing((224, 224), 256, interpolation)
    torch.testing.assert_close(own(photo(size=size)), preset(photo(size=size)), atol=1e-6, rtol=0)


# -- the view --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize(
    "preprocessing",
    [Preprocessing(), Preprocessing((224, 224), (224, 224)), Preprocessing((160, 224), (200, 224), "bilinear")],
    ids=["crop", "squash", "oblong"],
)
def test_the_view_is_the_input_at_a_higher_resolution(preprocessing, size):
    """Brought to the input's size, the view shows the same pixels: no place is shifted against the heatmap."""
    image = photo(size=size)
    view = preprocessing.view(image)
    height, width = preprocessing.size
    shrunk = np.asarray(view.resize((width, height), Image.Resampling.BICUBIC)) / 255
    assert np.abs(shrunk - pixels(preprocessing(image), preprocessing)).mean() < 0.012


def test_the_view_ends_where_the_crop_ends():
    """A white box on black at the crop's place fills the view; the image around it is not to be seen."""
    # 400 x 200 becomes 512 x 256, of which the middle 224 x 224 are 175 x 175 of the image's own pixels
    box = (112, 12, 288, 188)
    inside = np.asarray(Preprocessing().view(framed((400, 200), box)))
    assert inside.min() > 200
    smaller = np.asarray(Preprocessing().view(framed((400, 200), (116, 16, 284, 184))))
    for edge in (smaller[0], smaller[-1], smaller[:, 0], smaller[:, -1]):
        assert edge.max() < 50


@pytest.mark.parametrize("size", [(400, 200), (200, 400), (401, 203), (90, 60)])
def test_a_mark_is_at_the_same_place_in_view_and_input(size):
    """The centre of a white mark lies at the same fraction of the view and of the input, to half a pixel."""
    left, top = size[0] // 2 - 20, size[1] // 2 + 5
    image = framed(size, (left, top, left + 12, top + 8))
    preprocessing = Preprocessing()

    def centre(grey: np.ndarray) -> np.ndarray:
        weights = grey.clip(0)
        places = [(np.arange(side) + 0.5) / side for side in grey.shape]
        return np.array([weights.sum(1) @ places[0], weights.sum(0) @ places[1]]) / weights.sum()

    view = np.asarray(preprocessing.view(image).convert("L")) / 255
    seen = pixels(preprocessing(image), preprocessing)[..., 0]
    assert np.abs(centre(view) - centre(seen)).max() < 0.5 / 224


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
    """A view is not blurrier than the image, not smaller than the input and not larger than is of use."""
    assert Preprocessing().view(Image.new("RGB", size)).size == view


def test_the_view_is_in_colour():
    """A grey network's view shows the image as people know it."""
    grey = Preprocessing(mean=(0.5,), std=(0.5,))
    assert grey.view(photo()).mode == "RGB"
    assert np.ptp(np.asarray(grey.view(photo())), axis=2).max() > 50


# -- grey networks and mistakes --------------------------------------------------------------------------------


def test_one_mean_makes_a_grey_input():
    """A network of one channel gets the image's luma, normalised."""
    x = Preprocessing((32, 32), 32, mean=(0.5,), std=(0.25,))(photo(size=(32, 32)))
    luma = torch.from_numpy(np.asarray(photo(size=(32, 32)).convert("L")) / 255).float()
    torch.testing.assert_close(x, (luma[None] - 0.5) / 0.25)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_any_mode_of_image_will_do(mode):
    """An image that did not come through open_image becomes RGB all the same."""
    x = Preprocessing((32, 32), 32)(photo(size=(32, 32)).convert(mode))
    torch.testing.assert_close(x, Preprocessing((32, 32), 32)(photo(size=(32, 32)).convert(mode).convert("RGB")))


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"interpolation": "bicubi"}, UnknownNameError, "did you mean 'bicubic'"),
        ({"mean": (0.5,)}, ShapeError, "1 or 3 numbers"),
        ({"mean": (0.5,) * 4, "std": (0.5,) * 4}, ShapeError, "1 or 3 numbers"),
        ({"resize": 200}, ShapeError, r"resize 200 is smaller than the crop \(224, 224\)"),
        ({"resize": (300, 200)}, ShapeError, r"resize \(300, 200\) is smaller"),
        ({"size": 224}, FusionCamError, "size"),
        ({"size": (0, 0), "resize": 0}, FusionCamError, "size"),
        ({"std": (0.0, 0.1, 0.1)}, FusionCamError, "std"),
        ({"mean": 0.5, "std": 0.5}, FusionCamError, "mean"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(settings, error, told):
    """The error comes when the settings are made, not with the first image."""
    with pytest.raises(error, match=told):
        Preprocessing(**settings)


def test_settings_compare_by_value():
    """Two runs with the same settings have the same preprocessing."""
    assert Preprocessing() == Preprocessing((224, 224), 256)
    assert Preprocessing() != Preprocessing(resize=232)
    assert len({Preprocessing(), Preprocessing((224, 224), 256)}) == 1
