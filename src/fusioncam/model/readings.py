"""Decide how the outputs of one traced pass hold feature maps: by earlier maps, and where these tie, by modules.

A sequence ``(N, T, K)`` holds maps only if an earlier tensor of the pass has maps of that many locations, apart from
tokens that do not depend on the image, such as class tokens. Steps of the decision:

1. The traced tensors are read in the order of time. Each adds the sides of its maps to the known grids: those of a
   convolution always, others if they are in proportion to the input.
2. An output fits every layout whose sides are known by then.
3. Where several layouts fit, the kind of the module decides, then the grids that were known before, then proportion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from torch import nn
from torch.nn.modules import conv

from fusioncam.inference.hooks import ModuleCall, TracedTensor
from fusioncam.model.layout_errors import ATTENTION, QUERIES
from fusioncam.model.layouts import MAX_PREFIX, Layout, TokenHint, even
from fusioncam.model.module_order import module_channels_first
from fusioncam.model.sequences import Sequences

Sides = tuple[int, ...]


class Readings:
    """The layouts of the outputs of one pass of two images. ``x`` is the shape of the input."""

    def __init__(self, calls: Sequence[ModuleCall], x: Sequence[int], hint: TokenHint | None = None) -> None:
        self.calls, self.x, self.hint = calls, tuple(x), hint or TokenHint()
        # with several inputs, some runs do not depend on the image; where the network's output, which is the last,
        # does not either, as behind a layer of zeros, nothing is known
        known = bool(calls) and calls[-1].varies
        self._runs = Counter(call.name for call in calls if call.varies and known)
        tensors = _tensors(calls)
        self.sequences = Sequences([tensor for tensor, _ in tensors], calls)
        self._swapped = self._swaps_sides(tensors)
        self._full = self.x[2:][::-1] if self._swapped else self.x[2:]
        # the sides of maps and the layouts of tokens, each with the time when the first of them exists
        self._grids: dict[Sides, int] = {self.x[2:]: -1}
        self._tokens: dict[Layout, int] = {}
        for tensor, call in tensors:
            self._learn(tensor, call.module)

    def of(self, index: int, shape: Sequence[int]) -> list[Layout]:
        """Return the layouts that fit the output of a call; none if it holds no maps, several if it is ambiguous."""
        call, shape = self.calls[index], tuple(shape)
        cause = self.cause(index, shape)
        if cause == ATTENTION or (cause and self.hint.grid is None):
            return []
        found = list(dict.fromkeys(self._fitting(call, shape)))
        if len(found) > 1 or len(shape) == 3:
            first = self.channels_first(index, shape)
            found = [layout for layout in found if first is None or layout.channels_first == first]
        known = [layout for layout in found if self._is_known(layout.sides, call.after_time - 1)]
        found = known if len(known) == 1 else found
        proportional = [layout for layout in found if even(layout.map_sides, self.x[2:])]
        return proportional if len(proportional) == 1 else found

    def is_only_run(self, index: int) -> bool:
        """Return whether a call is the only one of its module that depends on the image."""
        call = self.calls[index]
        return self.runs(call.name) == 1 and (call.varies or not self._runs)

    def runs(self, layer: str) -> int:
        """Return how many runs of a layer depend on the image."""
        return self._runs[layer] if self._runs else sum(call.name == layer for call in self.calls)

    def run_of_image(self, layer: str) -> int | None:
        """Return which run of a layer in a pass is the only one that depends on the image; None if there is none."""
        runs = [call.varies for call in self.calls if call.name == layer]
        return runs.index(True) if sum(runs) == 1 else None

    def cause(self, index: int, shape: Sequence[int]) -> str:
        """Return why the output of a call is certainly no feature maps; empty if that is not certain."""
        call = self.calls[index]
        if self.sequences.is_attention(shape, call.module, call.after_time):
            return ATTENTION
        queries = len(shape) == 3 and self.sequences.are_queries(call)
        return QUERIES if queries and self.channels_first(index, shape) is not True else ""

    def channels_first(self, index: int, shape: Sequence[int]) -> bool | None:
        """Return whether the module, or the last one with an output of that shape, has channels first."""
        same_shape = (
            other.module
            for other in reversed(self.calls[:index])
            if other.output is not None and other.output.shape[1:] == shape[1:]
        )
        kinds = (module_channels_first(module, shape) for module in (self.calls[index].module, *same_shape))
        return next((kind for kind in kinds if kind is not None), None)

    # -- the maps of the pass -----------------------------------------------------------------------------------

    def _swaps_sides(self, tensors: Sequence[tuple[TracedTensor, ModuleCall]]) -> bool:
        """Return whether the first convolution gets the sides of the input in reverse order."""
        sides = self.x[2:]
        inputs = (
            tuple(tensor.shape[2:])
            for tensor, call in tensors
            if isinstance(call.module, conv._ConvNd) and tensor is call.input and len(tensor.shape) == len(self.x)
        )
        return len(sides) == 2 and next(inputs, sides) == sides[::-1] != sides

    def _learn(self, tensor: TracedTensor, module: nn.Module) -> None:
        """Add the maps of a tensor, and of its tokens, to the known ones."""
        shape = tuple(tensor.shape)
        for sides in self._sides_of(shape, module, tensor.time):
            if max(sides) > 1:
                self._grids.setdefault(sides, tensor.time)
        sequence = shape[0] == self.x[0] and len(shape) == 3 and min(shape[1:]) > 1
        if sequence and self.sequences.from_image(tensor):
            for layout in self._token_layouts(shape[1], tensor.time) or list(self._reduced(shape[1])):
                self._grids.setdefault(layout.sides, tensor.time)
                self._tokens.setdefault(layout, tensor.time)

    def _sides_of(self, shape: Sides, module: nn.Module, time: int) -> Iterator[Sides]:
        """Return the sides of the maps that a tensor certainly holds."""
        first = module_channels_first(module, shape)
        if len(shape) == len(self.x):
            if first:  # of images, or of their views, frames or heads
                yield shape[2:]
            elif shape[0] == self.x[0] and len(shape) > 3 and not self.sequences.is_attention(shape, module, time):
                yield from self._sides_by_proportion(shape, first)
        if shape[0] == self.x[0] and len(shape) == 3:
            yield from self._patches(shape)

    def _sides_by_proportion(self, shape: Sides, first: bool | None) -> list[Sides]:
        if first is False:
            return [shape[1:-1]] if self._follows(shape[1:-1]) else []
        fitting = [sides for sides in (shape[2:], shape[1:-1]) if even(sides, self._full)]
        return fitting if len(fitting) == 1 else []

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

    def _reduced(self, tokens: int) -> Iterator[Layout]:
        """Return the layouts of so many tokens after a merging of neighbours, or of the rows or columns of maps."""
        merged = [
            Layout(sides, False, layout.prefix, layout.suffix)
            for layout in self._tokens
            for sides in _halves(layout.sides)
            if prod(sides) + layout.prefix + layout.suffix == tokens
        ]
        last = list(self._grids)[-1] if len(self._grids) > 1 else ()
        lines = (tuple(side if axis == kept else 1 for axis, side in enumerate(last)) for kept in range(len(last)))
        yield from merged or [Layout(line, False) for line in lines if prod(line) == tokens]

    # -- the layouts of an output -------------------------------------------------------------------------------

    def _fitting(self, call: ModuleCall, shape: Sides) -> Iterator[Layout]:
        grid = self.hint.grid
        swap = self._swapped and (grid is None or grid[::-1] in self._grids)
        grid = grid[::-1] if grid and swap else grid
        if len(shape) == len(self.x):
            for first, sides in ((True, shape[2:]), (False, shape[1:-1])):
                if sides == grid if grid else self._is_map(sides, call):
                    yield Layout(sides, first, swapped=swap)
        if len(shape) == 3 and shape[1] > 1:
            for layout in self._token_layouts(shape[1], call.after_time, grid):
                yield Layout(layout.sides, False, layout.prefix, layout.suffix, swapped=swap)

    def _is_map(self, sides: Sides, call: ModuleCall) -> bool:
        if max(sides) == 1 or any(side > full for side, full in zip(sides, self._full, strict=True)):
            return False
        known = self._is_known(sides, call.after_time)
        if len(sides) == 1:
            return known or not any(0 <= time <= call.after_time for time in self._grids.values())
        return known or even(sides, self._full)

    def _is_known(self, sides: Sides, time: int) -> bool:
        return self._grids.get(sides, time + 1) <= time

    def _token_layouts(self, tokens: int, time: int, grid: Sides | None = None) -> list[Layout]:
        """Return the layouts of so many tokens, on a passed grid or on every one that is known."""
        grids = [grid] if grid else [sides for sides in self._grids if self._is_known(sides, time)]
        found = []
        for sides in grids:
            ends = self._ends(tokens, tokens - prod(sides), time, anything=grid is not None)
            found += [] if ends is None else [Layout(sides, False, *ends)]
        return found

    def _ends(self, tokens: int, others: int, time: int, *, anything: bool) -> tuple[int, int] | None:
        """Return how many of the other tokens precede the maps and follow them; None if that is not known."""
        if others < 0:
            return None
        if self.hint.prefix is not None or self.hint.suffix is not None:
            passed = self.hint.prefix or 0, self.hint.suffix or 0
            return passed if sum(passed) == others else None
        constant = self.sequences.constant_ends(tokens, time)
        if any(constant) or others == 0:
            return constant if sum(constant) == others else None
        for layout, since in reversed(self._tokens.items()):
            if since <= time and layout.prefix + layout.suffix == others:
                return layout.prefix, layout.suffix
        unknown = anything or not self.sequences.depend_on_image
        return (others, 0) if unknown and others <= MAX_PREFIX else None


def _tensors(calls: Sequence[ModuleCall]) -> list[tuple[TracedTensor, ModuleCall]]:
    """Return the inputs and outputs of all calls in the order of time."""
    pairs = [(tensor, call) for call in calls for tensor in (call.input, call.output) if tensor is not None]
    return sorted(pairs, key=lambda pair: pair[0].time)


def _halves(grid: Sides) -> set[Sides]:
    """Return the grids with some sides halved.

    >>> sorted(_halves((4, 3)))
    [(2, 1), (2, 2), (2, 3), (4, 1), (4, 2)]
    """
    return set(product(*({side, side // 2, -(-side // 2)} - {0} for side in grid))) - {grid}
