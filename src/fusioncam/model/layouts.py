"""Read a layer's output as feature maps ``(N, K, *s)``, and write feature maps back in the layer's own layout.

The layouts are channels first ``(N, K, *s)``, channels last ``(N, *s, K)`` and tokens ``(N, T, K)``, with class and
register tokens before or after the spatial ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from fusioncam.errors import SettingError

# class, distillation and register tokens: no known network has more of them before the spatial tokens
MAX_PREFIX = 16


@dataclass(frozen=True)
class TokenHint:
    """What the user states about tokens: the grid of the spatial ones, and the numbers of others before and after."""

    grid: tuple[int, ...] | None = None
    prefix: int | None = None
    suffix: int | None = None

    def __post_init__(self) -> None:
        if self.grid is not None and min(self.grid, default=0) < 1:
            raise SettingError(f"grid is the (rows, columns) of the tokens, at least 1 each, got {self.grid}")
        for name, number in (("prefix", self.prefix), ("suffix", self.suffix)):
            if number is not None and number < 0:
                raise SettingError(f"{name} is a number of tokens, at least 0, got {number}")


@dataclass(frozen=True)
class Layout:
    """The layout of a layer's output: the ``sides`` of its maps, and the number of tokens before and after these.

    ``swapped`` means that rows and columns are those of the input in reverse order.
    """

    sides: tuple[int, ...]
    channels_first: bool = True
    prefix: int = 0
    suffix: int = 0
    swapped: bool = False

    def maps(self, output: Tensor) -> Tensor:
        """Return the feature maps ``(N, K, *s)`` of the layer's output."""
        maps = output
        if not self.channels_first:
            tokens = output.flatten(1, -2)[:, self._spatial]
            maps = tokens.movedim(-1, 1).reshape(len(output), -1, *self.sides)
        return maps.mT if self.swapped else maps

    @property
    def _spatial(self) -> slice:
        return slice(self.prefix, self.prefix + prod(self.sides))

    @property
    def map_sides(self) -> tuple[int, ...]:
        """The sides of the maps in the order of the input."""
        return self.sides[::-1] if self.swapped else self.sides

    def output(self, maps: Tensor, like: Tensor) -> Tensor:
        """Return maps ``(B, K, *s)`` in the layout of the output ``like``, with its class and register tokens."""
        maps = maps.mT if self.swapped else maps
        if self.channels_first:
            return maps
        tokens = like.flatten(1, -2).expand(len(maps), -1, -1).clone()
        tokens[:, self._spatial] = maps.flatten(2).movedim(1, -1)
        return tokens.reshape(len(maps), *like.shape[1:])


def even(sides: Sequence[int], full: Sequence[int]) -> bool:
    """Return whether the sides are those of the input divided evenly, up to rounding and padding."""
    (h, *rest), (H, *full_rest) = sides, full
    fits = (w <= W and abs(w * H - h * W) <= 2 * max(H, W) for w, W in zip(rest, full_rest, strict=True))
    return h <= H and all(fits)
