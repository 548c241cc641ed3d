"""Follow one pass of a network, operation by operation: whether its outputs are sigmoids, and whether it draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# how a tensor depends on the input: not at all, by sigmoids only, or in another way
_CONSTANT, _SIGMOID, _OTHER = range(3)
_SIGMOIDS = ("sigmoid", "hardsigmoid")
# operations with weights turn sigmoids into something else, as their inverse does
WEIGHTED = ("conv", "linear", "mm", "norm", "embedding", "attention", "lstm", "gru", "rnn", "quantized")


class FollowedPass(TorchDispatchMode):  # type: ignore[no-untyped-call] # of torch
    """Follow what is computed from ``x`` inside the ``with`` block, in modules, functions and TorchScript.

    ``draws`` are the operations that used random numbers of torch. A tensor is known by the address of its storage,
    so that a write to a part of it counts for the whole.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # of torch
        self._origins = {address(x): _OTHER}
        self.draws: set[str] = set()

    def is_of_sigmoids(self, output: Tensor) -> bool:
        """Return whether the output consists of sigmoids, also rearranged, scaled, multiplied or averaged."""
        return self._origins.get(address(output)) == _SIGMOID

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = operation_name(function)
        if torch.Tag.nondeterministic_seeded in function.tags:
            self.draws.add(name)
        origin = self._origin(name, (args, kwargs))
        for tensor in tensors_of(result):
            self._origins[address(tensor)] = origin
        return result

    def _origin(self, name: str, inputs: object) -> int:
        """Return the origin of what the operation computes from its inputs."""
        origin = max((self._origins.get(address(one), _CONSTANT) for one in tensors_of(inputs)), default=_CONSTANT)
        if origin == _CONSTANT or name.endswith("_like") or name.startswith("new_"):
            return _CONSTANT
        if name in _SIGMOIDS:
            return _SIGMOID
        return _OTHER if name == "logit" or any(part in name for part in WEIGHTED) else origin


def operation_name(function: Any) -> str:
    """Return the name of an operation, such as ``add`` for ``aten::add_.Tensor``."""
    return str(function.name().split("::")[-1].split(".")[0].strip("_").lower())


def address(tensor: Tensor) -> int:
    """Return the address of a tensor's storage, which its views share."""
    is_stored = tensor.layout == torch.strided and torch._C._has_storage(tensor)
    return tensor.untyped_storage().data_ptr() if is_stored else id(tensor)


def tensors_of(value: object) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from tensors_of(one)
    elif isinstance(value, dict):
        yield from tensors_of(list(value.values()))
