"""What some methods read off a network's own numbers: biases, and the weights of a linear head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from fusioncam.functional.heatmaps import precise


def added_bias(name: str, module: nn.Module) -> tuple[str, Tensor | None]:
    """Give what a convolution or a BatchNorm adds to its channels, and the layer behind which that is seen."""
    if isinstance(module, _ConvNd):
        return name, module.bias
    if not isinstance(module, _BatchNorm) or module.running_mean is None or module.running_var is None:
        return name, None
    scale = (module.running_var + module.eps).rsqrt() * (1 if module.weight is None else module.weight)
    bias = (0 if module.bias is None else module.bias) - module.running_mean * scale
    # timm's BatchNorms hold their activation, and between the two an idle layer
    return (f"{name}.drop" if hasattr(module, "drop") else name), bias


def linear_head(network: nn.Module, pooled: Tensor, logits: Tensor) -> Tensor | None:
    """Find the weights ``(classes, K)`` of the layer with which ``logits = pooled W^T + b``; None if none is."""
    for module in network.modules():
        if not isinstance(module, (nn.Linear, _ConvNd)):
            continue
        weight = precise(module.weight.detach().flatten(1))
        if weight.shape != (logits.shape[1], pooled.shape[1]):
            continue
        given = pooled @ weight.T + (0 if module.bias is None else precise(module.bias.detach()))
        # a network in half precision rounds its logits
        close = max(1e-3, 4 * torch.finfo(module.weight.dtype).eps) * logits.abs().max().item()
        if torch.allclose(given, logits, rtol=0, atol=close):
            return weight
    return None
