"""What a network probably takes: the dtype of its weights, the rank and the channels of its first convolution."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.modules import conv

from fusioncam.inference.modules import all_modules


def dtype_of(network: nn.Module, x: Tensor) -> torch.dtype:
    """Return the dtype of most weights of convolutions and linear layers, else of most parameters, else of ``x``."""
    weights = [module.weight for module in all_modules(network) if isinstance(module, (conv._ConvNd, nn.Linear))]
    for tensors in (weights, network.parameters()):
        sizes: Counter[torch.dtype] = Counter()
        for tensor in tensors:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                sizes[tensor.dtype] += tensor.numel()
        if sizes:
            return max(sizes, key=lambda dtype: sizes[dtype])
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def spatial_dims(network: nn.Module) -> int:
    """Return the number of spatial dimensions of the first convolution, which the input probably has too."""
    first = _first_convolution(network)
    return 2 if first is None else len(first.kernel_size)


def input_channels(network: nn.Module) -> int | None:
    """Return the number of channels of the first convolution, which the input probably has too; None without one."""
    first = _first_convolution(network)
    return None if first is None or isinstance(first.weight, nn.UninitializedParameter) else first.in_channels


def _first_convolution(network: nn.Module) -> conv._ConvNd | None:
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return next((module for module in network.modules() if isinstance(module, kinds)), None)
