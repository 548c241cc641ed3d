"""The preprocessing of other libraries: what it makes of an image is what ours makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision.models as tv
from PIL import Image
from torchvision import transforms as v1
from torchvision.models import segmentation
from torchvision.transforms import InterpolationMode, v2

from fusioncam import Preprocessing
from fusioncam.errors import InputTypeError, SettingError
from fusioncam.zoo.sources import from_timm_network
from samples import COFFEE, photo

transformers = pytest.importorskip("transformers")
MEAN, STD = (0.48, 0.45, 0.4), (0.26, 0.25, 0.27)


class MaybeConvertMode:
    """Convert an image as other versions of open_clip do."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return an RGB image."""
        return image.convert("RGB")


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image as open_clip's transform does, by a function of this name."""
    return image.convert("RGB")


def processed(processor, image: Image.Image) -> torch.Tensor:
    """Return the input that an image processor of transformers makes."""
    return torch.as_tensor(np.asarray(processor(image)["pixel_values"][0]))


CLIP = {"size": {"shortest_edge": 60}, "crop_size": {"height": 56, "width": 48}, "resample": 3}
PROCESSORS = {
    "vit": lambda: transformers.ViTImageProcessor(size={"height": 48, "width": 64}, resample=2),
    "clip": lambda: transformers.CLIPImageProcessor(**CLIP, image_mean=MEAN, image_std=STD),
    "convnext": lambda: transformers.ConvNextImageProcessor(size={"shortest_edge": 56}, crop_pct=0.875, resample=3),
    "without normalising": lambda: transformers.ViTImageProcessor(
        size={"height": 48, "width": 48}, do_normalize=False
    ),
    "to -1 and 1": lambda: transformers.ViTImageProcessor(
        size={"height": 48, "width": 48}, do_normalize=False, rescale_factor=1 / 127.5
    ),
}
COMPOSES = {
    "open_clip": v1.Compose(
        [
            v1.Resize(64, InterpolationMode.BICUBIC),
            v1.CenterCrop((64, 64)),
            _convert_to_rgb,
            v1.ToTensor(),
            v1.Normalize(MEAN, STD),
        ]
    ),
    "newer open_clip": v1.Compose(
        [v1.Resize(64), v1.CenterCrop(64), MaybeConvertMode(), v1.ToTensor(), v1.Normalize(torch.tensor(MEAN), STD)]
    ),
    "whole image": v1.Compose([v1.Resize((40, 60)), v1.ToTensor()]),
    "v2": v2.Compose(
        [
            v2.Resize(70),
            v2.CenterCrop(56),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(MEAN), list(STD)),
        ]
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_processors_of_transformers_are_read(name):
    """Sizes, crops, factors and interpolation; their own rounding is that of 8-bit pixels."""
    processor = PROCESSORS[name]()
    ours = Preprocessing.of(processor)(photo(COFFEE))
    theirs = processed(processor, photo(COFFEE))

    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().mean() < 0.02 * theirs.std()


@pytest.mark.parametrize("name", COMPOSES)
def test_composed_transforms_are_read(name):
    """Of torchvision, and so of open_clip."""
    torch.testing.assert_close(Preprocessing.of(COMPOSES[name])(photo(COFFEE)), COMPOSES[name](photo(COFFEE)))


@pytest.mark.parametrize(
    "weights",
    [
        tv.ResNet18_Weights.IMAGENET1K_V1,
        tv.ConvNeXt_Tiny_Weights.DEFAULT,
        tv.EfficientNet_B1_Weights.DEFAULT,
        tv.Swin_T_Weights.DEFAULT,
        tv.ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1,
    ],
)
def test_weights_of_torchvision_are_read(weights):
    """Each architecture has its own sizes."""
    transform = weights.transforms(antialias=True)
    torch.testing.assert_close(Preprocessing.of(transform)(photo(COFFEE)), transform(photo(COFFEE)))


def test_segmentation_weights_resize_the_shorter_side():
    """They crop nothing; a square is a shape that all images can have."""
    preprocessing = Preprocessing.of(segmentation.FCN_ResNet50_Weights.DEFAULT.transforms())
    assert (preprocessing.size, preprocessing.resize) == ((520, 520), (520, 520))


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "efficientnet_b1", "tf_efficientnet_lite0"])
def test_configurations_of_timm_are_read(name):
    """As networks of timm are, and as timm's own transform computes."""
    network = timm.create_model(name, num_classes=2)
    config = timm.data.resolve_model_data_config(network)
    preprocessing = Preprocessing.of(config)
    transform = timm.data.create_transform(**config)

    assert preprocessing == from_timm_network(network).preprocessing
    torch.testing.assert_close(preprocessing(photo(COFFEE)), transform(photo(COFFEE)))
    assert Preprocessing.of(transform) == preprocessing


@pytest.mark.parametrize(
    ("transform", "error", "message"),
    [
        (v1.Compose([v1.Resize(40), v1.RandomCrop(30)]), SettingError, "RandomCrop.* has no counterpart"),
        (v1.Compose([v1.ToTensor()]), SettingError, "does not crop images to one size"),
        (v1.Compose([v1.Resize(40), v1.ToTensor()]), SettingError, "does not crop images to one size"),
        (lambda image: image, InputTypeError, "expected a transformers image processor, weights"),
        (tv.ResNet18_Weights.DEFAULT, InputTypeError, "expected a transformers image processor, weights"),
        (transformers.DetrImageProcessor(), SettingError, "crops nothing, so that inputs differ"),
        (transformers.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=None), SettingError, None),
        ({"input_size": (3, 32, 64), "mean": MEAN, "std": STD}, SettingError, "of timm is not supported"),
    ],
)
def test_other_transforms_are_reported(transform, error, message):
    """A step without a counterpart must not be left out silently."""
    with pytest.raises(error, match=message):
        Preprocessing.of(transform)
