"""Find the layers that output feature maps, and the last ones of them, in the readings of a traced pass.

Only shapes, the order of execution and module types decide, never names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, prod

from torch import nn
from torch.nn.modules import pooling

from fusioncam.errors import LayerError
from fusioncam.inference import hooks
from fusioncam.inference.hooks import ModuleCall
from fusioncam.inference.layer_points import kind_of
from fusioncam.model.layout_errors import ambiguous_layout, batch_error, tokens_without_grid
from fusioncam.model.layouts import Layout
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


def find_candidates(readings: Readings) -> list[Candidate]:
    """Return the layers that output feature maps, in the order in which they end.

    Such a layer runs once, not counting runs on other inputs than the image; its output can be read in one way, and
    it is neither a pooling nor an identity.
    """
    calls = readings.calls
    found: list[Candidate] = []
    pooled = False
    for index, call in enumerate(calls):
        # a container that ends in a pooling returns the pooling's own tensor
        pooled = issubclass(kind_of(call.module), _POOLING) or (pooled and call.returns_previous)
        if pooled or not readings.is_only_run(index) or issubclass(kind_of(call.module), _IDENTITIES):
            continue
        layout = _layout(readings, index)
        if layout is None:
            continue
        if layout.channels_first or not _in_attention_pooling(
            call.name, [candidate.name for candidate in found], calls[index + 1 :]
        ):
            found.append(_candidate(call, layout))
    return found


def find_last(readings: Readings) -> list[Candidate]:
    """Return the layers that may be the last with feature maps, from the last to the first.

    Raises :class:`LayerError` if no layer outputs feature maps, or if all of them precede tokens that form no grid.
    """
    calls, x = readings.calls, readings.x
    found = find_candidates(readings)
    if not found:
        raise _no_maps(readings)
    index = _tokens_without_grid([candidate.name for candidate in found], readings)
    if index is not None:
        tokens = calls[index]
        shape = tuple(tokens.shape or ())
        several = readings.of(index, shape)
        if several:
            raise ambiguous_layout(tokens.name, shape, x, several)
        raise tokens_without_grid(tokens.name, shape, x, found[-1].name)
    # a projection to another space outputs tokens too, but not those of the residual stream
    return [
        candidate for candidate in reversed(found) if candidate.layout.channels_first or candidate.kind != "Linear"
    ]


def _no_maps(readings: Readings) -> LayerError:
    """Return the error that states why no layer outputs feature maps."""
    x = readings.x
    for index, call in reversed(list(enumerate(readings.calls))):
        shape = call.shape
        if shape is None or issubclass(kind_of(call.module), _POOLING) or len(shape) < 3 or prod(shape[2:]) == 1:
            continue
        several = readings.of(index, shape) if shape[0] == x[0] else []
        if several and readings.runs(call.name) > 1:
            return hooks.runs_error(call.name, readings.runs(call.name))
        if len(several) > 1:
            return ambiguous_layout(call.name, shape, x, several)
        views = batch_error(call.name, shape, x[0])
        if views is not None:
            return views
        if shape[0] == x[0] and len(x) > 3 and _has_tokens(call) and not readings.cause(index, shape):
            return tokens_without_grid(call.name, shape, x, None)
    return LayerError(
        f"no layer outputs feature maps (N, K, h, w) larger than one pixel for x {tuple(x)}: use larger images, "
        "or name a layer"
    )


def find_higher_resolution(readings: Readings, end: ModuleCall, side: int) -> list[str]:
    """Return the last layers before a call whose maps have 2, 4, 8... times the side of its own, coarse to fine.

    The last layer of a size is the end of a stage, not the first part of the next stage's first block.
    """
    block_sides = _block_sides(readings)
    earlier = {call.name for call in readings.calls[: readings.calls.index(end)]}
    found: dict[int, str] = {}
    for candidate in find_candidates(readings):
        if candidate.name not in earlier:
            continue
        octave = round(log2(max(candidate.shape[1:]) / side))
        enclosing = [sides for name, sides in block_sides.items() if candidate.name.startswith(f"{name}.")]
        if octave not in found or all(sides == candidate.layout.sides for sides in enclosing):
            found[octave] = candidate.name
    return [found[octave] for octave in sorted(found) if octave > 0]


def _block_sides(readings: Readings) -> dict[str, tuple[int, ...]]:
    """Return the sides of the maps that each module outputs, except for plain sequences of modules."""
    sides = {}
    for index, call in enumerate(readings.calls):
        layout = _layout(readings, index)
        if layout is not None and not issubclass(kind_of(call.module), nn.Sequential):
            sides[call.name] = layout.sides
    return sides


def _layout(readings: Readings, index: int) -> Layout | None:
    """Return how the output of a call holds feature maps, one set per image; None if it holds none for certain."""
    shape = readings.calls[index].shape
    if shape is None or len(shape) < 3 or shape[0] != readings.x[0]:
        return None
    found = readings.of(index, shape)
    return found[0] if len(found) == 1 else None


def _candidate(call: ModuleCall, layout: Layout) -> Candidate:
    shape = tuple(call.shape or ())
    channels = shape[1 if layout.channels_first else -1]
    return Candidate(call.name, kind_of(call.module).__name__, (channels, *layout.map_sides), layout)


def _tokens_without_grid(candidates: Sequence[str], readings: Readings) -> int | None:
    """Return the first call after all candidates that outputs tokens of no grid, unless it is part of a pooling.

    Tokens that begin as constants, such as the queries of a decoder, are no locations of the image.
    """
    calls, x = readings.calls, readings.x
    if len(x) < 4:  # the maps of a signal have the shape of tokens themselves
        return None
    start = [call.name for call in calls].index(candidates[-1]) + 1
    for index, call in enumerate(calls[start:], start):
        if not _has_tokens(call) or (call.shape or (0,))[0] != x[0] or _layout(readings, index) is not None:
            continue
        if readings.cause(index, call.shape or ()):
            continue
        if not _in_attention_pooling(call.name, candidates, calls[index + 1 :]):
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
