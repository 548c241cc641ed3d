"""Which layers give maps, and which of them is the last: told by what each module gave in one traced pass.

Only shapes, the order of execution and module types decide, never names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from torch import nn
from torch.nn.modules import pooling

from fusioncam.errors import LayerError
from fusioncam.inference.hooks import ModuleCall
from fusioncam.model.layouts import Layout, layout_of, named_layout

# what hands on, and what ends the maps: no place to read them
_PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_POOLING = (
    pooling._MaxPoolNd,
    pooling._AvgPoolNd,
    pooling._LPPoolNd,
    pooling._AdaptiveAvgPoolNd,
    pooling._AdaptiveMaxPoolNd,
)


@dataclass(frozen=True)
class Candidate:
    """A layer that gives maps: its dotted name, its class, the shape ``(K, *s)`` of its maps, and how they lie."""

    name: str
    kind: str
    shape: tuple[int, ...]
    layout: Layout


def candidates(ran: Sequence[ModuleCall], x: Sequence[int], grid: Sequence[int] | None = None) -> list[Candidate]:
    """List the layers that give maps for an input of shape ``x``, in the order in which they end.

    A layer runs once, its sides are the input's made smaller evenly, and it neither pools nor only hands on.
    """
    times = Counter(one.name for one in ran)
    found: list[Candidate] = []
    maps: list[str] = []
    pooled = False
    for place, one in enumerate(ran):
        # the container that ends in a pooling gives the pooling's own tensor
        pooled = isinstance(one.module, _POOLING) or (pooled and one.handed_on)
        layout = _layout(one, x, grid)
        if layout is None or pooled or times[one.name] > 1 or isinstance(one.module, _PASSING):
            continue
        if layout.channels_first or not _of_a_pooling(one.name, maps, ran[place + 1 :]):
            found.append(_candidate(one, layout))
            maps.append(one.name)
    return found


def last_maps(ran: Sequence[ModuleCall], x: Sequence[int], grid: Sequence[int] | None = None) -> list[Candidate]:
    """List the layers that may be the last maps on the way to the scores, the last first.

    Raises :class:`LayerError` where no layer gives maps, or where tokens that form no grid follow them all.
    """
    found = candidates(ran, x, grid)
    if not found:
        raise LayerError(
            f"no layer gives maps (N, K, h, w) larger than one pixel for x {tuple(x)}: give larger images or "
            "name a layer"
        )
    tokens = _odd_tokens_behind([one.name for one in found], ran, x, grid)
    if tokens is not None:
        raise LayerError(
            f"the last maps are tokens that form no grid ('{tokens.name}' gives {tuple(tokens.shape or ())} for "
            f"x {tuple(x)}): say ExplainedModel(..., grid=(rows, columns)), or name a layer that gives maps, such as "
            f"'{found[-1].name}', if you want that one"
        )
    # a projection into another space gives tokens too, but not those of the network's own stream
    return [one for one in reversed(found) if one.layout.channels_first or one.kind != "Linear"]


def finer(ran: Sequence[ModuleCall], x: Sequence[int], layer: str, grid: Sequence[int] | None = None) -> list[str]:
    """Name the last layers before ``layer`` whose maps have 2, 4, 8... times its sides, coarse to fine.

    The last of a size is where a stage ends, not where the first block of the next one begins at full size.
    """
    ends = {one.name: one for one in ran if one.shape is not None}
    if layer not in ends:
        raise LayerError(f"layer '{layer}' gives no maps")
    side = max(named_layout(layer, ends[layer].shape or (), x, grid).sides)
    sides_of = _sides_of_blocks(ran, x, grid)
    last: dict[int, str] = {}
    for one in candidates(ran[: ran.index(ends[layer])], x, grid):
        octave = round(log2(max(one.shape[1:]) / side))
        around = [sides for name, sides in sides_of.items() if one.name.startswith(f"{name}.")]
        if octave not in last or all(sides == one.layout.sides for sides in around):
            last[octave] = one.name
    return [last[octave] for octave in sorted(last) if octave > 0]


def _sides_of_blocks(
    ran: Sequence[ModuleCall], x: Sequence[int], grid: Sequence[int] | None
) -> dict[str, tuple[int, ...]]:
    """Give the sides of what each block gives; a block is a module with parts that is no mere sequence of them."""
    sides = {}
    for one in ran:
        layout = _layout(one, x, grid)
        if layout is not None and not isinstance(one.module, nn.Sequential):
            sides[one.name] = layout.sides
    return sides


def _layout(one: ModuleCall, x: Sequence[int], grid: Sequence[int] | None) -> Layout | None:
    """Tell how a run's output holds maps, one for each image; None if it holds none."""
    return None if one.shape is None or one.shape[0] != x[0] else layout_of(one.shape, x, grid)


def _candidate(one: ModuleCall, layout: Layout) -> Candidate:
    shape = tuple(one.shape or ())
    channels = shape[1 if layout.channels_first else -1]
    return Candidate(one.name, type(one.module).__name__, (channels, *layout.sides), layout)


def _odd_tokens_behind(
    maps: Sequence[str], ran: Sequence[ModuleCall], x: Sequence[int], grid: Sequence[int] | None
) -> ModuleCall | None:
    """Find a module behind all maps that gives tokens of no grid, unless it only pools."""
    if len(x) < 4:  # the maps of a signal look like tokens themselves
        return None
    start = [one.name for one in ran].index(maps[-1]) + 1
    for place in range(start, len(ran)):
        shape = ran[place].shape
        odd = shape is not None and len(shape) == 3 and min(shape[1:]) > 1 and layout_of(shape, x, grid) is None
        if odd and not _of_a_pooling(ran[place].name, maps, ran[place + 1 :]):
            return ran[place]
    return None


def _of_a_pooling(tokens: str, maps: Sequence[str], after: Sequence[ModuleCall]) -> bool:
    """Say whether tokens lie inside a module that takes maps in and ends in one position: an attention pooling."""
    inside = (f"{one.name}." for one in after if tokens.startswith(f"{one.name}.") and _is_pooled(one.shape))
    return any(not name.startswith(module) for module in inside for name in maps)


def _is_pooled(shape: Sequence[int] | None) -> bool:
    return shape is not None and (len(shape) == 2 or all(side == 1 for side in shape[2:]))
