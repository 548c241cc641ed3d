"""Find the layers that output feature maps, and the last one of them, from one traced pass.

Only shapes, the order of execution and module types decide, never names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, prod

import torch
from torch import Tensor, nn
from torch.nn.modules import pooling

from fusioncam.errors import LayerError
from fusioncam.inference import hooks
from fusioncam.inference.forward import NetworkRunner
from fusioncam.inference.hooks import ModuleCall
from fusioncam.model.layouts import Layout, even, layout_error
from fusioncam.model.readings import Readings

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
        self._runner, self._layer = runner, layer
        self._grid = None if grid is None else tuple(grid)
        self._traces: dict[torch.Size, Readings] = {}
        self._defaults: dict[torch.Size, str] = {}
        self._layouts: dict[tuple[str, torch.Size, torch.Size], Layout] = {}

    def candidates(self, x: Tensor) -> list[Candidate]:
        """Return the layers that output feature maps for ``x``, in the order in which they end."""
        return find_candidates(self._trace(x), self._grid)

    def default(self, x: Tensor) -> str:
        """Return the layer that the model was created with, else the last one with feature maps for this input shape.

        The scores depend on the spatial part of its output: after the last attention of a transformer, for example,
        only the class token counts. Raises :class:`LayerError` if no layer outputs feature maps.
        """
        if self._layer is not None:
            return self._layer
        shape = x.shape[1:]
        if shape not in self._defaults:
            self._defaults[shape] = self._influential(x, find_last(self._trace(x), self._grid))
        return self._defaults[shape]

    def higher_resolution(self, x: Tensor, layer: str | None = None) -> list[str]:
        """Return the last layers before ``layer`` whose maps have 2, 4, 8... times its sides, coarse to fine."""
        return find_higher_resolution(self._trace(x), self, x, layer or self.default(x), self._grid)

    def layout(self, layer: str, shape: torch.Size, x: Tensor) -> Layout:
        """Return the layout of the output ``shape`` of a layer, whose maps may be out of proportion to the input.

        Raises :class:`LayerError` if the output holds no maps, or if it is ambiguous how it holds them.
        """
        key = (layer, shape[1:], x.shape[1:])
        if shape[0] != len(x):
            raise batch_error(layer, shape, len(x)) or layout_error(layer, shape, x.shape, self._grid)
        if key not in self._layouts:
            plain = self._grid is None and len(shape) > 3 and _only_channels_first(shape, x.shape)
            self._layouts[key] = Layout(tuple(shape[2:])) if plain else self._traced_layout(layer, shape, x)
        return self._layouts[key]

    def layout_or_none(self, layer: str, shape: torch.Size, x: Tensor) -> Layout | None:
        """Return the layout of an output; None where :meth:`layout` raises."""
        try:
            return self.layout(layer, shape, x)
        except LayerError:
            return None

    def _traced_layout(self, layer: str, shape: torch.Size, x: Tensor) -> Layout:
        readings = self._trace(x)
        indices = [index for index, call in enumerate(readings.calls) if call.name == layer]
        found = readings.of(indices[-1], (2, *shape[1:]), self._grid) if indices else []
        unread = indices and not found and self._grid is None and len(shape) == len(x.shape)
        if (
            unread
            and prod(shape[2:]) > 1
            and readings.channels_first(readings.calls[indices[-1]], shape) is not False
        ):
            found = [Layout(tuple(shape[2:]))]
        if len(found) != 1:
            raise layout_error(layer, shape, x.shape, self._grid, found)
        return found[0]

    def _trace(self, x: Tensor) -> Readings:
        """Return the readings of all modules' outputs for inputs of this shape."""
        shape = x.shape[1:]
        if shape not in self._traces:
            with self._runner.exclusive_eval(grad=False), hooks.trace(self._runner.network) as calls:
                # with two images, outputs without a batch dimension are recognised, and tokens that are constant
                self._runner(_two_images(self._runner.validate_input(x)), counted=self._layer is None)
            self._traces[shape] = Readings(calls, _traced_shape(x))
        return self._traces[shape]

    def _influential(self, x: Tensor, found: Sequence[Candidate]) -> str:
        """Return the first candidate whose maps, without class and register tokens, influence the scores."""
        with self._runner.exclusive_eval(grad=True):
            x = self._runner.validate_input(x)[:1]
            with hooks.capture(self._runner.network, [candidate.name for candidate in found]) as outputs:
                logits = self._runner(x)
            maps = [outputs[candidate.name][0] for candidate in found]
            gradients: Sequence[Tensor | None] = [None] * len(maps)
            if logits.requires_grad:
                gradients = torch.autograd.grad(logits.max(), maps, allow_unused=True)
        for candidate, gradient in zip(found, gradients, strict=True):
            if gradient is not None and candidate.layout.maps(gradient).any():
                return candidate.name
        return found[0].name  # in a network whose head is still all zeros, no layer does


def _traced_shape(x: Tensor) -> tuple[int, ...]:
    return (2, *x.shape[1:])


def _only_channels_first(shape: Sequence[int], x: Sequence[int]) -> bool:
    """Return whether the shape alone shows that an output has channels first."""
    proportional = [len(shape) == len(x) and even(sides, x[2:]) for sides in (shape[2:], shape[1:-1])]
    return proportional == [True, False] and max(shape[2:]) > 1


def _two_images(x: Tensor) -> Tensor:
    """Return the first image, and the same with noise, so that all parts of the image differ."""
    image = x[:1]
    if not image.is_floating_point():
        return image.expand(2, *image.shape[1:])
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    scale = image.abs().max()
    return torch.cat([image, image + noise * (scale if scale > 0 else 1) / 4])


def batch_error(layer: str, shape: Sequence[int], images: int) -> LayerError | None:
    """Return the error for an output of several views or frames per image in one batch; None for other outputs."""
    views, rest = divmod(shape[0] if len(shape) > 2 else 0, images)
    if rest or views < 2:
        return None
    return LayerError(
        f"layer '{layer}' outputs {tuple(shape)} for {images} images: it runs on {views} views or frames of each "
        "image in one batch, so that an image has several sets of maps. Explain one view by a wrapper that holds the "
        "others fixed, or name a layer with one set of maps per image"
    )


def find_candidates(readings: Readings, grid: tuple[int, ...] | None = None) -> list[Candidate]:
    """Return the layers that output feature maps, in the order in which they end.

    Such a layer runs once, its output can be read in one way, and it is neither a pooling nor an identity.
    """
    calls = readings.calls
    runs = Counter(call.name for call in calls)
    found: list[Candidate] = []
    pooled = False
    for index, call in enumerate(calls):
        # a container that ends in a pooling returns the pooling's own tensor
        pooled = isinstance(call.module, _POOLING) or (pooled and call.returns_previous)
        if pooled or runs[call.name] > 1 or isinstance(call.module, _IDENTITIES):
            continue
        layout = _layout(readings, index, grid)
        if layout is None:
            continue
        if layout.channels_first or not _in_attention_pooling(
            call.name, [candidate.name for candidate in found], calls[index + 1 :]
        ):
            found.append(_candidate(call, layout))
    return found


def find_last(readings: Readings, grid: tuple[int, ...] | None = None) -> list[Candidate]:
    """Return the layers that may be the last with feature maps, from the last to the first.

    Raises :class:`LayerError` if no layer outputs feature maps, or if all of them precede tokens that form no grid.
    """
    calls, x = readings.calls, readings.x
    found = find_candidates(readings, grid)
    if not found:
        raise _no_maps(readings, grid)
    index = _tokens_without_grid([candidate.name for candidate in found], readings, grid)
    if index is not None:
        tokens = calls[index]
        shape = tuple(tokens.shape or ())
        several = readings.of(index, shape, grid)
        if several:
            raise layout_error(tokens.name, shape, x, grid, several)
        raise LayerError(
            f"the last feature maps are tokens that form no grid: '{tokens.name}' outputs {shape} for x {x}, and no "
            "earlier layer has maps of that many locations: pass ExplainedModel(..., grid=(rows, columns)), or name "
            f"a layer with feature maps, such as '{found[-1].name}'"
        )
    # a projection to another space outputs tokens too, but not those of the residual stream
    return [
        candidate for candidate in reversed(found) if candidate.layout.channels_first or candidate.kind != "Linear"
    ]


def _no_maps(readings: Readings, grid: tuple[int, ...] | None) -> LayerError:
    """Return the error that states why no layer outputs feature maps."""
    x = readings.x
    runs = Counter(call.name for call in readings.calls)
    for index, call in reversed(list(enumerate(readings.calls))):
        shape = call.shape
        if shape is None or isinstance(call.module, _POOLING) or len(shape) < 3 or prod(shape[2:]) == 1:
            continue
        several = readings.of(index, shape, grid) if shape[0] == x[0] else []
        if several and runs[call.name] > 1:
            return hooks.runs_error(call.name, runs[call.name])
        if len(several) > 1:
            return layout_error(call.name, shape, x, grid, several)
        views = batch_error(call.name, shape, x[0])
        if views is not None:
            return views
    return LayerError(
        f"no layer outputs feature maps (N, K, h, w) larger than one pixel for x {tuple(x)}: use larger images, "
        "or name a layer"
    )


def find_higher_resolution(
    readings: Readings, search: LayerSearch, x: Tensor, layer: str, grid: tuple[int, ...] | None = None
) -> list[str]:
    """Return the last layers before ``layer`` whose maps have 2, 4, 8... times its sides, coarse to fine.

    The last layer of a size is the end of a stage, not the first part of the next stage's first block.
    """
    last_call = {call.name: call for call in readings.calls if call.shape is not None}
    if layer not in last_call:
        raise LayerError(f"layer '{layer}' does not output a tensor: name a layer with feature maps")
    end = last_call[layer]
    side = max(search.layout(layer, end.shape or torch.Size(), _two_images(x)).sides)
    block_sides = _block_sides(readings, grid)
    earlier = {call.name for call in readings.calls[: readings.calls.index(end)]}
    found: dict[int, str] = {}
    for candidate in find_candidates(readings, grid):
        if candidate.name not in earlier:
            continue
        octave = round(log2(max(candidate.shape[1:]) / side))
        enclosing = [sides for name, sides in block_sides.items() if candidate.name.startswith(f"{name}.")]
        if octave not in found or all(sides == candidate.layout.sides for sides in enclosing):
            found[octave] = candidate.name
    return [found[octave] for octave in sorted(found) if octave > 0]


def _block_sides(readings: Readings, grid: tuple[int, ...] | None) -> dict[str, tuple[int, ...]]:
    """Return the sides of the maps that each module outputs, except for plain sequences of modules."""
    sides = {}
    for index, call in enumerate(readings.calls):
        layout = _layout(readings, index, grid)
        if layout is not None and not isinstance(call.module, nn.Sequential):
            sides[call.name] = layout.sides
    return sides


def _layout(readings: Readings, index: int, grid: tuple[int, ...] | None) -> Layout | None:
    """Return how the output of a call holds feature maps, one set per image; None if it holds none for certain."""
    shape = readings.calls[index].shape
    if shape is None or len(shape) < 3 or shape[0] != readings.x[0]:
        return None
    found = readings.of(index, shape, grid)
    queries = len(shape) == 3 and not all(layout.channels_first for layout in found)
    if len(found) != 1 or (queries and readings.queries(index, shape[1])):
        return None
    return found[0]


def _candidate(call: ModuleCall, layout: Layout) -> Candidate:
    shape = tuple(call.shape or ())
    channels = shape[1 if layout.channels_first else -1]
    return Candidate(call.name, type(call.module).__name__, (channels, *layout.map_sides), layout)


def _tokens_without_grid(candidates: Sequence[str], readings: Readings, grid: tuple[int, ...] | None) -> int | None:
    """Return the first call after all candidates that outputs tokens of no grid, unless it is part of a pooling.

    Tokens that begin as constants, such as the queries of a decoder, are no locations of the image.
    """
    calls, x = readings.calls, readings.x
    if len(x) < 4:  # the maps of a signal have the shape of tokens themselves
        return None
    start = [call.name for call in calls].index(candidates[-1]) + 1
    for index, call in enumerate(calls[start:], start):
        if not _has_tokens(call) or (call.shape or (0,))[0] != x[0] or _layout(readings, index, grid) is not None:
            continue
        queries = readings.queries(index, (call.shape or (0, 0))[1])
        if not queries and not _in_attention_pooling(call.name, candidates, calls[index + 1 :]):
            return index
    return None


def _has_tokens(call: ModuleCall) -> bool:
    return call.shape is not None and len(call.shape) == 3 and min(call.shape[1:]) > 1


def _in_attention_pooling(tokens: str, candidates: Sequence[str], later: Sequence[ModuleCall]) -> bool:
    """Return whether tokens lie inside a module that takes feature maps from outside and outputs one position."""
    enclosing = (f"{call.name}." for call in later if tokens.startswith(f"{call.name}.") and _is_pooled(call.shape))
    return any(not name.startswith(module) for module in enclosing for name in candidates)


def _is_pooled(shape: Sequence[int] | None) -> bool:
    return shape is not None and (len(shape) == 2 or all(side == 1 for side in shape[2:]))
