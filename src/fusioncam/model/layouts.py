"""Read a layer's output as feature maps ``(N, K, *s)``, and write feature maps back in the layer's own layout.

The layouts are channels first ``(N, K, *s)``, channels last ``(N, *s, K)`` and tokens ``(N, T, K)``, with class and
register tokens before the spatial ones. Only shapes decide: the sides of the maps are those of the input, divided
evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, floor, prod

from torch import Tensor

from fusioncam.errors import LayerError

# class, distillation and register tokens: no known network has more of them before the spatial tokens
MAX_PREFIX = 16


@dataclass(frozen=True)
class Layout:
    """The layout of a layer's output: the ``sides`` of its maps, and the number of tokens before the spatial ones."""

    sides: tuple[int, ...]
    channels_first: bool = True
    prefix: int = 0

    def maps(self, output: Tensor) -> Tensor:
        """Return the feature maps ``(N, K, *s)`` of the layer's output."""
        if self.channels_first:
            return output
        tokens = output.flatten(1, -2)[:, self.prefix :]
        return tokens.movedim(-1, 1).reshape(len(output), -1, *self.sides)

    def output(self, maps: Tensor, like: Tensor) -> Tensor:
        """Return maps ``(B, K, *s)`` in the layout of the output ``like``, with its class and register tokens."""
        if self.channels_first:
            return maps
        tokens = like.flatten(1, -2).expand(len(maps), -1, -1).clone()
        tokens[:, self.prefix :] = maps.flatten(2).movedim(1, -1)
        return tokens.reshape(len(maps), *like.shape[1:])


def layout_of(shape: Sequence[int], x: Sequence[int], grid: Sequence[int] | None = None) -> Layout | None:
    """Return the layout of an output of that shape for inputs of shape ``x``; None if it holds no feature maps.

    ``grid`` is the sides of the maps where shapes alone do not determine them.
    """
    return next(_layouts(tuple(shape), tuple(x), None if grid is None else tuple(grid)), None)


def named_layout(layer: str, shape: Sequence[int], x: Sequence[int], grid: Sequence[int] | None = None) -> Layout:
    """Return the layout of a layer that the user named; its maps may have sides out of proportion to the input.

    Raises :class:`LayerError`, which states the shape and the layouts tried.
    """
    layout = layout_of(shape, x, grid)
    if layout is None and grid is None and len(shape) == len(x) and prod(shape[2:]) > 1:
        layout = Layout(tuple(shape[2:]))
    if layout is None or shape[0] != x[0]:
        sides = ", ".join("dhw"[-len(x[2:]) :])
        expected = f"a grid of {tuple(grid)}" if grid else f"a grid in proportion to {tuple(x[2:])}"
        raise LayerError(
            f"layer '{layer}' outputs {tuple(shape)}, which are not feature maps: tried channels first "
            f"(N, K, {sides}), channels last (N, {sides}, K) and tokens (N, T, K) that form {expected} after at most "
            f"{MAX_PREFIX} others. `fusioncam list layers` lists the layers with feature maps; for tokens in another "
            "arrangement pass ExplainedModel(..., grid=(rows, columns))"
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
    """Return whether the sides are those of the input divided evenly, up to rounding and padding."""
    (h, *rest), (H, *full_rest) = sides, full
    fits = (w <= W and abs(w * H - h * W) <= 2 * max(H, W) for w, W in zip(rest, full_rest, strict=True))
    return h <= H and all(fits)


def token_grid(tokens: int, full: Sequence[int]) -> tuple[int, ...] | None:
    """Return the grid of square patches of the input that leaves the fewest tokens over; None if no grid fits.

    A patch size that divides the sides without remainder is preferred.

    >>> token_grid(197, (224, 224)), token_grid(201, (224, 224)), token_grid(50, (224, 112)), token_grid(3, (96, 96))
    ((14, 14), (14, 14), (10, 5), None)
    """
    fitting = [
        (divides, prod(grid), grid)
        for grid, divides, max_prefix in _grids(tuple(full))
        if 0 <= tokens - prod(grid) <= max_prefix
    ]
    return max(fitting)[2] if fitting else None


@cache
def _grids(full: tuple[int, ...]) -> list[tuple[tuple[int, ...], bool, int]]:
    """Return every grid of patches of the input, whether the patch divides the sides, and the largest prefix."""
    grids = []
    for patch in range(1, max(full)):
        for rounded in (floor, ceil):
            grid = tuple(rounded(side / patch) for side in full)
            divides = all(side % patch == 0 for side in full)
            if prod(grid) > 1:
                # with a longer prefix, nearly every number of tokens would fit a patch that leaves a remainder
                grids.append((grid, divides, min(MAX_PREFIX if divides else 1, prod(grid))))
    return grids
