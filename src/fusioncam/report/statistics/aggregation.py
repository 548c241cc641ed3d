"""Ranks over several networks, data sets and metrics, and how far these agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fusioncam.report.statistics.intervals import Values, scipy_stats
from fusioncam.report.statistics.ranks import Ranks, rank_methods


@dataclass(frozen=True)
class AggregatedRanks:
    """The ranks of methods over several settings: a setting is one metric on one network and data set.

    ``ranks`` holds the mean rank of each method over settings, Friedman's test and Nemenyi's critical difference,
    with settings in place of images. ``deviation`` is the standard deviation of a method's ranks over settings.
    ``agreement`` is Kendall's W: 1 if all settings rank the methods alike, and near 0 if they have nothing in common.
    """

    ranks: Ranks
    deviation: Values
    agreement: float


def aggregate_ranks(mean_ranks: ArrayLike) -> AggregatedRanks | None:
    """Aggregate the mean ranks ``(S, M)`` of M methods in S settings.

    Return None for fewer than three methods or fewer than two settings without NaN. The methods are ranked again in
    each setting, so that all settings count alike, whatever their numbers of images. Settings that share images or
    networks are not independent, so that p-values and critical differences are too small: they describe these
    settings, as the tables of LATEC do (NeurIPS 2024).
    """
    values = np.asarray(mean_ranks, np.float64)
    ranks = rank_methods(values, higher_is_better=False)
    if ranks is None:
        return None
    complete = values[~np.isnan(values).any(axis=1)]
    again = scipy_stats().rankdata(complete, axis=1)
    return AggregatedRanks(ranks, again.std(axis=0, ddof=1), kendall_w(again))


def kendall_w(ranks: ArrayLike) -> float:
    """Return Kendall's coefficient of concordance of ranks ``(S, M)``, corrected for ties; NaN if all are tied.

    >>> kendall_w([[1, 2, 3], [1, 2, 3]]), kendall_w([[1, 2, 3], [3, 2, 1]])
    (1.0, 0.0)
    """
    ranks = np.asarray(ranks, np.float64)
    settings, methods = ranks.shape
    spread = float(((ranks.sum(0) - settings * (methods + 1) / 2) ** 2).sum())
    tied = sum(_ties(row) for row in ranks)
    most = settings**2 * (methods**3 - methods) - settings * tied
    return 12 * spread / most if most else np.nan


def _ties(ranks: Values) -> float:
    counts = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    return float((counts**3 - counts).sum())


def disagreements(mean_ranks: ArrayLike, names: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return the rank correlation of each pair of settings ``(S, M)``, by their names, the least similar pair first.

    >>> disagreements([[1, 2, 3], [1, 2, 3], [3, 2, 1]], ["a", "b", "c"])[0]
    ('a', 'c', -1.0)
    """
    values = np.asarray(mean_ranks, np.float64)
    pairs = [
        (names[first], names[second], float(scipy_stats().spearmanr(values[first], values[second]).statistic))
        for first in range(len(values))
        for second in range(first + 1, len(values))
    ]
    return sorted(pairs, key=lambda pair: pair[2])
