"""Layers by their kind, and the parameters that some methods use: channel biases and the weights of a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from fusioncam.errors import MethodError
from fusioncam.functional.heatmaps import precise
from fusioncam.inference import hooks
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.recording import Record
from fusioncam.model.scores import Target, coefficients


def convolutions(model: ExplainedModel, x: Tensor) -> list[str]:
    """Return the convolutions that output feature maps for ``x``, in the order in which they run.

    In networks with fewer than two, they are the layer normalisations, and where there are none, the model's layer.
    """
    names = [candidate.name for candidate in model.layers.candidates(x)]
    found = [name for name in names if isinstance(hooks.find(model.network, name), _ConvNd)]
    norms = [name for name in names if isinstance(hooks.find(model.network, name), (nn.LayerNorm, nn.RMSNorm))]
    return found if len(found) > 1 else norms or found or [model.layers.default(x)]


def channel_biases(model: ExplainedModel, x: Tensor) -> dict[str, Tensor]:
    """Return the bias ``(K, 1...)`` that convolutions and BatchNorms add to each channel, by layer.

    Only layers that output feature maps for ``x`` count. The keys are the layers whose output contains the bias.
    """
    biases = {}
    for candidate in model.layers.candidates(x):
        layer, bias = _added_bias(candidate.name, hooks.find(model.network, candidate.name))
        if bias is not None:
            biases[layer] = precise(bias.detach()).reshape(-1, *[1] * (x.dim() - 2))
    return biases


def _added_bias(name: str, module: nn.Module) -> tuple[str, Tensor | None]:
    """Return what a convolution or a BatchNorm adds to its channels, and the layer whose output contains it."""
    if isinstance(module, _ConvNd):
        return name, module.bias
    if not isinstance(module, _BatchNorm) or module.running_mean is None or module.running_var is None:
        return name, None
    scale = (module.running_var + module.eps).rsqrt() * (1 if module.weight is None else module.weight)
    bias = (0 if module.bias is None else module.bias) - module.running_mean * scale
    # timm's BatchNorms contain their activation; the identity layer `drop` comes before it
    return (f"{name}.drop" if hasattr(module, "drop") else name), bias


def head_weights(model: ExplainedModel, record: Record, target: Target) -> Tensor:
    """Return the target's row ``(N, K)`` of the linear layer that computes the logits from the averages of the maps.

    For a sum of several classes it is the sum of their rows.

    Raises :class:`MethodError` if the network has no such layer.
    """
    weights = class_weights(model, record)
    return coefficients(target, record.logits).to(weights) @ weights


def class_weights(model: ExplainedModel, record: Record) -> Tensor:
    """Return the weights ``(classes, K)`` of the linear layer that computes the logits from the averages of the maps.

    Raises :class:`MethodError` if the network has no such layer.
    """
    weights = _linear_head(model.network, record.activations.flatten(2).mean(2), record.logits)
    if weights is None:
        record.gradients  # noqa: B018 # its error says more about a network without gradients
        raise MethodError(
            f"cam needs one linear layer after the average of layer '{record.layer}', and this network has none: "
            "use hires-cam or grad-cam, which support every network and return the same heatmap where cam works"
        )
    return weights


def _linear_head(network: nn.Module, pooled: Tensor, logits: Tensor) -> Tensor | None:
    """Find the weights ``(classes, K)`` of the layer with ``logits = pooled W^T + b``; None if there is none."""
    for module in network.modules():
        if not isinstance(module, (nn.Linear, _ConvNd)):
            continue
        weight = precise(module.weight.detach().flatten(1))
        if weight.shape != (logits.shape[1], pooled.shape[1]):
            continue
        computed = pooled @ weight.T + (0 if module.bias is None else precise(module.bias.detach()))
        # a network in half precision rounds its logits
        tolerance = max(1e-3, 4 * torch.finfo(module.weight.dtype).eps) * logits.abs().max().item()
        if torch.allclose(computed, logits, rtol=0, atol=tolerance):
            return weight
    return None
