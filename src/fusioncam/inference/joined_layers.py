"""Find layers whose output is only a part of a sum: an operation between modules joins it with others."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fusioncam.inference.layer_points import JOINS
from fusioncam.inference.output_origin import WEIGHTED, address, operation_name, tensors_of


class FollowedLayer(TorchDispatchMode):  # type: ignore[no-untyped-call] # of torch
    """Follow the output of a layer in a pass of ``x`` inside the ``with`` block, after :meth:`start`.

    ``joined_by`` is the first operation that joins it, perhaps after an activation, with maps of the same sides that
    also depend on ``x`` and are no part of it, such as ``add``; empty if there is none. What operations with weights
    compute from it is followed no further.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # of torch
        self._of_image = {address(x)}
        self._of_layer: set[int] = set()
        self.joined_by = ""

    def start(self, output: Tensor) -> Tensor:
        """Follow the layer's output from here on; return it."""
        self._of_layer.add(address(output))
        self._of_image.add(address(output))
        return output

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = list(tensors_of((args, kwargs)))
        of_layer = [one for one in given if address(one) in self._of_layer]
        others = [one for one in given if address(one) in self._of_image.difference(self._of_layer)]
        result, name = function(*args, **(kwargs or {})), operation_name(function)
        if name in JOINS and of_layer and any(_has_sides_of(of_layer[0], one) for one in others):
            self.joined_by = self.joined_by or name
        follows = bool(of_layer) and not any(part in name for part in WEIGHTED)
        for tensor in tensors_of(result):
            same_size = follows and tensor.numel() == of_layer[0].numel()
            is_view = any(address(tensor) == address(one) for one in of_layer)
            _set(self._of_layer, address(tensor), same_size or is_view)
            _set(self._of_image, address(tensor), bool(of_layer or others))
        return result


def _has_sides_of(maps: Tensor, one: Tensor) -> bool:
    """Return whether a tensor has a value at each location of maps ``(N, C, ...)`` or tokens ``(N, T, C)``."""
    sides = slice(2, None) if maps.ndim > 3 else slice(2)
    return one.ndim == maps.ndim and one.shape[sides] == maps.shape[sides]


def _set(addresses: set[int], one: int, included: bool) -> None:
    """Include an address or not: a storage may have the address of an earlier one."""
    (addresses.add if included else addresses.discard)(one)
