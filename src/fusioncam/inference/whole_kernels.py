"""Compute convolutions whose kernel covers their whole input, as in the head of a VGG, as products of matrices.

oneDNN copies the kernel of a convolution in every pass, to reorder it. That of the first such layer of timm's VGG-16
has 411 MB: the copies take most of the time of a pass, and up to twice that memory in each thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import MethodType

import torch.nn.functional as F
from torch import Tensor, nn

# numbers in a kernel: smaller ones are reordered in less than a millisecond
_LARGE = 2**22


def use_products(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """Make the convolutions with large kernels on a CPU compute products; return those that did not do so before."""
    changed = [module for module in modules if _has_large_kernel(module) and "forward" not in vars(module)]
    for module in changed:
        # a bound method: a copy of the module gets one that is bound to the copy
        vars(module)["forward"] = MethodType(_product, module)
    return changed


def use_convolutions(modules: Iterable[nn.Module]) -> None:
    """Undo :func:`use_products`."""
    for module in modules:
        vars(module).pop("forward", None)


def _has_large_kernel(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and (module.padding, module.dilation, module.groups) == ((0, 0), (1, 1), 1)
        and module.in_channels * module.out_channels * math.prod(module.kernel_size) >= _LARGE
        and module.weight.numel() >= _LARGE
        and module.weight.device.type == "cpu"
    )


def _product(self: nn.Conv2d, x: Tensor) -> Tensor:
    """Return the output of a convolution without padding."""
    if x.dim() != 4 or tuple(x.shape[2:]) != self.kernel_size or not self.weight.is_contiguous():
        return nn.Conv2d.forward(self, x)
    return F.linear(x.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]
