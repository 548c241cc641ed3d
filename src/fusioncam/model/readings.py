"""Decide how the outputs of one traced pass hold feature maps: by earlier maps, and where these tie, by modules.

A sequence ``(N, T, K)`` holds maps only if an earlier tensor of the pass has maps of that many locations, apart from
tokens that do not depend on the image, such as class tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from torch import nn
from torch.nn.modules import batchnorm, conv, pooling

from fusioncam.inference.hooks import ModuleCall, TracedTensor
from fusioncam.model.layouts import MAX_PREFIX, Layout, even

Sides = tuple[int, ...]

_CHANNELS_FIRST = (
    conv._ConvNd,
    batchnorm._NormBase,
    nn.GroupNorm,
    pooling._MaxPoolNd,
    pooling._AvgPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
)


class Readings:
    """The layouts of the outputs of one pass of two images. ``x`` is the shape of the input."""

    def __init__(self, calls: Sequence[ModuleCall], x: Sequence[int]) -> None:
        self.calls, self.x = calls, tuple(x)
        self._tensors = sorted(
            (
                (tensor, call)
                for call in calls
                for tensor in (call.input, call.output)
                if tensor is not None and tensor.shape[0] == x[0]
            ),
            key=lambda pair: pair[0].time,
        )
        # the sequences of the pass, each with the first and the last of its tokens that depend on the image
        self._sequences = [
            (tensor, call, len(tensor.varies), _range(tensor.varies))
            for tensor, call in self._tensors
            if tensor.varies is not None
        ]
        self._swapped = self._swaps_sides()
        self._full = self.x[2:][::-1] if self._swapped else self.x[2:]
        # the maps and the token layouts of the pass, with the time when the first of them exists
        self._grids: dict[Sides, int] = {self.x[2:]: -1}
        self._streams: dict[Layout, int] = {}
        for tensor, call in self._tensors:
            self._learn(tensor, call)

    def of(self, index: int, shape: Sequence[int], grid: Sides | None = None) -> list[Layout]:
        """Return the layouts that fit the output of a call; none if it holds no maps, several if it is ambiguous."""
        call, shape = self.calls[index], tuple(shape)
        first = self.channels_first(call, shape)
        found = list(dict.fromkeys(self._fitting(call, shape, grid)))
        if len(found) > 1 or len(shape) == 3:
            found = [layout for layout in found if first is None or layout.channels_first == first]
        known = [layout for layout in found if self._grids.get(layout.sides, call.after_time) < call.after_time]
        found = known if len(known) == 1 else found
        proportional = [layout for layout in found if even(layout.map_sides, self.x[2:])]
        return proportional if len(found) > 1 and len(proportional) == 1 else found

    def queries(self, index: int, tokens: int) -> bool:
        """Return whether the call is inside a module whose tokens, so many, first do not depend on the image."""
        call = self.calls[index]
        parts = call.name.split(".")
        scopes = [".".join(parts[: depth + 1]) for depth in range(len(parts))]
        return any(self._starts_constant(scope, tokens, call.after_time) for scope in scopes)

    def channels_first(self, call: ModuleCall, shape: Sequence[int]) -> bool | None:
        """Return whether the module, or the last one with an output of that shape, has channels first."""
        before = [
            other
            for other in self.calls
            if other.after_time < call.after_time and other.output is not None and other.output.shape[1:] == shape[1:]
        ]
        kinds = (module_channels_first(other.module, shape) for other in [call, *reversed(before)])
        return next((kind for kind in kinds if kind is not None), None)

    # -- what the pass shows ------------------------------------------------------------------------------------

    def _swaps_sides(self) -> bool:
        """Return whether the first convolution gets the sides of the input in reverse order."""
        sides = self.x[2:]
        inputs = (
            tuple(tensor.shape[2:])
            for tensor, call in self._tensors
            if isinstance(call.module, conv._ConvNd) and tensor is call.input and len(tensor.shape) == len(self.x)
        )
        return len(sides) == 2 and next(inputs, sides) == sides[::-1] != sides

    def _learn(self, tensor: TracedTensor, call: ModuleCall) -> None:
        """Add the maps of a tensor to the known ones."""
        shape = tuple(tensor.shape)
        for sides in self._sides_of(shape, call.module):
            if max(sides) > 1:
                self._grids.setdefault(sides, tensor.time)
        if len(shape) == 3 and shape[1] > 1:
            self._learn_tokens(tensor, shape[1])

    def _sides_of(self, shape: Sides, module: nn.Module) -> Iterator[Sides]:
        if len(shape) == len(self.x):
            first = module_channels_first(module, shape)
            fitting = [sides for sides in (shape[2:], shape[1:-1]) if len(self.x) > 3 and even(sides, self._full)]
            if first:
                yield shape[2:]
            elif first is False and len(self.x) > 3 and self._follows(shape[1:-1]):
                yield shape[1:-1]
            elif first is None and len(fitting) == 1:
                yield fitting[0]
        if len(shape) == 3:
            yield from self._patches(shape)

    def _follows(self, sides: Sides) -> bool:
        """Return whether maps of these sides are in proportion to the input, known, or some known ones halved."""
        return even(sides, self._full) or any(sides == grid or sides in _halves(grid) for grid in self._grids)

    def _patches(self, shape: Sides) -> Iterator[Sides]:
        """Return the sides if the tokens are all pixels of the input, in square patches."""
        full, channels = self._full, self.x[1]
        if prod(shape[1:]) != channels * prod(full):
            return
        for patch in range(1, min(full) + 1):
            if channels * patch ** len(full) == shape[2] and all(side % patch == 0 for side in full):
                yield tuple(side // patch for side in full)

    def _learn_tokens(self, tensor: TracedTensor, tokens: int) -> None:
        known = [layout for layout in self._token_layouts(tokens, "", tensor.time)]
        if not known:
            # tokens are merged without a tensor of maps
            for layout in self._streams:
                others = layout.prefix + layout.suffix
                for sides in _halves(layout.sides):
                    if prod(sides) + others == tokens:
                        self._grids.setdefault(sides, tensor.time)
                        known.append(Layout(sides, False, layout.prefix, layout.suffix))
        for layout in known:
            self._streams.setdefault(layout, tensor.time)

    # -- readings -----------------------------------------------------------------------------------------------

    def _fitting(self, call: ModuleCall, shape: Sides, grid: Sides | None) -> Iterator[Layout]:
        swap = self._swapped and (grid is None or grid[::-1] in self._grids)
        wanted = grid[::-1] if grid is not None and swap else grid
        if len(shape) == len(self.x):
            for first, sides in ((True, shape[2:]), (False, shape[1:-1])):
                if sides == wanted if wanted else self._is_map(sides, call):
                    yield Layout(sides, first, swapped=swap)
        if len(shape) == 3 and shape[1] > 1:
            for layout in self._token_layouts(shape[1], call.name, call.after_time, wanted):
                yield Layout(layout.sides, False, layout.prefix, layout.suffix, swapped=swap)

    def _is_map(self, sides: Sides, call: ModuleCall) -> bool:
        if max(sides) == 1 or any(side > full for side, full in zip(sides, self._full, strict=True)):
            return False
        known = self._grids.get(sides, call.after_time + 1) <= call.after_time
        if len(sides) == 1:
            return known or self._untraced(call)
        return known or even(sides, self._full)

    def _untraced(self, call: ModuleCall) -> bool:
        """Return whether no maps of the pass are known before the call ends."""
        return not any(0 <= time <= call.after_time for time in self._grids.values())

    def _token_layouts(self, tokens: int, name: str, time: int, grid: Sides | None = None) -> list[Layout]:
        """Return the layouts of so many tokens; with a passed grid, any number of others may precede them."""
        constant = self._constant_ends(tokens, time)
        found = []
        grids = [grid] if grid else [sides for sides, since in self._grids.items() if since <= time]
        for sides in grids:
            others = tokens - prod(sides)
            inherited = [
                layout
                for layout, since in self._streams.items()
                if layout.sides == sides and since <= time and layout.prefix + layout.suffix == others
            ]
            if others == sum(constant):
                found.append(Layout(sides, False, *constant))
            elif inherited and not any(constant):
                found.append(inherited[0])
            elif grid and not any(constant) and 0 <= others <= MAX_PREFIX:
                found.append(Layout(sides, False, others))
        return found

    def _constant_ends(self, tokens: int, time: int) -> tuple[int, int]:
        """Return how many tokens at the start and the end do not depend on the image when they first exist."""
        for tensor, _, length, varying in self._sequences:
            if length == tokens and varying is not None and tensor.time <= time:
                return varying[0], tokens - 1 - varying[1]
        return 0, 0

    def _starts_constant(self, scope: str, tokens: int, time: int) -> bool:
        """Return whether the first so many tokens that a module inside gets do not depend on the image."""
        for tensor, call, length, varying in self._sequences:
            inside = call.name == scope or call.name.startswith(f"{scope}.")
            if inside and length == tokens and tensor is call.input and tensor.time <= time:
                return varying is None
        return False


def _range(varies: Sequence[bool]) -> tuple[int, int] | None:
    """Return the first and the last index that varies; None if none does."""
    indices = [index for index, varying in enumerate(varies) if varying]
    return (indices[0], indices[-1]) if indices else None


def _halves(grid: Sides) -> set[Sides]:
    """Return the grids with some sides halved.

    >>> sorted(_halves((4, 3)))
    [(2, 1), (2, 2), (2, 3), (4, 1), (4, 2)]
    """
    return set(product(*({side, side // 2, -(-side // 2)} - {0} for side in grid))) - {grid}


def module_channels_first(module: nn.Module, shape: Sequence[int]) -> bool | None:
    """Return whether the module treats its tensors as channels first or last; None if that is not known."""
    if isinstance(module, _CHANNELS_FIRST):
        return True
    if type(module) is nn.LayerNorm and tuple(module.normalized_shape) == tuple(shape[-1:]):
        return False
    if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
        return False if module.batch_first else None
    if isinstance(module, nn.TransformerEncoderLayer):
        return False
    return False if isinstance(module, nn.Linear) and len(shape) > 2 else None
