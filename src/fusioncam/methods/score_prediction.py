"""Score a well-chosen few of many masks, and know the rest.

A mask of a 7 x 7 layer is a point in 49 dimensions, and the score is a smooth function of it, with some noise. Some
masks are scored, the others predicted by a Gaussian process. Those that would leave the *map* least uncertain are
scored, a few at a time, so that what is found decides what is asked for next. Deterministic, and image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.errors import UnknownNameError, require_count
from fusioncam.functional.gaussian_process import Kernel, choose, predict
from fusioncam.functional.heatmaps import minmax, relu_above_rounding, weighted_sum

AUTO = "auto"
# masks are compared at so many places a side: finer detail hardly moves the score
_SIDE = 7
# a budget is spent in so many rounds; "auto" adds so many masks a round
_ROUNDS, _ROUND = 4, 24


def require_budget(budget: object, tolerance: float) -> None:
    """Raise :class:`UnknownNameError` unless the budget is "auto", a whole number above 0 or None."""
    if isinstance(budget, str) and budget != AUTO:
        raise UnknownNameError(f"budget is a whole number above 0 or '{AUTO}', got {budget!r}")
    if budget is not None and budget != AUTO:
        require_count("budget", budget)
    if not tolerance > 0:
        raise UnknownNameError(f"tolerance is a number above 0, got {tolerance!r}")


def estimate(
    score: Callable[[Tensor], Tensor],
    weights: Callable[[Tensor], Tensor],
    activations: Tensor,
    active: Tensor,
    budget: int | str,
    tolerance: float,
) -> Tensor:
    """Give scores ``(N, K)`` of all living channels, of which at most ``budget`` an image are asked for.

    ``score(chosen)`` gives the scores ``(N, K)`` of the channels that are True, ``weights(scores)`` the weights that
    scores come to. With "auto" masks are added to an image until the error of its map is under ``tolerance``: see
    :func:`map_error`.
    """
    points = [_points(one, lives) for one, lives in zip(activations, active, strict=True)]
    maps = [_pooled(one[lives]) for one, lives in zip(activations, active, strict=True)]
    kernels = [Kernel()] * len(active)
    known, before = torch.zeros_like(active), active.to(activations)
    scores = complete = torch.full_like(before, torch.nan)
    wanted = _wanted(active, known, budget)
    while wanted.any():
        fresh = torch.zeros_like(active)
        for n in wanted.nonzero()[:, 0].tolist():
            lives = active[n]
            effects = before[n, lives, None] * maps[n]
            fresh[n, lives] = choose(points[n], effects, known[n, lives], int(wanted[n]), kernels[n])
        known = known | fresh
        scores = torch.where(fresh, score(fresh), scores)
        complete = _completed(points, scores, known, active, kernels)
        after = weights(complete)
        unfinished = fresh.any(1)
        if budget == AUTO and not fresh.equal(known):
            unfinished &= map_error(activations, before, after, known, fresh) > tolerance
        before, wanted = after, _wanted(active, known, budget).where(unfinished, 0)
    return complete


def _completed(
    points: Sequence[Tensor], scores: Tensor, known: Tensor, active: Tensor, kernels: list[Kernel]
) -> Tensor:
    """Predict the living scores ``(N, K)`` that are not known, and renew the kernels."""
    complete = scores.clone()
    for n in known.any(1).nonzero()[:, 0].tolist():
        mine = points[n][known[n, active[n]]]
        predicted, kernels[n] = predict(mine, scores[n, known[n]].double(), points[n])
        complete[n, active[n]] = predicted.to(scores)
    return torch.where(known, scores, complete)


def _wanted(active: Tensor, known: Tensor, budget: int | str) -> Tensor:
    """Give how many masks to score next of each image, ``(N,)``; all at once where the budget has as many."""
    left = (active & ~known).sum(1)
    if isinstance(budget, str):
        return left.clamp(max=_ROUND)
    some = torch.minimum(left, budget - known.sum(1)).clamp(max=-(-budget // _ROUNDS))
    return torch.where(active.sum(1) <= budget, left, some)


def map_error(activations: Tensor, before: Tensor, after: Tensor, known: Tensor, fresh: Tensor) -> Tensor:
    """Estimate the error of each image's map ``(N,)``, in units of the map's own deviation.

    The masks of the last round, ``fresh``, were predicted before they were scored. By as large a share as these
    weights ``(N, K)`` changed those that are not ``known`` yet are taken to be wrong, independently of each other:
    so the root of the sum of their squares, each times how much its channel varies, is the error of the sum of
    channels. Its deviation counts after the ReLU. An error of 0.1 goes with a correlation of about 0.995.
    """
    varies = activations.flatten(2).std(2, correction=0)
    wrong, right, unknown = (
        torch.where(which, weight * varies, 0).norm(dim=1)
        for which, weight in ((fresh, before - after), (fresh, after), (~known, after))
    )
    deviation = relu_above_rounding(weighted_sum(activations, after)).flatten(1).std(1, correction=0)
    error: Tensor = wrong / right * unknown / deviation
    return error.nan_to_num(nan=torch.inf, posinf=torch.inf).where(unknown > 0, 0)


def _points(activations: Tensor, active: Tensor) -> Tensor:
    """Give the masks of one image's living channels ``(K, *s)`` as points ``(L, D)``, their distances about 1.

    A place counts by the energy of the activations there: what a mask shows of an empty place moves no score.
    """
    energy = activations.square().sum(0, keepdim=True)
    points = _pooled(minmax(activations[active])) * _pooled(energy / energy.max())
    apart = (2 * (points - points.mean(0)).square().sum(1).mean()).sqrt()  # the root mean square over all pairs
    return points / torch.where(apart > 0, apart, 1)


def _pooled(maps: Tensor) -> Tensor:
    """Give maps ``(K, *s)`` as rows ``(K, D)`` of at most so many places a side."""
    sides = tuple(min(side, _SIDE) for side in maps.shape[1:])
    pools: list[Callable[..., Tensor]] = [F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d]
    return pools[len(sides) - 1](maps[:, None], sides).reshape(len(maps), prod(sides)).double()
