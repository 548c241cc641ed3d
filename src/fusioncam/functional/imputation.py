"""What shows where pixels are removed by ROAD: noisy linear imputation (Rong et al. 2022, arXiv 2202.00449).

A removed pixel is the weighted mean of its neighbours, removed ones among them: a sparse linear system. Neighbours
weigh half as much for every side in which they differ, so in an image 1/6 beside and 1/12 across a corner, as in the
paper. The system is solved on the pixels themselves, for all channels at once and wherever the network is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import expand_like, precise

# of the residual, by the norm of the right-hand side; steps that no image needs
_TOLERANCE, _MOST_STEPS = 1e-5, 200


@dataclass(frozen=True)
class Imputation:
    """A fill for masked passes: removed pixels imputed from those that are left, plus a little noise.

    The noise is normal of deviation ``noise``, in units of the network's input, and by ``seed`` the same for every
    image: without it a network could tell imputed pixels by their smoothness. Where no pixel is left there is
    nothing to impute from, and the mean colour shows.
    """

    noise: float = 0.01
    seed: int = 0

    def __call__(self, x: Tensor, masks: Tensor) -> Tensor:
        """Give pixels ``(B, C, *s)`` for where the masks ``(B, *s)`` of the images ``x`` are 0."""
        drawn = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(self.seed)).to(x)
        return imputed(x, masks != 0) + self.noise * drawn


def imputed(x: Tensor, known: Tensor) -> Tensor:
    """Give the images ``(B, C, *s)`` with linearly imputed pixels where ``known`` ``(B, *s)`` is False.

    >>> known = torch.tensor([[True, False, False, True]])
    >>> imputed(torch.tensor([[[0.0, 9.0, 9.0, 3.0]]]), known).round(decimals=3).tolist()
    [[[0.0, 1.0, 2.0, 3.0]]]
    """
    missing = (~known)[:, None].to(precise(x))
    seen = precise(x) * (1 - missing)
    total = neighbours(torch.ones_like(missing))  # at the border fewer neighbours share the weight
    share = _share(missing)
    own, near = missing * (total + share), missing * share

    def system(pixels: Tensor) -> Tensor:
        return own * pixels - near * _spread(pixels)

    return (seen + _solve(system, near * _spread(seen), _levels(missing, total))).to(x.dtype)


def neighbours(pixels: Tensor) -> Tensor:
    """Give the weighted sum of each pixel's neighbours ``(B, C, *s)``; the weights sum to 1 inside.

    >>> neighbours(torch.eye(3)[None, None])[0, 0, 1].mul(12).round().tolist()
    [4.0, 2.0, 4.0]
    """
    return (_spread(pixels) - pixels) * _share(pixels)


def _share(pixels: Tensor) -> float:
    """Give the factor with which the weights of all neighbours in :func:`_spread` sum to 1."""
    return 1 / float(2 ** (pixels.dim() - 2) - 1)


def _spread(pixels: Tensor) -> Tensor:
    """Add to each pixel half of its neighbours, side by side."""
    for axis in range(2, pixels.dim()):
        length = pixels.shape[axis] - 1
        spread = pixels.clone()
        spread.narrow(axis, 0, length).add_(pixels.narrow(axis, 1, length), alpha=0.5)
        spread.narrow(axis, 1, length).add_(pixels.narrow(axis, 0, length), alpha=0.5)
        pixels = spread
    return pixels


# -- conjugate gradients, preconditioned on all scales -----------------------------------------------------------


def _solve(system: Callable[[Tensor], Tensor], right: Tensor, levels: list[Tensor]) -> Tensor:
    """Solve the symmetric system for each channel by itself: what is solved rests, whatever else is in the batch."""
    answer, residual, direction = torch.zeros_like(right), right.clone(), torch.zeros_like(right)
    enough = _TOLERANCE**2 * _dot(right, right)
    before = torch.ones_like(enough)
    for _ in range(_MOST_STEPS):
        active = _dot(residual, residual) > enough
        if not active.any():
            break
        towards = _all_scales(residual, levels)
        along = _dot(residual, towards)
        ratio = torch.where(active, along / before, 0)
        direction = torch.addcmul(towards, expand_like(ratio, towards), direction)
        image = system(direction)
        step = expand_like(torch.where(active, along / _dot(direction, image), 0), right)
        answer.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        before = along
    return answer


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).flatten(2).sum(2)


def _all_scales(residual: Tensor, levels: list[Tensor]) -> Tensor:
    """Precondition: at each scale divide by what a hat function there costs, and add up (Bramble et al. 1990)."""
    coarse = [residual]
    for _ in levels[1:]:
        coarse.append(_coarser(coarse[-1]))
    total = coarse[-1] * levels[-1]
    for values, level in zip(coarse[-2::-1], levels[-2::-1], strict=True):
        total = torch.addcmul(_finer(total, values), values, level)
    return torch.where(levels[0] > 0, total, 0)


def _coarser(pixels: Tensor) -> Tensor:
    return _spread(_levelled(pixels.clone()))[_every_second(pixels)]


def _finer(pixels: Tensor, like: Tensor) -> Tensor:
    between = torch.zeros_like(like)
    between[_every_second(like)] = pixels
    return _levelled(_spread(between))


def _levelled(pixels: Tensor) -> Tensor:
    """Let the last pixel of an even side have all of its one neighbour: a constant stays one up to the border."""
    for axis in range(2, pixels.dim()):
        if pixels.shape[axis] % 2 == 0:
            pixels.narrow(axis, -1, 1).mul_(2)
    return pixels


def _every_second(pixels: Tensor) -> tuple[slice, ...]:
    return (slice(None), slice(None), *[slice(None, None, 2)] * (pixels.dim() - 2))


def _levels(missing: Tensor, total: Tensor) -> list[Tensor]:
    """Give one over what a hat function of each scale costs: at pixels that are known, and by its slope elsewhere."""
    sides = missing.dim() - 2
    slope = _share(missing) * sides * (4 / 3) ** (sides - 1)
    levels = [missing / total]
    held, spread, scale = missing * (total - neighbours(missing)), missing, 1.0
    while max(held.shape[2:]) > 2:
        held, spread, scale = _coarser(held), _coarser(spread), scale / 4
        cost = (2 / 3) ** sides * held + slope * scale * spread
        levels.append(torch.where(cost > 0, 1 / cost, 0))
    return levels
