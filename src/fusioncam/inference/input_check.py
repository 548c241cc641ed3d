"""What a network probably takes: the dtype of its weights, and the rank of its first convolution."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.modules import conv


def dtype_of(network: nn.Module, x: Tensor) -> torch.dtype:
    """Return the dtype of most weights of convolutions and linear layers, else of most parameters, else of ``x``."""
    weights = [module.weight for module in network.modules() if isinstance(module, (conv._ConvNd, nn.Linear))]
    for tensors in (weights, list(network.parameters())):
        sizes: Counter[torch.dtype] = Counter()
        for tensor in tensors:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                sizes[tensor.dtype] += tensor.numel()
        if sizes:
            return max(sizes, key=lambda dtype: sizes[dtype])
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def spatial_dims(network: nn.Module) -> int:
    """Return the number of spatial dimensions of the first convolution, which the input probably has too."""
    kinds = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
    modules = list(network.modules())
    return next((dims for module in modules for kind, dims in kinds.items() if isinstance(module, kind)), 2)
