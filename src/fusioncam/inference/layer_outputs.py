"""The tensor in the output of a layer, and the output with another tensor in its place."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from fusioncam.errors import LayerError


class LayerReading(Protocol):
    """Reads one tensor from the output of a layer, and writes another one in its place."""

    def read(self, output: Any, layer: str) -> Tensor:
        """Return the tensor."""
        ...

    def can_write(self, output: Any, layer: str) -> bool:
        """Return whether :meth:`write` works."""
        ...

    def write(self, output: Any, tensor: Tensor, layer: str) -> Any:
        """Return the output with another tensor."""
        ...


class FirstTensor:
    """Reads the output itself, or the first part of it: :func:`tensor_of` and :func:`with_tensor`."""

    def read(self, output: Any, layer: str) -> Tensor:
        """Return the tensor."""
        return tensor_of(output, layer)

    def can_write(self, output: Any, layer: str) -> bool:
        """Return True."""
        return True

    def write(self, output: Any, tensor: Tensor, layer: str) -> Any:
        """Return the output with another tensor."""
        return with_tensor(output, tensor)


def first_tensor(output: Any) -> Any:
    """Return the output itself; of a tuple or mapping, as in Hugging Face's networks, the first value."""
    if isinstance(output, (tuple, list, Mapping)) and len(output):
        return next(iter(output.values() if isinstance(output, Mapping) else output))
    return output


def tensor_of(output: Any, layer: str) -> Tensor:
    """Return the floating tensor in the output of a layer; integers of a quantised layer are converted."""
    tensor = first_tensor(output)
    if isinstance(tensor, Tensor) and tensor.is_quantized:
        return tensor.dequantize()
    if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
        got = f"{tensor.dtype}" if isinstance(tensor, Tensor) else type(output).__name__
        raise LayerError(f"layer '{layer}' outputs {got}, not a tensor of feature maps: name a layer inside it")
    return tensor


def with_tensor(output: Any, tensor: Tensor) -> Any:
    """Return the output with another tensor in place of :func:`tensor_of`."""
    tensor = _quantised_like(tensor, first_tensor(output))
    if isinstance(output, Tensor):
        return tensor
    if isinstance(output, Mapping):
        changed: Any = copy.copy(output)
        changed[next(iter(output))] = tensor
        return changed
    if hasattr(output, "_fields"):
        return type(output)(tensor, *output[1:])
    return type(output)((tensor, *output[1:]))


def _quantised_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Return the tensor as integers, if the other one is quantised, with its scale."""
    if not like.is_quantized:
        return tensor
    if like.qscheme() == torch.per_tensor_affine:
        return torch.quantize_per_tensor(tensor.detach(), like.q_scale(), like.q_zero_point(), like.dtype)
    scales, zeros, axis = like.q_per_channel_scales(), like.q_per_channel_zero_points(), like.q_per_channel_axis()
    return torch.quantize_per_channel(tensor.detach(), scales, zeros, axis, like.dtype)
