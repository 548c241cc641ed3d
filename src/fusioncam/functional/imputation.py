"""Noisy linear imputation, which ROAD shows in place of removed pixels (Rong et al. 2022, arXiv 2202.00449).

A removed pixel is the weighted mean of its neighbours, including removed ones: a sparse linear system. The weight of
a neighbour halves with every axis in which it differs; in an image it is 1/6 for a neighbour on a side and 1/12 for
one on a corner, as in the paper. The system is solved for all channels at once, on the device of the images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import expand_like, precise

# stop when the residual is below this fraction of the right-hand side, or after more steps than any image needs
_TOLERANCE, _MAX_STEPS = 1e-5, 200


@dataclass(frozen=True)
class Imputation:
    """A fill for masked passes: removed pixels are imputed from the others, plus a little noise.

    The noise is normal with the standard deviation ``noise``, in units of the network's input, and drawn from
    ``seed``, the same for every image. Without noise a network could recognise imputed pixels by their smoothness.
    Where no pixel is left to impute from, the mean colour is shown.
    """

    noise: float = 0.01
    seed: int = 0

    def __call__(self, x: Tensor, masks: Tensor) -> Tensor:
        """Return pixels ``(B, C, *s)`` for where the masks ``(B, *s)`` of the images ``x`` are 0."""
        noise = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(self.seed)).to(x)
        return impute_linearly(x, masks != 0) + self.noise * noise


def impute_linearly(x: Tensor, known: Tensor) -> Tensor:
    """Return the images ``(B, C, *s)`` with linearly imputed pixels where ``known`` ``(B, *s)`` is False.

    >>> known = torch.tensor([[True, False, False, True]])
    >>> impute_linearly(torch.tensor([[[0.0, 9.0, 9.0, 3.0]]]), known).round(decimals=3).tolist()
    [[[0.0, 1.0, 2.0, 3.0]]]
    """
    missing = (~known)[:, None].to(precise(x))
    kept = precise(x) * (1 - missing)
    total = neighbour_mean(torch.ones_like(missing))  # below 1 at the border, where neighbours are missing
    share = _share(missing)
    diagonal, off_diagonal = missing * (total + share), missing * share

    def system(pixels: Tensor) -> Tensor:
        return diagonal * pixels - off_diagonal * _spread(pixels)

    return (kept + _solve(system, off_diagonal * _spread(kept), _levels(missing, total))).to(x.dtype)


def neighbour_mean(pixels: Tensor) -> Tensor:
    """Return the weighted sum of each pixel's neighbours ``(B, C, *s)``; away from the border the weights sum to 1.

    >>> neighbour_mean(torch.eye(3)[None, None])[0, 0, 1].mul(12).round().tolist()
    [4.0, 2.0, 4.0]
    """
    return (_spread(pixels) - pixels) * _share(pixels)


def _share(pixels: Tensor) -> float:
    """Return the factor that makes the weights of all neighbours in :func:`_spread` sum to 1."""
    return 1 / float(2 ** (pixels.dim() - 2) - 1)


def _spread(pixels: Tensor) -> Tensor:
    """Add half of both neighbours to each pixel, axis by axis."""
    for axis in range(2, pixels.dim()):
        length = pixels.shape[axis] - 1
        spread = pixels.clone()
        spread.narrow(axis, 0, length).add_(pixels.narrow(axis, 1, length), alpha=0.5)
        spread.narrow(axis, 1, length).add_(pixels.narrow(axis, 0, length), alpha=0.5)
        pixels = spread
    return pixels


# -- conjugate gradients with a multilevel preconditioner --------------------------------------------------------


def _solve(system: Callable[[Tensor], Tensor], right: Tensor, levels: list[Tensor]) -> Tensor:
    """Solve the symmetric system per channel; a channel that has converged stays fixed, so batches change nothing."""
    solution, residual, direction = torch.zeros_like(right), right.clone(), torch.zeros_like(right)
    threshold = _TOLERANCE**2 * _dot(right, right)
    previous = torch.ones_like(threshold)
    for _ in range(_MAX_STEPS):
        active = _dot(residual, residual) > threshold
        if not active.any():
            break
        preconditioned = _precondition(residual, levels)
        current = _dot(residual, preconditioned)
        ratio = torch.where(active, current / previous, 0)
        direction = torch.addcmul(preconditioned, expand_like(ratio, preconditioned), direction)
        product = system(direction)
        step = expand_like(torch.where(active, current / _dot(direction, product), 0), right)
        solution.addcmul_(step, direction)
        residual.addcmul_(step, product, value=-1)
        previous = current
    return solution


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).flatten(2).sum(2)


def _precondition(residual: Tensor, levels: list[Tensor]) -> Tensor:
    """Divide by the energy of a hat function at each scale, and add up all scales (Bramble et al. 1990)."""
    scales = [residual]
    for _ in levels[1:]:
        scales.append(_coarser(scales[-1]))
    total = scales[-1] * levels[-1]
    for values, level in zip(scales[-2::-1], levels[-2::-1], strict=True):
        total = torch.addcmul(_finer(total, values), values, level)
    return torch.where(levels[0] > 0, total, 0)


def _coarser(pixels: Tensor) -> Tensor:
    return _spread(_double_last(pixels.clone()))[_every_second(pixels)]


def _finer(pixels: Tensor, like: Tensor) -> Tensor:
    between = torch.zeros_like(like)
    between[_every_second(like)] = pixels
    return _double_last(_spread(between))


def _double_last(pixels: Tensor) -> Tensor:
    """Double the last pixel of an even side, which has one neighbour: a constant then stays one up to the border."""
    for axis in range(2, pixels.dim()):
        if pixels.shape[axis] % 2 == 0:
            pixels.narrow(axis, -1, 1).mul_(2)
    return pixels


def _every_second(pixels: Tensor) -> tuple[slice, ...]:
    return (slice(None), slice(None), *[slice(None, None, 2)] * (pixels.dim() - 2))


def _levels(missing: Tensor, total: Tensor) -> list[Tensor]:
    """Return the inverse energy of a hat function per scale: of its value next to known pixels, else of its slope."""
    sides = missing.dim() - 2
    slope = _share(missing) * sides * (4 / 3) ** (sides - 1)
    levels = [missing / total]
    boundary, spread, scale = missing * (total - neighbour_mean(missing)), missing, 1.0
    while max(boundary.shape[2:]) > 2:
        boundary, spread, scale = _coarser(boundary), _coarser(spread), scale / 4
        energy = (2 / 3) ** sides * boundary + slope * scale * spread
        levels.append(torch.where(energy > 0, 1 / energy, 0))
    return levels
