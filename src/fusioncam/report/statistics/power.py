"""Power: how many images a paired comparison needs, and how small a difference so many images can show."""

from __future__ import annotations

from math import ceil, inf, sqrt

import numpy as np
from numpy.typing import ArrayLike

from fusioncam.report.statistics.intervals import scipy_stats
from fusioncam.report.statistics.paired_tests import ALPHA

POWER = 0.8
# Wilcoxon's test needs pi / 3 times as many normal differences as the t test (asymptotic relative efficiency)
_WILCOXON = np.pi / 3


def images_needed(
    change: ArrayLike, size: float, *, rate: bool = False, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return how many images a paired test needs to find a mean difference of ``size`` with a probability ``power``.

    ``change`` are differences of two methods over some images, of a pilot study or of a run: their spread is assumed,
    not their mean. The test is two-sided at the level ``alpha``: Wilcoxon's, by the normal approximation and its
    relative efficiency for normal differences, or McNemar's for a ``rate`` (Connor 1987). Divide ``alpha`` by the
    number of comparisons for Holm's first step. NaN for fewer than two differences, and infinity for a size of 0.

    >>> images_needed([-1.0, 1.0, -1.0, 1.0], size=0.5)
    44.0
    """
    defined = _defined(change)
    if len(defined) < 2:
        return np.nan
    if size == 0:
        return inf
    high, wanted = _quantiles(power, alpha)
    if rate:
        discordant = max(float(np.mean(defined != 0)), abs(size))
        needed = ((high * sqrt(discordant) + wanted * sqrt(discordant - size**2)) / size) ** 2
    else:
        needed = _WILCOXON * ((high + wanted) * float(defined.std(ddof=1)) / size) ** 2
    return float(max(2, ceil(needed)))


def detectable_difference(
    change: ArrayLike, *, rate: bool = False, images: int | None = None, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Return the smallest mean difference that a paired test of so many images finds with a probability ``power``.

    ``images`` is by default the number of differences. This is the inverse of :func:`images_needed`. A difference in
    a run that is smaller than this may well be missed: its p-value is then no sign of equality.

    >>> round(detectable_difference([-1.0, 1.0, -1.0, 1.0], images=44), 2)
    0.5
    """
    defined = _defined(change)
    count = len(defined) if images is None else images
    if len(defined) < 2 or count < 1:
        return np.nan
    high, wanted = _quantiles(power, alpha)
    if not rate:
        return float((high + wanted) * defined.std(ddof=1) * sqrt(_WILCOXON / count))
    discordant = float(np.mean(defined != 0))
    # the root of Connor's formula for the size
    return float(sqrt(discordant) * _root(high, wanted, count)) if discordant else 0.0


def _root(high: float, wanted: float, count: int) -> float:
    """Return the positive r with ``r sqrt(count) = high + wanted sqrt(1 - r ** 2)``, at most 1."""
    total = count + wanted**2
    root = (high * sqrt(count) + wanted * sqrt(max(0.0, total - high**2))) / total
    return min(1.0, root)


def _quantiles(power: float, alpha: float) -> tuple[float, float]:
    normal = scipy_stats().norm
    return float(normal.isf(alpha / 2)), float(normal.ppf(power))


def _defined(change: ArrayLike) -> np.ndarray:
    values = np.asarray(change, np.float64)
    return values[~np.isnan(values)]
