"""Load a model by name, with the preprocessing and the class names that belong to its weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from fusioncam.data.labels import read_labels
from fusioncam.errors import InputTypeError, SettingError, WeightsError
from fusioncam.inference.capabilities import inner_network
from fusioncam.inference.settings import Speed
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.checkpoints import first_line, load_checkpoint
from fusioncam.zoo.sources import DEFAULT_MODEL, MODELS, build, source_of

__all__ = ["DEFAULT_MODEL", "MODELS", "architecture", "as_model", "load_model"]


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

    Args:
        name: ``efficientnet_lite0`` (its weights are in the package), ``efficientnet_lite2`` (extra ``lite2``),
            ``timm:NAME`` or ``torchvision:NAME`` (pretrained weights, downloaded once), ``hf:NAME`` (a classifier of
            transformers in a folder or in the hub's cache on this machine), ``ultralytics:FILE`` (a local
            checkpoint, extra ``ultralytics``), ``onnx:FILE`` (for methods without gradients, extra ``onnx``), or
            ``package.module:factory``, a callable without arguments that returns an ``nn.Module`` or an
            ``ExplainedModel``.
        layer: dotted name of the target layer; by default it is found by its shape.
        checkpoint: a state dict (``.safetensors`` or torch) that replaces the weights.
        num_classes: size of the head of the checkpoint.
        labels: a text file with one class name per line.
        device: defaults to CUDA if available.
        speed: how the many passes of region methods are run.

    Returns:
        The network in evaluation mode, with its layer, preprocessing and class names.

    Raises:
        UnknownNameError: for an unknown name.
        SettingError: for settings that do not fit.
        WeightsError: for weights that cannot be loaded.
        LayerError: for a layer that the network does not have.

    Examples:
        ```python
        model = fc.load_model("efficientnet_lite0", layer="blocks.6", device="cpu")
        fc.explain("cat.jpg", model=model, method="grad-cam")
        ```
    """
    if num_classes is not None and checkpoint is None:
        raise WeightsError("num_classes creates a new, untrained head; also give the checkpoint that fits it")
    source = build(name, num_classes, pretrained=checkpoint is None)
    names = source.labels if num_classes is None or num_classes == len(source.labels or ()) else None
    if checkpoint is not None:
        load_checkpoint(source.network, Path(checkpoint))
    if labels is not None:
        names = read_labels(Path(labels))
    return ExplainedModel(
        source.network.to(_device(device)).eval(),
        source.layer if layer is None else layer,
        grid=source.grid,
        prefix=source.prefix,
        suffix=source.suffix,
        preprocessing=source.preprocessing,
        labels=names,
        name=name,
        speed=speed or source.speed,
        # a function that reads another layer does not read this one
        **(source.calling if layer in (None, source.layer) else {**source.calling, "reshape": None}),
    )


def architecture(name: str) -> ExplainedModel:
    """Build a network without its weights, for example to list its layers without a download."""
    source = build(name, None, pretrained=False)
    return ExplainedModel(
        source.network,
        source.layer,
        grid=source.grid,
        prefix=source.prefix,
        suffix=source.suffix,
        preprocessing=source.preprocessing,
        name=name,
    )


def as_model(model: str | nn.Module | ExplainedModel, layer: str | None, device: str | None) -> ExplainedModel:
    """Return the model of a name, a network or a model.

    ``layer`` overrides the layer of a model, and ``device`` moves the network.
    """
    if isinstance(model, str):
        return load_model(model, layer, device=device)
    if not isinstance(model, nn.Module | ExplainedModel):
        raise InputTypeError(f"expected a network (an instance of torch.nn.Module), a model or a name, got {model!r}")
    if isinstance(model, ExplainedModel):
        explained = model if layer is None else model.with_layer(layer)
    else:
        source = source_of(inner_network(model))
        explained = ExplainedModel(source.network, layer, preprocessing=source.preprocessing, labels=source.labels)
    if device is not None:
        explained.network.to(_device(device))
    return explained


def _device(device: str | None) -> torch.device:
    try:
        default = "cuda" if torch.cuda.is_available() else "cpu"
        chosen = torch.device(default if device is None else device)
        torch.zeros((), device=chosen).item()  # fails on devices without data, such as "meta"
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"device '{device}' is not available on this machine: {first_line(error)}") from None
    return chosen
