"""Masks that multiply pixels, and fills that are shown where a mask is 0.

A mask source has a ``shape`` of ``(M, N, *size)``, and ``source[m, n]`` returns the masks ``(B, *size)`` of the index
tensors ``m`` and ``n`` ``(B,)``. A tensor is a mask source, and so are the classes below, which compute a batch of
masks at a time, so that the masks are never all in memory. ``active``, if the source has it, is an ``(M, N)``
boolean; a mask where it is False needs no pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, prod
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.functional.heatmaps import is_flat, minmax, upsample


class MaskSource(Protocol):
    """A source of masks: see the docstring of the module."""

    @property
    def shape(self) -> Sequence[int]:
        """``(M, N, *size)``."""

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor: ...


@runtime_checkable
class HasActive(Protocol):
    """A mask source that marks which of its masks need a pass."""

    active: Tensor


class ChannelMasks:
    """Every channel of activations ``(N, K, *s)`` as a mask in [0, 1] of the input's size (Score-CAM, eq. 4).

    ``normalise="after"`` rescales a channel to [0, 1] after it is resized to ``size``, as in the paper; ``"before"``
    rescales it first. A constant channel is not active, since its mask would be all zeros.
    """

    def __init__(self, activations: Tensor, size: Sequence[int], normalise: str = "after") -> None:
        images, channels = activations.shape[:2]
        self.shape = (channels, images, *size)
        self.active = ~is_flat(activations.flatten(0, 1)).reshape(images, channels).T
        self._maps = activations
        self._before = normalise == "before"

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        channel, image = where
        maps, size = self._maps[image, channel], self.shape[2:]
        return upsample(minmax(maps), size) if self._before else minmax(upsample(maps, size))


class TransformedMasks:
    """The masks of another source, each transformed by a function of ``(B, *size)``."""

    def __init__(self, masks: MaskSource, transform: Callable[[Tensor], Tensor]) -> None:
        self.shape = masks.shape
        if isinstance(masks, HasActive):
            self.active = masks.active
        self._masks, self._transform = masks, transform

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        return self._transform(self._masks[where])


def complement(masks: MaskSource) -> TransformedMasks:
    """Return masks that hide what the given ones show."""
    return TransformedMasks(masks, lambda mask: 1 - mask)


class RiseMasks:
    """The masks of RISE: random grids, upsampled and shifted (Petsiuk et al. 2018, arXiv 1806.07421).

    A grid has ``cells`` a side, each 1 with the probability ``keep``. It is upsampled to the size of the image plus
    one cell, and a random window of it is the mask. Every image gets the same masks.
    """

    def __init__(self, count: int, like: Tensor, cells: int, keep: float, seed: int) -> None:
        size = like.shape[2:]
        self.shape = (count, len(like), *size)
        generator = torch.Generator().manual_seed(seed)
        self._grids = torch.rand((count, *[cells] * len(size)), generator=generator).lt(keep).to(like)
        self._steps = [ceil(side / cells) for side in size]
        self._large = [(cells + 1) * step for step in self._steps]
        self._shifts = (torch.rand((count, len(size)), generator=generator) * torch.tensor(self._steps)).long()

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        mask = where[0].to(self._grids.device)
        large = upsample(self._grids[mask], self._large)
        return torch.stack(
            [self._window(grid, shift) for grid, shift in zip(large, self._shifts[mask.cpu()].tolist(), strict=True)]
        )

    def _window(self, large: Tensor, shift: Sequence[int]) -> Tensor:
        for axis, (start, side) in enumerate(zip(shift, self.shape[2:], strict=True)):
            large = large.narrow(axis, start, side)
        return large


class FirstMasks:
    """The first ``count`` masks of another source."""

    def __init__(self, masks: MaskSource, count: int) -> None:
        self.shape = (count, *masks.shape[1:])
        self._masks = masks

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        return self._masks[where]


class WindowMasks:
    """Masks that are 1 in a window and 0 elsewhere, one for each combination of positions along the axes.

    The windows have ``sides`` and start at the ``starts`` of each axis; a part beyond the border is cut off. Every
    image gets the same masks.
    """

    def __init__(self, like: Tensor, sides: Sequence[int], starts: Sequence[Sequence[int]]) -> None:
        self.shape = (prod(map(len, starts)), len(like), *like.shape[2:])
        self._sides = sides
        self._starts = [torch.tensor(along, device=like.device) for along in starts]
        self._like = like

    @classmethod
    def sliding(cls, like: Tensor, cells: int, overlap: int) -> WindowMasks:
        """Return windows of the ``cells``-th part of each side that move by the ``overlap``-th part of themselves.

        Both are rounded up. The last position along an axis is cut at the border.
        """
        sides = [ceil(side / cells) for side in like.shape[2:]]
        steps = [ceil(window / overlap) for window in sides]
        counts = [
            ceil((side - window) / step) + 1 for side, window, step in zip(like.shape[2:], sides, steps, strict=True)
        ]
        return cls(like, sides, [range(0, count * step, step) for count, step in zip(counts, steps, strict=True)])

    @classmethod
    def spread(cls, like: Tensor, share: float, positions: int) -> WindowMasks:
        """Return windows of at least a ``share`` of each side, in evenly spaced ``positions`` along each axis.

        They are as much larger as whole steps between both borders need, so that a mirrored image has mirrored
        windows. Axes with few pixels have fewer positions.
        """
        rooms = [side - ceil(share * side) for side in like.shape[2:]]
        counts = [min(positions - 1, room) for room in rooms]
        steps = [room // max(1, count) for room, count in zip(rooms, counts, strict=True)]
        starts = [[step * k for k in range(count + 1)] for step, count in zip(steps, counts, strict=True)]
        return cls(like, [side - along[-1] for side, along in zip(like.shape[2:], starts, strict=True)], starts)

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        places = torch.unravel_index(where[0].to(self._like.device), [len(along) for along in self._starts])
        inside = torch.ones((), dtype=torch.bool, device=self._like.device)
        for place, starts, window, side in zip(places, self._starts, self._sides, self.shape[2:], strict=True):
            offset = torch.arange(side, device=starts.device) - starts[place][:, None]
            along = (offset >= 0) & (offset < window)
            inside = inside[..., None] & along.reshape(len(place), *[1] * (inside.dim() - 1), side)
        return inside.to(self._like)


class GridMasks:
    """Masks of given grids ``(M, *cells)``, upsampled to the size of ``like`` by nearest neighbours."""

    def __init__(self, grids: Tensor, like: Tensor) -> None:
        self.shape = (len(grids), len(like), *like.shape[2:])
        self._grids = grids.to(like)

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        grids = self._grids[where[0].to(self._grids.device)]
        return F.interpolate(grids[:, None], size=tuple(self.shape[2:]), mode="nearest")[:, 0]


def sum_of_masks(scores: Tensor, masks: MaskSource, like: Tensor) -> Tensor:
    """Return the sum ``(N, *s)`` of masks ``(M, N, *s)`` that all images share, times their scores ``(M, N)``."""
    total = torch.zeros_like(like[:, 0])
    for start in range(0, len(scores), 64):
        batch = torch.arange(start, min(start + 64, len(scores)))
        total += torch.einsum("mn,m...->n...", scores[batch].to(total), masks[batch, batch].to(total))
    return total


class Shaped(Protocol):
    """An object whose shape begins with ``(M, N)``."""

    @property
    def shape(self) -> Sequence[int]:
        """``(M, N, ...)``."""


def active_pairs(masks: Shaped) -> Tensor:
    """Return the pairs ``(m, n)`` that need a pass, ``(J, 2)``, image by image."""
    if isinstance(masks, HasActive):
        return masks.active.T.nonzero().flip(1)
    return torch.ones(masks.shape[1], masks.shape[0]).nonzero().flip(1)


def aligned_pairs(masks: Shaped) -> Tensor:
    """Return all pairs ``(m, n)`` with an active mask of any image, mask by mask: row n of each batch is image n.

    >>> aligned_pairs(torch.ones(2, 2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    active = masks.active if isinstance(masks, HasActive) else torch.ones(tuple(masks.shape[:2]), dtype=torch.bool)
    return active.any(1, keepdim=True).expand(active.shape).nonzero()


def _black(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (-mean / std).expand_as(x)


def _mean(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return torch.zeros_like(x)


def _blur(sigma: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda x, mean, std: gaussian_blur(x, sigma)


def gaussian_blur(x: Tensor, sigma: float, size: int = 51) -> Tensor:
    """Blur ``(N, C, *s)`` with a kernel of at most ``size`` pixels a side; borders are mirrored."""
    for axis in range(2, x.dim()):
        side = x.shape[axis]
        half = (min(size, side if side % 2 else side - 1)) // 2
        taps = torch.exp(-(torch.arange(-half, half + 1, dtype=torch.float64) ** 2) / (2 * sigma**2))
        rows = x.movedim(axis, -1)
        padded = F.pad(rows.reshape(-1, 1, side), (half, half), mode="reflect") if half else rows.reshape(-1, 1, side)
        x = F.conv1d(padded, (taps / taps.sum()).to(x)[None, None]).reshape(rows.shape).movedim(-1, axis)
    return x


FILLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mean": _mean,  # after normalisation, the mean colour of the training images is 0
    "black": _black,
    "blur": _blur(50),  # 51 pixels, sigma 50, as in the insertion of Fusion-CAM's authors and in Group-CAM
    "light-blur": _blur(25),
}
# a callable returns the pixels to show for images (B, C, *s) and their masks (B, *s)
FillFunction = Callable[[Tensor, Tensor], Tensor]
Fill = str | Tensor | FillFunction
# the setting of metrics: a name, or in Python a function
FillSetting = str | FillFunction


def select_images(x: Tensor, image: Tensor) -> Tensor:
    """Return the images ``(B, C, *s)`` at the indices ``image`` ``(B,)``, a view if ``x`` is one image."""
    return x.expand(len(image), *x.shape[1:]) if len(x) == 1 else x[image]


def blend(x: Tensor, masks: Tensor, background: Tensor) -> Tensor:
    """Return ``x`` ``(B, C, *s)`` where the masks ``(B, *s)`` are 1, and the background where they are 0."""
    return torch.lerp(background, x, masks[:, None].to(x.dtype))
