"""What the values of many images say together: means with intervals, paired tests, ranks.

Numbers in, numbers out: an array holds one value an image, NaN where a metric is undefined. Methods are compared on
the images where both have a value. Everything is the same at every call: random numbers come from a seed.

Needs scipy, of the extra ``benchmark``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusioncam.utils.optional import extra

Values = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 0.05
RESAMPLES = 9999
BAND_RESAMPLES = 999


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` images and its 95 % interval; ``undefined`` images had no value.

    ``low`` and ``high`` are NaN where one image alone has a value, all three where none has.
    """

    mean: float
    low: float
    high: float
    count: int
    undefined: int = 0


@dataclass(frozen=True)
class PairedComparison:
    """A method beside a reference, over the ``difference.count`` images where both have a value.

    ``difference`` is method minus reference in the metric's own unit. ``wins``, ``ties``, ``losses`` and ``effect``
    (matched-pairs rank-biserial correlation, -1 to 1) are the method's: above 0 it is the better one, whichever
    direction the metric has. ``p`` is of one test, ``holm`` corrected for all tests made together.
    """

    difference: Interval
    p: float
    holm: float
    effect: float
    wins: int
    ties: int
    losses: int
    test: str

    @property
    def holds(self) -> bool:
        """Whether the difference is there, after correction."""
        return self.holm < ALPHA


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of methods, 1 the best, over the ``count`` images where all of them have a value.

    ``p`` is Friedman's: small where the methods are not all alike. Two mean ranks that differ by more than
    ``critical_difference`` differ at the 5 % level (Nemenyi).
    """

    mean: Values
    p: float
    critical_difference: float
    count: int


@dataclass(frozen=True)
class Leaders:
    """The method of the best mean, those that do not differ from it, and its ``twins``, of the very same values.

    Where nothing ``equals`` it, it leads alone, with its twins.
    """

    best: int | None
    equals: tuple[int, ...] = ()
    twins: tuple[int, ...] = ()


# -- means ---------------------------------------------------------------------------------------------------


def interval(values: ArrayLike, *, rate: bool = False, seed: int = 0) -> Interval:
    """Give the mean of the values that are not NaN, and its 95 % interval over images.

    The interval is the bias-corrected and accelerated bootstrap (BCa, Efron 1987) of 9,999 resamples, which suits
    skewed values such as drops. Where all values are equal there is nothing to resample: the interval is a point,
    but of a ``rate`` (values that can be 0 or 1 alone) Clopper and Pearson's exact one, since 0 of 10 images
    does not mean never.
    """
    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    count, undefined = len(known), len(values) - len(known)
    if count < 2:
        return Interval(float(known[0]) if count else np.nan, np.nan, np.nan, count, undefined)
    if np.all(known == known[0]):
        low, high = exact(known) if rate else (known[0], known[0])
        return Interval(float(known[0]), float(low), float(high), count, undefined)
    low, high = bootstrapped(known, "BCa", RESAMPLES, seed)
    return Interval(float(known.mean()), float(low), float(high), count, undefined)


def band(curves: ArrayLike, seed: int = 0) -> tuple[Values, Values, Values]:
    """Give the mean of curves ``(P, T)`` and its 95 % band, ``(T,)`` each: mean, low, high.

    The band is the percentile bootstrap of 999 resamples of whole curves, point by point. A curve with NaN is left
    out; of fewer than two curves the band is NaN.
    """
    curves = np.asarray(curves, np.float64)
    known = curves[~np.isnan(curves).any(axis=1)]
    unknown = np.full(curves.shape[1], np.nan)
    if len(known) < 2:
        return (known.mean(0) if len(known) else unknown), unknown, unknown
    low, high = bootstrapped(known.T, "percentile", BAND_RESAMPLES, seed)
    return known.mean(0), low, high


def exact(values: Values) -> tuple[float, float]:
    """Give Clopper and Pearson's interval of a rate from its zeros and ones."""
    found = scipy_stats().binomtest(int(values.sum()), len(values)).proportion_ci(LEVEL, method="exact")
    return found.low, found.high


def bootstrapped(values: Values, kind: str, resamples: int, seed: int) -> tuple[Any, Any]:
    """Give the interval of means over the last axis; where BCa has none for want of spread, the percentiles."""
    # a hundred MiB at a time, however many the images
    settings = {"n_resamples": resamples, "confidence_level": LEVEL, "batch": max(1, 12_500_000 // values.size)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of that want
        found = scipy_stats().bootstrap(
            (values,), np.mean, axis=-1, method=kind, rng=np.random.default_rng(seed), **settings
        )
    low, high = found.confidence_interval
    if kind == "BCa" and not np.isfinite([low, high]).all():
        low, high = np.quantile(found.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    return low, high


# -- pairs ---------------------------------------------------------------------------------------------------


def compare(
    values: ArrayLike, reference: ArrayLike, *, higher_is_better: bool, rate: bool = False, seed: int = 0
) -> PairedComparison:
    """Compare a method's values with a reference's, image by image.

    The test is Wilcoxon's signed-rank test with zeros as Pratt (1959) has it: they take part in the ranking and
    then count for neither side, so that many ties weaken a few differences. Of a ``rate`` it is McNemar's exact
    test: a fair coin for the images on which the two disagree. ``holm`` is ``p`` until :func:`comparisons`
    corrects it.
    """
    change = differences(values, reference)
    known = change[~np.isnan(change)]
    better = known if higher_is_better else -known
    wins, losses = int((better > 0).sum()), int((better < 0).sum())
    p = mcnemar(wins, losses) if rate else wilcoxon(known)
    test = "McNemar" if rate else "Wilcoxon"
    ties = len(known) - wins - losses
    return PairedComparison(interval(change, seed=seed), p, p, rank_biserial(better), wins, ties, losses, test)


def comparisons(
    values: ArrayLike, reference: int, *, higher_is_better: bool, rate: bool = False
) -> list[PairedComparison | None]:
    """Compare each column of values ``(P, M)`` with that of the reference, all tests corrected together (Holm).

    The reference's own place holds None.
    """
    columns = np.asarray(values, np.float64).T
    found = {
        place: compare(column, columns[reference], higher_is_better=higher_is_better, rate=rate)
        for place, column in enumerate(columns)
        if place != reference
    }
    corrected = holm([one.p for one in found.values()])
    found = {place: replace(one, holm=float(p)) for (place, one), p in zip(found.items(), corrected, strict=True)}
    return [found.get(place) for place in range(len(columns))]


def leaders(values: ArrayLike, *, higher_is_better: bool, rate: bool = False) -> Leaders:
    """Say which column of values ``(P, M)`` has the best mean, and which others do not differ from it.

    A column differs if the paired test with the best says so after Holm's correction, and says that the best is the
    better one. A column of NaN alone takes no part. One that has the best's values on all images is the same method
    by another name, such as one with a setting written out; where all are, they are equals.
    """
    columns = np.asarray(values, np.float64).T
    part = [place for place, column in enumerate(columns) if not np.isnan(column).all()]
    if not part:
        return Leaders(None)
    sign = 1 if higher_is_better else -1
    best = max(part, key=lambda place: sign * np.nanmean(columns[place]))
    changes = {place: sign * differences(columns[best], columns[place]) for place in part if place != best}
    twins = tuple(place for place, change in changes.items() if not change.any())
    others = [place for place in changes if place not in twins]
    if not others:
        return Leaders(best, twins)
    known = [changes[place][~np.isnan(changes[place])] for place in others]
    tested = [mcnemar(int((one > 0).sum()), int((one < 0).sum())) if rate else wilcoxon(one) for one in known]
    pairs = zip(others, known, holm(tested), strict=True)
    equals = tuple(place for place, one, p in pairs if not (p < ALPHA and rank_biserial(one) > 0))
    return Leaders(best, equals, twins)


def differences(values: ArrayLike, reference: ArrayLike) -> Values:
    """Subtract the reference; what differs by the rounding of single precision is equal.

    >>> differences([0.5, 0.25, 1.0], [0.25, 0.25 + 1e-9, float("nan")]).tolist()
    [0.25, 0.0, nan]
    """
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    equal = np.isclose(values, reference, rtol=1e-6, atol=1e-9)
    return np.where(equal, 0.0, values - reference)


def wilcoxon(change: Values) -> float:
    """Give the p of Wilcoxon's signed-rank test, zeros as Pratt has it; 1 where nothing differs, NaN of nothing."""
    if not np.any(change):
        return 1.0 if len(change) else np.nan
    return float(scipy_stats().wilcoxon(change, zero_method="pratt").pvalue)


def mcnemar(wins: int, losses: int) -> float:
    """Give the p of McNemar's exact test; 1 where nothing differs.

    >>> mcnemar(3, 0)
    0.25
    """
    return float(scipy_stats().binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def rank_biserial(change: Values) -> float:
    """Give the matched-pairs rank-biserial correlation: ranks in favour less ranks against, over all ranks.

    Ranks are of sizes, zeros among them (they favour nobody), so that one win among ninety-nine ties is small.

    >>> rank_biserial(np.array([1.0, -2.0, 3.0, 0.0]))
    0.3
    """
    if not len(change):
        return np.nan
    ranks = scipy_stats().rankdata(np.abs(change))
    return float((np.sign(change) * ranks).sum() / ranks.sum())


def holm(p: Sequence[float]) -> Values:
    """Correct the p of tests made together (Holm 1979); NaN is no test.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)[: int((~np.isnan(values)).sum())]  # NaN comes last
    corrected = np.full(len(values), np.nan)
    stepped = values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.maximum.accumulate(stepped).clip(max=1)
    return corrected


# -- ranks ---------------------------------------------------------------------------------------------------


def rank(values: ArrayLike, *, higher_is_better: bool) -> Ranks | None:
    """Rank the columns of values ``(P, M)`` on every image (Friedman 1937; Nemenyi's test as Demsar 2006 has it).

    Equal values, to six digits, share their ranks. None for fewer than three columns or two whole images.
    """
    values = np.asarray(values, np.float64)
    whole = values[~np.isnan(values).any(axis=1)]
    count, methods = whole.shape
    if methods < 3 or count < 2:
        return None
    rounded = six_digits(whole if not higher_is_better else -whole)
    ranks = scipy_stats().rankdata(rounded, axis=1)
    alike = bool(np.all(ranks == ranks[:, :1]))
    p = 1.0 if alike else float(scipy_stats().friedmanchisquare(*rounded.T).pvalue)
    return Ranks(ranks.mean(0), p, critical_difference(methods, count), count)


def critical_difference(methods: int, images: int) -> float:
    """Give how far two mean ranks must lie apart to differ at the 5 % level (Demsar 2006, section 3.2.2)."""
    q = scipy_stats().studentized_range.ppf(LEVEL, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * images)))


def cliques(ranks: ArrayLike, distance: float) -> list[tuple[int, ...]]:
    """List the largest groups of two and more methods whose mean ranks lie within a distance, best first.

    >>> cliques([1.0, 3.5, 2.0, 2.5], 1.0)
    [(0, 2), (2, 3), (3, 1)]
    """
    ranks = np.asarray(ranks, np.float64)
    order = np.argsort(ranks, kind="stable")
    reach = [int(np.searchsorted(ranks[order], ranks[one] + distance, side="right")) for one in order]
    # a group that ends where an earlier one ends lies within it
    starts = [start for start in range(len(order)) if start == 0 or reach[start] > reach[start - 1]]
    return [tuple(map(int, order[start : reach[start]])) for start in starts if reach[start] - start > 1]


def six_digits(values: Values) -> Values:
    """Round to six significant digits."""
    size = np.abs(values)
    unit = 10.0 ** (np.floor(np.log10(size, where=size > 0, out=np.zeros_like(size))) - 5)
    return np.round(values / unit) * unit


def is_rate(values: ArrayLike) -> bool:
    """Say whether all values are 0 or 1, so that their mean is a rate.

    >>> is_rate([0.0, 1.0, float("nan")]), is_rate([0.0, 0.5])
    (True, False)
    """
    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    return bool(len(known)) and bool(np.isin(known, (0, 1)).all())


def scipy_stats() -> Any:
    """Give ``scipy.stats``, or say how to get it."""
    return extra("benchmark", "scipy.stats", "statistics")
