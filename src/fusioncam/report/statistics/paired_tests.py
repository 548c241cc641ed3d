"""Paired tests between methods over images, corrected for multiple comparisons, and the methods that lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from fusioncam.report.statistics.intervals import Interval, Values, interval, scipy_stats

ALPHA = 0.05


@dataclass(frozen=True)
class PairedComparison:
    """A method compared with a reference over the ``difference.count`` images where both have a value.

    ``difference`` is method minus reference, in the unit of the metric. ``wins``, ``ties``, ``losses`` and ``effect``
    (matched-pairs rank-biserial correlation, -1 to 1) are from the method's side: an effect above 0 means that the
    method is better, whichever direction the metric has. ``p`` is the p-value of this test alone, ``p_holm`` is
    corrected for all tests made together.
    """

    difference: Interval
    p: float
    p_holm: float
    effect: float
    wins: int
    ties: int
    losses: int
    test: str

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant after correction."""
        return self.p_holm < ALPHA


@dataclass(frozen=True)
class Leaders:
    """The column with the best mean and those that share the lead.

    ``tied`` columns do not differ significantly from the best one; without any, it leads alone. ``duplicates`` have
    the same values as the best one.
    """

    best: int | None
    tied: tuple[int, ...] = ()
    duplicates: tuple[int, ...] = ()


def compare(
    values: ArrayLike, reference: ArrayLike, *, higher_is_better: bool, rate: bool = False, seed: int = 0
) -> PairedComparison:
    """Compare a method's values with those of a reference, image by image.

    The test is Wilcoxon's signed-rank test with zeros treated after Pratt (1959): they take part in the ranking and
    then count for neither side, so that many ties weaken a few differences. For a ``rate`` it is McNemar's exact
    test, a binomial test on the images where the two disagree. ``p_holm`` equals ``p`` until
    :func:`compare_with_reference` corrects it.
    """
    change = differences(values, reference)
    defined = change[~np.isnan(change)]
    improvement = defined if higher_is_better else -defined
    wins, losses = int((improvement > 0).sum()), int((improvement < 0).sum())
    p = mcnemar(wins, losses) if rate else wilcoxon(defined)
    return PairedComparison(
        difference=interval(change, seed=seed),
        p=p,
        p_holm=p,
        effect=rank_biserial(improvement),
        wins=wins,
        ties=len(defined) - wins - losses,
        losses=losses,
        test="McNemar" if rate else "Wilcoxon",
    )


def compare_with_reference(
    values: ArrayLike, reference: int, *, higher_is_better: bool, rate: bool = False
) -> list[PairedComparison | None]:
    """Compare each column of values ``(P, M)`` with the column ``reference``; correct all tests together (Holm).

    The entry of the reference itself is None.
    """
    columns = np.asarray(values, np.float64).T
    compared = {
        index: compare(column, columns[reference], higher_is_better=higher_is_better, rate=rate)
        for index, column in enumerate(columns)
        if index != reference
    }
    corrected = holm([comparison.p for comparison in compared.values()])
    compared = {
        index: replace(comparison, p_holm=float(p))
        for (index, comparison), p in zip(compared.items(), corrected, strict=True)
    }
    return [compared.get(index) for index in range(len(columns))]


def find_leaders(values: ArrayLike, *, higher_is_better: bool, rate: bool = False) -> Leaders:
    """Find the column of values ``(P, M)`` with the best mean, and the columns that do not differ from it.

    A column differs if its paired test against the best one is significant after Holm's correction and favours the
    best one. Columns that are all NaN are ignored. A column with the best one's values on all images is the same
    method under another name, for example with a default setting written out: it counts as a duplicate. If all
    columns have the same values, they are tied.
    """
    columns = np.asarray(values, np.float64).T
    candidates = [index for index, column in enumerate(columns) if not np.isnan(column).all()]
    if not candidates:
        return Leaders(None)
    sign = 1 if higher_is_better else -1
    best = max(candidates, key=lambda index: sign * np.nanmean(columns[index]))
    margins = {index: sign * differences(columns[best], columns[index]) for index in candidates if index != best}
    duplicates = tuple(index for index, margin in margins.items() if not margin.any())
    rivals = {index: margin[~np.isnan(margin)] for index, margin in margins.items() if index not in duplicates}
    if not rivals:
        return Leaders(best, duplicates)
    return Leaders(best, _not_significantly_worse(rivals, rate), duplicates)


def _not_significantly_worse(margins: dict[int, Values], rate: bool) -> tuple[int, ...]:
    p_values = [
        mcnemar(int((margin > 0).sum()), int((margin < 0).sum())) if rate else wilcoxon(margin)
        for margin in margins.values()
    ]
    tests = zip(margins.items(), holm(p_values), strict=True)
    return tuple(index for (index, margin), p in tests if not (p < ALPHA and rank_biserial(margin) > 0))


def differences(values: ArrayLike, reference: ArrayLike) -> Values:
    """Subtract the reference; values that differ by no more than single-precision rounding count as equal.

    >>> differences([0.5, 0.25, 1.0], [0.25, 0.25 + 1e-9, float("nan")]).tolist()
    [0.25, 0.0, nan]
    """
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    equal = np.isclose(values, reference, rtol=1e-6, atol=1e-9)
    return np.where(equal, 0.0, values - reference)


def wilcoxon(change: Values) -> float:
    """Return the p-value of Wilcoxon's signed-rank test, zeros treated after Pratt.

    It is 1 if no value differs from zero, and NaN if there are no values.
    """
    if not np.any(change):
        return 1.0 if len(change) else np.nan
    return float(scipy_stats().wilcoxon(change, zero_method="pratt").pvalue)


def mcnemar(wins: int, losses: int) -> float:
    """Return the p-value of McNemar's exact test; 1 if there are neither wins nor losses.

    >>> mcnemar(3, 0)
    0.25
    """
    return float(scipy_stats().binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def rank_biserial(change: Values) -> float:
    """Return the matched-pairs rank-biserial correlation: (positive ranks - negative ranks) / all ranks.

    Values are ranked by size, zeros included (they favour neither side), so that one win among 99 ties has a small
    effect.

    >>> rank_biserial(np.array([1.0, -2.0, 3.0, 0.0]))
    0.3
    """
    if not len(change):
        return np.nan
    ranks = scipy_stats().rankdata(np.abs(change))
    return float((np.sign(change) * ranks).sum() / ranks.sum())


def holm(p_values: Sequence[float]) -> Values:
    """Correct the p-values of tests made together (Holm 1979); NaN does not count as a test.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]  # argsort puts NaN last
    corrected = np.full(len(values), np.nan)
    scaled = values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.maximum.accumulate(scaled).clip(max=1)
    return corrected
