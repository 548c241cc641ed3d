"""Feature maps that a function of the user reads from the output of a layer, and their way back into the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fusioncam.errors import InputTypeError, LayerError, MethodError, shown
from fusioncam.inference.layer_outputs import first_tensor, tensor_of, with_tensor

# from the output of a layer to its feature maps (N, K, *s)
ReshapeFunction = Callable[[Any], Tensor]


class Reshape:
    """Read feature maps ``(N, K, *s)`` from the output of a layer by a function, and write others in their place.

    Maps can be written if the function only rearranges the values of the output, or leaves some out, as it does for
    tokens. A function that computes something, such as a mean or a sum, can be read only.

    Raises :class:`InputTypeError` if the function is not callable.
    """

    def __init__(self, function: ReshapeFunction) -> None:
        if not callable(function):
            raise InputTypeError(f"expected a function from a layer's output to maps, got {shown(function)}")
        self._function = function
        self._indices: dict[torch.Size, Tensor | None] = {}

    def read(self, output: Any, layer: str) -> Tensor:
        """Return the maps; raise :class:`LayerError` if the function returns something else."""
        maps, values = self._function(output), first_tensor(output)
        images = len(values) if isinstance(values, Tensor) and values.dim() else None
        if isinstance(maps, Tensor) and maps.is_floating_point() and maps.dim() > 2 and images in (None, len(maps)):
            return maps
        got = f"{tuple(maps.shape)} of {maps.dtype}" if isinstance(maps, Tensor) else type(maps).__name__
        raise LayerError(
            f"the function that reads layer '{layer}' returned {got}: return floating feature maps (N, K, h, w), one "
            f"set for each of the {'N' if images is None else images} images"
        )

    def can_write(self, output: Any, layer: str) -> bool:
        """Return whether every value of the maps is one value of the output; tested once per shape."""
        return self._index(output, layer) is not None

    def write(self, output: Any, maps: Tensor, layer: str) -> Any:
        """Return the output with other maps ``(B, K, *s)``; raise :class:`MethodError` if that is not possible."""
        index = self._index(output, layer)
        if index is None:
            raise MethodError(
                f"the function that reads layer '{layer}' computes maps instead of rearranging the layer's output, "
                "so that they have no gradients and cannot be changed: use a method that only reads them, such as "
                "eigen-cam or score-cam, or name a layer whose output is rearranged"
            )
        values = tensor_of(output, layer)
        rows = values.flatten(1).expand(len(maps), -1).clone()
        rows[:, index.to(rows.device)] = maps.flatten(1).to(rows)
        return with_tensor(output, rows.reshape(len(maps), *values.shape[1:]))

    def _index(self, output: Any, layer: str) -> Tensor | None:
        """Return where the values of the maps are in the flat output of one image, None if they are not there."""
        try:
            values = tensor_of(output, layer)
        except LayerError:  # no tensor comes first
            return None
        if values.shape not in self._indices:
            self._indices[values.shape] = self._located(output, values)
        return self._indices[values.shape]

    @torch.no_grad()
    def _located(self, output: Any, values: Tensor) -> Tensor | None:
        """Find the values of the maps among random values, all different, that replace those of the output."""
        generator = torch.Generator().manual_seed(0)
        marks = torch.randn(values.shape, generator=generator, dtype=torch.float64).to(values.device)
        try:
            found = self._function(with_tensor(output, marks))[0].flatten()
        except Exception:  # a foreign function may raise anything for values of another type
            return None
        marked, order = marks[0].flatten().sort()
        places = torch.searchsorted(marked, found.contiguous()).clamp_max(len(marked) - 1)
        index = order[places]
        is_there = torch.equal(marked[places], found) and len(torch.unique(index)) == len(index)
        return index if is_there else None
