"""What a layer gave, read as maps ``(N, K, *s)``, and maps written back the way the layer gives them.

Channels first ``(N, K, *s)``, channels last ``(N, *s, K)`` or tokens ``(N, T, K)``, with class and register
tokens in front. Only shapes decide: the sides of maps are the input's, made smaller evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, floor, prod

from torch import Tensor

from fusioncam.errors import LayerError

# class, distillation and register tokens: more than this before the places is no known network
MAX_PREFIX = 16


@dataclass(frozen=True)
class Layout:
    """How the maps lie in a layer's output: their ``sides``, where the channels are, what stands in front."""

    sides: tuple[int, ...]
    channels_first: bool = True
    prefix: int = 0

    def maps(self, output: Tensor) -> Tensor:
        """Read maps ``(N, K, *s)`` from what the layer gave."""
        if self.channels_first:
            return output
        tokens = output.flatten(1, -2)[:, self.prefix :]
        return tokens.movedim(-1, 1).reshape(len(output), -1, *self.sides)

    def output(self, maps: Tensor, like: Tensor) -> Tensor:
        """Write maps ``(B, K, *s)`` as the layer gives them, with the tokens that ``like`` has in front."""
        if self.channels_first:
            return maps
        tokens = like.flatten(1, -2).expand(len(maps), -1, -1).clone()
        tokens[:, self.prefix :] = maps.flatten(2).movedim(1, -1)
        return tokens.reshape(len(maps), *like.shape[1:])


def layout_of(shape: Sequence[int], x: Sequence[int], grid: Sequence[int] | None = None) -> Layout | None:
    """Tell how an output of that shape holds maps for inputs of shape ``x``; None if it holds none.

    ``grid`` gives the sides of the maps where shapes alone do not tell them.
    """
    return next(_layouts(tuple(shape), tuple(x), None if grid is None else tuple(grid)), None)


def named_layout(layer: str, shape: Sequence[int], x: Sequence[int], grid: Sequence[int] | None = None) -> Layout:
    """Tell the layout of a layer that was asked for; also maps of odd sides will do.

    Raises :class:`LayerError`, which shows the shape and the layouts tried.
    """
    layout = layout_of(shape, x, grid)
    if layout is None and grid is None and len(shape) == len(x) and prod(shape[2:]) > 1:
        layout = Layout(tuple(shape[2:]))
    if layout is None or shape[0] != x[0]:
        sides = ", ".join("dhw"[-len(x[2:]) :])
        places = f"a grid of {tuple(grid)}" if grid else f"a grid in proportion to {tuple(x[2:])}"
        raise LayerError(
            f"layer '{layer}' gives {tuple(shape)}, which are no maps: tried channels first (N, K, {sides}), "
            f"channels last (N, {sides}, K) and tokens (N, T, K) that form {places} behind at most {MAX_PREFIX} "
            "others. `fusioncam list layers` shows the layers that give maps; for tokens of another form say "
            "ExplainedModel(..., grid=(rows, columns))"
        )
    return layout


def _layouts(shape: tuple[int, ...], x: tuple[int, ...], grid: tuple[int, ...] | None) -> Iterator[Layout]:
    full = x[2:]

    def fits(sides: tuple[int, ...]) -> bool:
        return sides == grid if grid else max(sides) > 1 and even(sides, full)

    if len(shape) == len(x):
        if fits(shape[2:]):
            yield Layout(shape[2:])
        if fits(shape[1:-1]):
            yield Layout(shape[1:-1], channels_first=False)
    if len(shape) == 3:
        sides = grid or token_grid(shape[1], full)
        if sides and 0 <= shape[1] - prod(sides) <= MAX_PREFIX:
            yield Layout(sides, channels_first=False, prefix=shape[1] - prod(sides))


def even(sides: Sequence[int], full: Sequence[int]) -> bool:
    """Say whether the sides are those of the input made smaller evenly, up to rounding and padding."""
    (h, *rest), (H, *full_rest) = sides, full
    fits = (w <= W and abs(w * H - h * W) <= 2 * max(H, W) for w, W in zip(rest, full_rest, strict=True))
    return h <= H and all(fits)


def token_grid(tokens: int, full: Sequence[int]) -> tuple[int, ...] | None:
    """Give the sides of the grid that patches of one size make of the input, with the fewest tokens in front.

    A grid that the patches make evenly goes before one that they make up to rounding.

    >>> token_grid(197, (224, 224)), token_grid(201, (224, 224)), token_grid(50, (224, 112)), token_grid(3, (96, 96))
    ((14, 14), (14, 14), (10, 5), None)
    """
    places = ((whole, prod(grid), grid, front) for grid, whole, front in _grids(tuple(full)))
    fitting = [one for one in places if 0 <= tokens - one[1] <= one[3]]
    return max(fitting)[2] if fitting else None


@cache
def _grids(full: tuple[int, ...]) -> list[tuple[tuple[int, ...], bool, int]]:
    """List the grids that patches make of the input, whether evenly, and how many tokens may stand in front."""
    grids = []
    for patch in range(1, max(full)):
        for rounded in (floor, ceil):
            grid = tuple(rounded(side / patch) for side in full)
            whole = all(side % patch == 0 for side in full)
            if prod(grid) > 1:
                # where patches fit unevenly nearly every number would be a grid and some others
                grids.append((grid, whole, min(MAX_PREFIX if whole else 1, prod(grid))))
    return grids
