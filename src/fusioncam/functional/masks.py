"""What is multiplied onto pixels, and what shows where it is 0.

A mask source is anything with a ``shape`` of ``(M, N, *size)`` that gives the masks ``(B, *size)`` at
``source[m, n]``, ``m`` and ``n`` being index tensors ``(B,)``: a plain tensor is one, and so is a class below
that makes its masks when asked, so that they never live together. ``active``, if the source has it, is an
``(M, N)`` boolean: a False asks for no pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.functional.heatmaps import is_flat, minmax, upsample


class MaskSource(Protocol):
    """Masks made when asked: see the module's docstring."""

    @property
    def shape(self) -> Sequence[int]:
        """``(M, N, *size)``."""

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor: ...


@runtime_checkable
class HasActive(Protocol):
    """A mask source that knows which of its masks are worth a pass."""

    active: Tensor


class ChannelMasks:
    """Every channel of activations ``(N, K, *s)`` as a mask in [0, 1] of the input's size (Score-CAM, eq. 4).

    ``normalise="after"`` stretches a channel to [0, 1] after it is brought to ``size``, as the paper does,
    ``"before"`` stretches it first. A constant channel is not active: as a mask it would be empty.
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
    """The masks of another source, each changed by a function of ``(B, *size)``."""

    def __init__(self, masks: ChannelMasks, change: Callable[[Tensor], Tensor]) -> None:
        self.shape, self.active = masks.shape, masks.active
        self._masks, self._change = masks, change

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        return self._change(self._masks[where])


class RiseMasks:
    """Random cells, stretched and shifted: the masks of RISE (Petsiuk et al. 2018, arXiv 1806.07421).

    Of ``cells`` a side each is open with the probability ``keep``; the grid is stretched to one cell more than
    the image and a random window of it is the mask. Every image gets the same masks.
    """

    def __init__(self, count: int, like: Tensor, cells: int, keep: float, seed: int) -> None:
        size = like.shape[2:]
        self.shape = (count, len(like), *size)
        draw = torch.Generator().manual_seed(seed)
        self._grids = torch.rand((count, *[cells] * len(size)), generator=draw).lt(keep).to(like)
        self._steps = [ceil(side / cells) for side in size]
        self._large = [(cells + 1) * step for step in self._steps]
        self._shifts = (torch.rand((count, len(size)), generator=draw) * torch.tensor(self._steps)).long()

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        mask = where[0].to(self._grids.device)
        large = upsample(self._grids[mask], self._large)
        return torch.stack(
            [self._window(one, shift) for one, shift in zip(large, self._shifts[mask.cpu()].tolist(), strict=True)]
        )

    def _window(self, large: Tensor, shift: Sequence[int]) -> Tensor:
        for axis, (start, side) in enumerate(zip(shift, self.shape[2:], strict=True)):
            large = large.narrow(axis, start, side)
        return large


class Shaped(Protocol):
    """Anything whose shape begins with ``(M, N)``."""

    @property
    def shape(self) -> Sequence[int]:
        """``(M, N, ...)``."""


def active_pairs(masks: Shaped) -> Tensor:
    """List the ``(m, n)`` that need a pass, ``(J, 2)``, image by image."""
    if isinstance(masks, HasActive):
        return masks.active.T.nonzero().flip(1)
    return torch.ones(masks.shape[1], masks.shape[0]).nonzero().flip(1)


def _black(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (-mean / std).expand_as(x)


def _mean(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return torch.zeros_like(x)


def _blur(sigma: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda x, mean, std: gaussian(x, sigma)


def gaussian(x: Tensor, sigma: float, size: int = 51) -> Tensor:
    """Blur ``(N, C, *s)`` of any number of sides, by at most ``size`` pixels, mirrored at the borders."""
    for axis in range(2, x.dim()):
        side = x.shape[axis]
        half = (min(size, side if side % 2 else side - 1)) // 2
        taps = torch.exp(-(torch.arange(-half, half + 1, dtype=torch.float64) ** 2) / (2 * sigma**2))
        rows = x.movedim(axis, -1)
        padded = F.pad(rows.reshape(-1, 1, side), (half, half), mode="reflect") if half else rows.reshape(-1, 1, side)
        x = F.conv1d(padded, (taps / taps.sum()).to(x)[None, None]).reshape(rows.shape).movedim(-1, axis)
    return x


FILLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mean": _mean,  # zero after normalisation: the mean colour of the training images
    "black": _black,
    "blur": _blur(50),  # 51 pixels, sigma 50, as in the insertion of Fusion-CAM's authors and in Group-CAM
    "light-blur": _blur(25),
}
# a callable makes what shows from the images (B, C, *s) and the masks (B, *s) in front of it
Fill = str | Tensor | Callable[[Tensor, Tensor], Tensor]


def select_images(x: Tensor, image: Tensor) -> Tensor:
    """Return the images ``(B, C, *s)`` at the indices ``image`` ``(B,)``, a view if ``x`` is one image."""
    return x.expand(len(image), *x.shape[1:]) if len(x) == 1 else x[image]


def blend(x: Tensor, masks: Tensor, background: Tensor) -> Tensor:
    """Show ``x`` ``(B, C, *s)`` where the masks ``(B, *s)`` are 1 and the background where they are 0."""
    return torch.lerp(background, x, masks[:, None].to(x.dtype))
