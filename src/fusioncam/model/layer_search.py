"""Find the layers that output feature maps, and the last one of them, from one traced pass.

Only shapes, the order of execution and module types decide, never names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import torch
from torch import Tensor, nn
from torch.nn.modules import pooling

from fusioncam.errors import LayerError
from fusioncam.inference import hooks
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.hooks import ModuleCall
from fusioncam.model.layouts import Layout, layout_of, named_layout

# these return their input, or reduce the maps: neither is a layer to explain
_IDENTITIES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_POOLING = (
    pooling._MaxPoolNd,
    pooling._AvgPoolNd,
    pooling._LPPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
)


@dataclass(frozen=True)
class Candidate:
    """A layer with feature maps: its dotted name, its class, the shape ``(K, *s)`` of the maps, and their layout."""

    name: str
    kind: str
    shape: tuple[int, ...]
    layout: Layout


class LayerSearch:
    """The layers of a network that output feature maps. The network is traced once per shape of the input."""

    def __init__(self, runner: NetworkRunner, layer: str | None, grid: Sequence[int] | None) -> None:
        self._runner, self._layer, self._grid = runner, layer, grid
        self._traces: dict[torch.Size, list[ModuleCall]] = {}
        self._defaults: dict[torch.Size, str] = {}

    def candidates(self, x: Tensor) -> list[Candidate]:
        """Return the layers that output feature maps for ``x``, in the order in which they end."""
        return find_candidates(self._trace(x), _traced_shape(x), self._grid)

    def default(self, x: Tensor) -> str:
        """Return the layer that the model was created with, else the last one with feature maps for this input shape.

        Of layers that output tokens, it is the last whose spatial tokens influence the scores: after the last
        attention only the class token does. Raises :class:`LayerError` if no layer outputs feature maps.
        """
        if self._layer is not None:
            return self._layer
        shape = x.shape[1:]
        if shape not in self._defaults:
            found = find_last(self._trace(x), _traced_shape(x), self._grid)
            self._defaults[shape] = found[0].name if found[0].layout.channels_first else self._influential(x, found)
        return self._defaults[shape]

    def higher_resolution(self, x: Tensor, layer: str | None = None) -> list[str]:
        """Return the last layers before ``layer`` whose maps have 2, 4, 8... times its sides, coarse to fine."""
        return find_higher_resolution(self._trace(x), _traced_shape(x), layer or self.default(x), self._grid)

    def _trace(self, x: Tensor) -> list[ModuleCall]:
        """Return the calls of all modules for inputs of this shape."""
        shape = x.shape[1:]
        if shape not in self._traces:
            # with two images, outputs without a batch dimension are recognised
            with self._runner.exclusive_eval(grad=False), hooks.trace(self._runner.network) as calls:
                self._runner(self._runner.validate_input(x)[:1].expand(2, *shape))
            self._traces[shape] = calls
        return self._traces[shape]

    def _influential(self, x: Tensor, found: Sequence[Candidate]) -> str:
        """Return the first candidate whose maps, without class and register tokens, influence the highest logit."""
        with self._runner.exclusive_eval(grad=True):
            x = self._runner.validate_input(x)[:1]
            with hooks.capture(self._runner.network, [candidate.name for candidate in found]) as outputs:
                logits = self._runner(x)
            maps = [outputs[candidate.name][0] for candidate in found]
            gradients = torch.autograd.grad(logits.max(), maps, allow_unused=True)
        for candidate, gradient in zip(found, gradients, strict=True):
            if gradient is not None and candidate.layout.maps(gradient).any():
                return candidate.name
        return found[0].name  # in a network whose head is still all zeros, no layer does


def _traced_shape(x: Tensor) -> tuple[int, ...]:
    return (2, *x.shape[1:])


def find_candidates(
    calls: Sequence[ModuleCall], x: Sequence[int], grid: Sequence[int] | None = None
) -> list[Candidate]:
    """Return the layers that output feature maps for an input of shape ``x``, in the order in which they end.

    Such a layer runs once, the sides of its maps are those of the input divided evenly, and it is neither a pooling
    nor an identity.
    """
    runs = Counter(call.name for call in calls)
    found: list[Candidate] = []
    pooled = False
    for index, call in enumerate(calls):
        # a container that ends in a pooling returns the pooling's own tensor
        pooled = isinstance(call.module, _POOLING) or (pooled and call.returns_previous)
        layout = _layout(call, x, grid)
        if layout is None or pooled or runs[call.name] > 1 or isinstance(call.module, _IDENTITIES):
            continue
        if layout.channels_first or not _in_attention_pooling(
            call.name, [candidate.name for candidate in found], calls[index + 1 :]
        ):
            found.append(_candidate(call, layout))
    return found


def find_last(calls: Sequence[ModuleCall], x: Sequence[int], grid: Sequence[int] | None = None) -> list[Candidate]:
    """Return the layers that may be the last with feature maps, from the last to the first.

    Raises :class:`LayerError` if no layer outputs feature maps, or if all of them precede tokens that form no grid.
    """
    found = find_candidates(calls, x, grid)
    if not found:
        raise LayerError(
            f"no layer outputs feature maps (N, K, h, w) larger than one pixel for x {tuple(x)}: use larger images, "
            "or name a layer"
        )
    tokens = _tokens_without_grid([candidate.name for candidate in found], calls, x, grid)
    if tokens is not None:
        raise LayerError(
            f"the last feature maps are tokens that form no grid: '{tokens.name}' outputs "
            f"{tuple(tokens.shape or ())} for x {tuple(x)}: pass ExplainedModel(..., grid=(rows, columns)), or name "
            f"a layer with feature maps, such as '{found[-1].name}'"
        )
    # a projection to another space outputs tokens too, but not those of the residual stream
    return [
        candidate for candidate in reversed(found) if candidate.layout.channels_first or candidate.kind != "Linear"
    ]


def find_higher_resolution(
    calls: Sequence[ModuleCall], x: Sequence[int], layer: str, grid: Sequence[int] | None = None
) -> list[str]:
    """Return the last layers before ``layer`` whose maps have 2, 4, 8... times its sides, coarse to fine.

    The last layer of a size is the end of a stage, not the first part of the next stage's first block.
    """
    last_call = {call.name: call for call in calls if call.shape is not None}
    if layer not in last_call:
        raise LayerError(f"layer '{layer}' does not output a tensor: name a layer with feature maps")
    side = max(named_layout(layer, last_call[layer].shape or (), x, grid).sides)
    block_sides = _block_sides(calls, x, grid)
    found: dict[int, str] = {}
    for candidate in find_candidates(calls[: calls.index(last_call[layer])], x, grid):
        octave = round(log2(max(candidate.shape[1:]) / side))
        enclosing = [sides for name, sides in block_sides.items() if candidate.name.startswith(f"{name}.")]
        if octave not in found or all(sides == candidate.layout.sides for sides in enclosing):
            found[octave] = candidate.name
    return [found[octave] for octave in sorted(found) if octave > 0]


def _block_sides(
    calls: Sequence[ModuleCall], x: Sequence[int], grid: Sequence[int] | None
) -> dict[str, tuple[int, ...]]:
    """Return the sides of the maps that each module outputs, except for plain sequences of modules."""
    sides = {}
    for call in calls:
        layout = _layout(call, x, grid)
        if layout is not None and not isinstance(call.module, nn.Sequential):
            sides[call.name] = layout.sides
    return sides


def _layout(call: ModuleCall, x: Sequence[int], grid: Sequence[int] | None) -> Layout | None:
    """Return how the output of a call holds feature maps, one set per image; None if it holds none."""
    return None if call.shape is None or call.shape[0] != x[0] else layout_of(call.shape, x, grid)


def _candidate(call: ModuleCall, layout: Layout) -> Candidate:
    shape = tuple(call.shape or ())
    channels = shape[1 if layout.channels_first else -1]
    return Candidate(call.name, type(call.module).__name__, (channels, *layout.sides), layout)


def _tokens_without_grid(
    candidates: Sequence[str], calls: Sequence[ModuleCall], x: Sequence[int], grid: Sequence[int] | None
) -> ModuleCall | None:
    """Return the first call after all candidates that outputs tokens of no grid, unless it is part of a pooling."""
    if len(x) < 4:  # the maps of a signal have the shape of tokens themselves
        return None
    start = [call.name for call in calls].index(candidates[-1]) + 1
    for index, call in enumerate(calls[start:], start):
        without_grid = _has_tokens(call) and layout_of(call.shape or (), x, grid) is None
        if without_grid and not _in_attention_pooling(call.name, candidates, calls[index + 1 :]):
            return call
    return None


def _has_tokens(call: ModuleCall) -> bool:
    return call.shape is not None and len(call.shape) == 3 and min(call.shape[1:]) > 1


def _in_attention_pooling(tokens: str, candidates: Sequence[str], later: Sequence[ModuleCall]) -> bool:
    """Return whether tokens lie inside a module that takes feature maps from outside and outputs one position."""
    enclosing = (f"{call.name}." for call in later if tokens.startswith(f"{call.name}.") and _is_pooled(call.shape))
    return any(not name.startswith(module) for module in enclosing for name in candidates)


def _is_pooled(shape: Sequence[int] | None) -> bool:
    return shape is not None and (len(shape) == 2 or all(side == 1 for side in shape[2:]))
