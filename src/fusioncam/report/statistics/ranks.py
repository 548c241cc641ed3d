"""Ranks of methods over images: Friedman's test and Nemenyi's critical difference, as in Demsar 2006."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fusioncam.report.statistics.intervals import LEVEL, Values, scipy_stats


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of methods, 1 being the best, over the ``count`` images where all of them have a value.

    ``p`` is the p-value of Friedman's test: small if not all methods perform alike. Two mean ranks that differ by
    more than ``critical_difference`` differ at the 5 % level (Nemenyi).
    """

    mean: Values
    p: float
    critical_difference: float
    count: int


def rank_methods(values: ArrayLike, *, higher_is_better: bool) -> Ranks | None:
    """Rank the columns of values ``(P, M)`` on every image (Friedman 1937; Nemenyi's test after Demsar 2006).

    Values that are equal to six significant digits share their ranks. Return None for fewer than three columns or
    fewer than two images without NaN.
    """
    values = np.asarray(values, np.float64)
    complete = values[~np.isnan(values).any(axis=1)]
    count, methods = complete.shape
    if methods < 3 or count < 2:
        return None
    rounded = round_to_six_digits(complete if not higher_is_better else -complete)
    ranks = scipy_stats().rankdata(rounded, axis=1)
    all_equal = bool(np.all(ranks == ranks[:, :1]))
    p = 1.0 if all_equal else float(scipy_stats().friedmanchisquare(*rounded.T).pvalue)
    return Ranks(ranks.mean(0), p, critical_difference(methods, count), count)


def critical_difference(methods: int, images: int) -> float:
    """Return by how much two mean ranks must differ to be different at the 5 % level (Demsar 2006, section 3.2.2)."""
    q = scipy_stats().studentized_range.ppf(LEVEL, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * images)))


def cliques(ranks: ArrayLike, distance: float) -> list[tuple[int, ...]]:
    """List the maximal groups of two or more methods whose mean ranks lie within a distance, best first.

    >>> cliques([1.0, 3.5, 2.0, 2.5], 1.0)
    [(0, 2), (2, 3), (3, 1)]
    """
    ranks = np.asarray(ranks, np.float64)
    order = np.argsort(ranks, kind="stable")
    ends = [int(np.searchsorted(ranks[order], ranks[index] + distance, side="right")) for index in order]
    # a group that ends where an earlier one ends is a part of it
    starts = [start for start in range(len(order)) if start == 0 or ends[start] > ends[start - 1]]
    return [tuple(map(int, order[start : ends[start]])) for start in starts if ends[start] - start > 1]


def round_to_six_digits(values: Values) -> Values:
    """Round to six significant digits."""
    size = np.abs(values)
    unit = 10.0 ** (np.floor(np.log10(size, where=size > 0, out=np.zeros_like(size))) - 5)
    return np.round(values / unit) * unit
