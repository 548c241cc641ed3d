"""What is multiplied onto pixels, and what shows where it is 0.

A mask source is anything with a ``shape`` of ``(M, N, *size)`` that gives the masks ``(B, *size)`` at
``source[m, n]``, ``m`` and ``n`` being index tensors ``(B,)``: a plain tensor is one, and so is a class below
that makes its masks when asked, so that they never live together. ``alive``, if the source has it, is an
``(M, N)`` boolean: a False asks for no pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from .errors import ShapeError
from .maps import is_flat, minmax, upsample


class MaskSource(Protocol):
    """Masks made when asked: see the module's docstring."""

    @property
    def shape(self) -> Sequence[int]:
        """``(M, N, *size)``."""

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor: ...


@runtime_checkable
class Living(Protocol):
    """A mask source that knows which of its masks are worth a pass."""

    alive: Tensor


class ChannelMasks:
    """Every channel of activations ``(N, K, *s)`` as a mask in [0, 1] of the input's size (Score-CAM, eq. 4).

    ``normalise="after"`` stretches a channel to [0, 1] after it is brought to ``size``, as the paper does,
    ``"before"`` stretches it first. A constant channel is not alive: as a mask it would be empty.
    """

    def __init__(self, activations: Tensor, size: Sequence[int], normalise: str = "after") -> None:
        pictures, channels = activations.shape[:2]
        self.shape = (channels, pictures, *size)
        self.alive = ~is_flat(activations.flatten(0, 1)).reshape(pictures, channels).T
        self._maps = activations
        self._before = normalise == "before"

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        channel, picture = where
        maps, size = self._maps[picture, channel], self.shape[2:]
        return upsample(minmax(maps), size) if self._before else minmax(upsample(maps, size))


def alive_pairs(masks: MaskSource) -> Tensor:
    """List the ``(m, n)`` that need a pass, ``(J, 2)``, picture by picture."""
    if isinstance(masks, Living):
        return masks.alive.T.nonzero().flip(1)
    return torch.ones(masks.shape[1], masks.shape[0]).nonzero().flip(1)


def _black(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (-mean / std).expand_as(x)


def _mean(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return torch.zeros_like(x)


def _blur(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    if x.dim() != 4:
        raise ShapeError(f"fill 'blur' needs pictures (N, C, H, W), got {tuple(x.shape)}: use 'mean' or 'black'")
    sides = [min(51, side if side % 2 else side - 1) for side in (x.shape[3], x.shape[2])]
    blurred: Tensor = gaussian_blur(x, kernel_size=sides, sigma=[50.0, 50.0])
    return blurred


FILLS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mean": _mean,  # zero after normalisation: the mean colour of the training pictures
    "black": _black,
    "blur": _blur,  # 51 pixels, sigma 50, as in the insertion of Fusion-CAM's authors
}


def blend(x: Tensor, masks: Tensor, background: Tensor) -> Tensor:
    """Show ``x`` ``(B, C, *s)`` where the masks ``(B, *s)`` are 1 and the background where they are 0."""
    return torch.lerp(background, x, masks[:, None].to(x.dtype))
