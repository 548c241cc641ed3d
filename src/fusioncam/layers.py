"""Which layers give maps, and which of them is the last: told by what each module gave in one traced pass.

Only shapes, the order of execution and module types decide, never names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules import pooling

from .errors import LayerError
from .hooks import Ran

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
    """A layer that gives maps: its dotted name, its class, and the shape ``(K, *s)`` of what it gives."""

    name: str
    kind: str
    shape: tuple[int, ...]


def candidates(ran: Sequence[Ran], x: Sequence[int]) -> list[Candidate]:
    """List the layers that give maps ``(N, K, *s)`` for an input of shape ``x``, in the order in which they end.

    A layer runs once, its sides are the input's made smaller evenly, and it neither pools nor only hands on.
    """
    times = Counter(one.name for one in ran)
    found, pooled = [], False
    for one in ran:
        # the container that ends in a pooling gives the pooling's own tensor
        pooled = isinstance(one.module, _POOLING) or (pooled and one.handed_on)
        if _is_map(one.shape, x) and times[one.name] == 1 and not pooled and not isinstance(one.module, _PASSING):
            found.append(Candidate(one.name, type(one.module).__name__, tuple(one.shape or ())[1:]))
    return found


def last_map(ran: Sequence[Ran], x: Sequence[int]) -> str:
    """Name the last layer that gives maps before pooling.

    Raises :class:`LayerError` where there is none, or where tokens or channels-last maps follow, which are the
    network's own last maps and cannot be read as ``(N, K, *s)``.
    """
    found = candidates(ran, x)
    if not found:
        raise LayerError(
            f"no layer gives maps (N, K, h, w) larger than one pixel for x {tuple(x)}: give larger pictures or "
            "name a layer"
        )
    name = found[-1].name
    tokens = _tokens_behind(name, ran, x)
    if tokens is not None:
        raise LayerError(
            f"the last maps are tokens or channels-last ('{tokens.name}' gives {tuple(tokens.shape or ())}), which "
            f"are not read yet: name a layer that gives (N, K, h, w), such as '{name}', if you want that one"
        )
    return name


def _is_map(shape: Sequence[int] | None, x: Sequence[int]) -> bool:
    if shape is None or len(shape) != len(x) or shape[0] != x[0]:
        return False
    return max(shape[2:]) > 1 and _fits(shape[2:], x[2:])


def _fits(sides: Sequence[int], full: Sequence[int]) -> bool:
    """Say whether the sides are those of the input made smaller evenly, up to rounding and padding."""
    (h, *rest), (H, *full_rest) = sides, full
    even = (w <= W and abs(w * H - h * W) <= 2 * max(H, W) for w, W in zip(rest, full_rest, strict=True))
    return h <= H and all(even)


def _tokens_behind(name: str, ran: Sequence[Ran], x: Sequence[int]) -> Ran | None:
    """Find a module behind the layer whose output is positions without being maps, unless it only pools them."""
    if len(x) < 4:  # the maps of a signal look like tokens themselves
        return None
    behind = list(ran[[one.name for one in ran].index(name) + 1 :])
    for place, one in enumerate(behind):
        if _is_tokens(one.shape, x) and not _pools(one.name, name, behind[place + 1 :]):
            return one
    return None


def _is_tokens(shape: Sequence[int] | None, x: Sequence[int]) -> bool:
    if shape is None or shape[0] != x[0]:
        return False
    if len(shape) == 3:
        return min(shape[1:]) > 1
    last = len(shape) == len(x) and not _is_map(shape, x) and max(shape[1:-1]) > 1
    return last and _fits(shape[1:-1], x[2:])


def _pools(tokens: str, layer: str, after: Sequence[Ran]) -> bool:
    """Say whether the tokens lie inside a module that ends in one position, such as an attention pooling."""
    return any(
        tokens.startswith(f"{one.name}.") and not layer.startswith(f"{one.name}.") and _is_pooled(one.shape)
        for one in after
    )


def _is_pooled(shape: Sequence[int] | None) -> bool:
    return shape is not None and (len(shape) == 2 or all(side == 1 for side in shape[2:]))
