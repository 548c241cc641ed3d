"""Score a few well-chosen masks and predict the scores of the others.

A mask of a 7 x 7 layer is a point in 49 dimensions, and its score is a smooth function of that point plus some noise.
Some masks are scored, and a Gaussian process predicts the scores of the others. In each round the masks are scored
that would reduce the uncertainty of the *map* most, so that every choice uses the scores known so far. The procedure
is deterministic and treats each image independently. In a clip it starts from the scores of the frame before, see
:func:`fusioncam.inference.context.following_images`: what is predicted is then how much they have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from fusioncam.errors import SettingError, require_count, require_number
from fusioncam.functional.gaussian_process import Kernel, predict, select_points
from fusioncam.functional.heatmaps import minmax, pooled, relu_above_rounding, weighted_sum
from fusioncam.inference.context import current_context

AUTO = "auto"
# masks are compared at this many locations per side, because finer detail has little effect on the score
_SIDE = 7
# a budget is spent in this many rounds, fewer if the scores of a similar image are known; "auto" scores this many
# masks per round
_ROUNDS, _ROUNDS_AFTER, _MASKS_PER_ROUND = 4, 2, 24


def require_budget(budget: object, tolerance: float) -> None:
    """Raise :class:`SettingError` unless the budget is "auto", None or a positive integer, and the tolerance > 0."""
    if isinstance(budget, str) and budget != AUTO:
        raise SettingError(f"budget must be a positive integer or '{AUTO}', got {budget!r}")
    if budget is not None and budget != AUTO:
        require_count("budget", budget)
    require_number("tolerance", tolerance, 0, above=True)


class HasBudget(Protocol):
    """A method that scores at most ``budget`` masks, or with "auto" until the error is at most ``tolerance``."""

    @property
    def budget(self) -> int | str | None:
        """The number of masks, "auto", or None for all."""
        ...

    @property
    def tolerance(self) -> float:
        """The error of the map, in units of its standard deviation."""
        ...


def score_within_budget(
    method: HasBudget,
    score: Callable[[Tensor], Tensor],
    weights: Callable[[Tensor], Tensor],
    activations: Tensor,
    active: Tensor,
) -> Tensor:
    """Return the scores ``(N, K)`` of the active channels; those beyond the method's budget are predicted.

    The frames of a clip start from the scores of the frame before, if that had as many channels.
    """
    if method.budget is None:
        return score(active)
    last = current_context().last_scores
    prior = None if last is None else last.get(method)
    if prior is not None and prior.shape != active.shape:  # of another network or layer
        prior = None
    scores = estimate(score, weights, activations, active, method.budget, method.tolerance, prior)
    if last is not None:
        last[method] = scores
    return scores


def estimate(
    score: Callable[[Tensor], Tensor],
    weights: Callable[[Tensor], Tensor],
    activations: Tensor,
    active: Tensor,
    budget: int | str,
    tolerance: float,
    prior: Tensor | None = None,
) -> Tensor:
    """Return scores ``(N, K)`` of all active channels, of which at most ``budget`` per image are computed.

    ``score(chosen)`` returns the scores ``(N, K)`` of the channels that are True in ``chosen``; ``weights(scores)``
    returns the weights of the channels. With the budget "auto", masks of an image are scored until the error of its
    map is at most ``tolerance``, see :func:`map_error`. Scores of inactive channels are NaN. ``prior`` ``(N, K)`` are
    the scores of similar images, NaN where they are not known.
    """
    points = [_points(maps, mask) for maps, mask in zip(activations, active, strict=True)]
    effects = [_pooled(maps[mask]) for maps, mask in zip(activations, active, strict=True)]
    kernels = [Kernel()] * len(active)
    known, start = torch.zeros_like(active), _without_gaps(prior, activations)
    before = active.to(activations) if prior is None else weights(start)
    scores = complete = torch.full_like(before, torch.nan)
    rounds = _ROUNDS if prior is None else _ROUNDS_AFTER
    counts = _next_counts(active, known, budget, rounds)
    while counts.any():
        fresh = torch.zeros_like(active)
        for n in counts.nonzero()[:, 0].tolist():
            mask = active[n]
            weighted = before[n, mask, None] * effects[n]
            fresh[n, mask] = select_points(points[n], weighted, known[n, mask], int(counts[n]), kernels[n])
        known = known | fresh
        scores = torch.where(fresh, score(fresh), scores)
        complete = _completed(points, scores, known, active, kernels, start)
        after = weights(complete)
        unfinished = fresh.any(1)
        if budget == AUTO and not fresh.equal(known):
            unfinished &= map_error(activations, before, after, known, fresh) > tolerance
        before, counts = after, _next_counts(active, known, budget, rounds).where(unfinished, 0)
    return complete


def _completed(
    points: Sequence[Tensor], scores: Tensor, known: Tensor, active: Tensor, kernels: list[Kernel], start: Tensor
) -> Tensor:
    """Return the scores ``(N, K)`` with predictions for the unknown active ones; update ``kernels`` in place.

    What is predicted is the difference from ``start`` if the known scores vary less from it than by themselves: it
    may be of another scene.
    """
    complete = scores.clone()
    for n in known.any(1).nonzero()[:, 0].tolist():
        scored = points[n][known[n, active[n]]]
        values, expected = scores[n, known[n]], start[n]
        if (values - expected[known[n]]).std(correction=0) >= values.std(correction=0):
            expected = torch.zeros_like(expected)
        predicted, kernels[n] = predict(scored, (values - expected[known[n]]).double(), points[n])
        complete[n, active[n]] = expected[active[n]] + predicted.to(scores)
    return torch.where(known, scores, complete)


def _without_gaps(prior: Tensor | None, activations: Tensor) -> Tensor:
    """Return the scores ``(N, K)`` to start from: the prior with its mean in place of NaN, or zeros without one."""
    if prior is None:
        return activations.new_zeros(activations.shape[:2])
    return torch.where(prior.isnan(), prior.nanmean(1, keepdim=True), prior).nan_to_num()


def _next_counts(active: Tensor, known: Tensor, budget: int | str, rounds: int) -> Tensor:
    """Return how many masks of each image to score next, ``(N,)``; all of them at once if the budget suffices."""
    left = (active & ~known).sum(1)
    if isinstance(budget, str):
        return left.clamp(max=_MASKS_PER_ROUND)
    counts = torch.minimum(left, budget - known.sum(1)).clamp(max=-(-budget // rounds))
    return torch.where(active.sum(1) <= budget, left, counts)


def map_error(activations: Tensor, before: Tensor, after: Tensor, known: Tensor, fresh: Tensor) -> Tensor:
    """Estimate the error of each image's map ``(N,)``, in units of the map's standard deviation.

    The masks of the last round, ``fresh``, were predicted before they were scored. The unknown weights ``(N, K)`` are
    assumed to have the same relative error as those predictions, independently of each other. The error of the sum of
    channels is therefore the root of the sum of the squared errors, each times the standard deviation of its channel.
    The standard deviation of the map is taken after the ReLU. An error of 0.1 corresponds to a correlation with the
    exact map of about 0.995.
    """
    deviations = activations.flatten(2).std(2, correction=0)
    change, scored, unknown = (
        torch.where(which, weight * deviations, 0).norm(dim=1)
        for which, weight in ((fresh, before - after), (fresh, after), (~known, after))
    )
    map_deviation = relu_above_rounding(weighted_sum(activations, after)).flatten(1).std(1, correction=0)
    error: Tensor = change / scored * unknown / map_deviation
    return error.nan_to_num(nan=torch.inf, posinf=torch.inf).where(unknown > 0, 0)


def _points(activations: Tensor, active: Tensor) -> Tensor:
    """Return the masks of one image's active channels ``(K, *s)`` as points ``(L, D)`` with distances of about 1.

    A location is weighted by the energy of the activations there, because masking an empty location has no effect on
    the score.
    """
    energy = activations.square().sum(0, keepdim=True)
    points = _pooled(minmax(activations[active])) * _pooled(energy / energy.max())
    distance = (2 * (points - points.mean(0)).square().sum(1).mean()).sqrt()  # root mean square over all pairs
    return points / torch.where(distance > 0, distance, 1)


def _pooled(maps: Tensor) -> Tensor:
    """Return maps ``(K, *s)`` as rows ``(K, D)``, pooled to at most ``_SIDE`` locations per side."""
    sides = tuple(min(side, _SIDE) for side in maps.shape[1:])
    return pooled(maps, sides).flatten(1).double()
