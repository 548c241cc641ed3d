"""Means over images with 95 % confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusioncam.utils.optional import extra
from fusioncam.utils.quiet import ignoring

Values = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 9999
BAND_RESAMPLES = 999
# 100 MiB of resampled values at a time, whatever the number of images
_MAX_RESAMPLED_VALUES = 12_500_000


@dataclass(frozen=True)
class Interval:
    """The mean over ``count`` images and its 95 % interval; ``undefined`` images have no value.

    ``low`` and ``high`` are NaN if only one image has a value; all three numbers are NaN if no image has one.
    """

    mean: float
    low: float
    high: float
    count: int
    undefined: int = 0


def interval(values: ArrayLike, *, rate: bool = False, seed: int = 0) -> Interval:
    """Return the mean of the values that are not NaN, and its 95 % interval over images.

    The interval is the bias-corrected and accelerated bootstrap (BCa, Efron 1987) with 9,999 resamples, which suits
    skewed values such as drops. If all values are equal, there is nothing to resample and the interval is a point,
    except for a ``rate`` (values that can only be 0 or 1): it gets the exact interval of Clopper and Pearson, because
    0 of 10 images does not mean never.
    """
    values = np.asarray(values, np.float64)
    defined = values[~np.isnan(values)]
    count, undefined = len(defined), len(values) - len(defined)
    if count < 2:
        return Interval(float(defined[0]) if count else np.nan, np.nan, np.nan, count, undefined)
    if np.all(defined == defined[0]):
        low, high = clopper_pearson(defined) if rate else (defined[0], defined[0])
        return Interval(float(defined[0]), float(low), float(high), count, undefined)
    low, high = bootstrap_interval(defined, "BCa", RESAMPLES, seed)
    return Interval(float(defined.mean()), float(low), float(high), count, undefined)


def band(curves: ArrayLike, seed: int = 0) -> tuple[Values, Values, Values]:
    """Return the mean of curves ``(P, T)`` and its 95 % band as mean, low and high, ``(T,)`` each.

    The band is the percentile bootstrap over 999 resamples of whole curves, point by point. Curves that contain NaN
    are left out. With fewer than two curves the band is NaN.
    """
    curves = np.asarray(curves, np.float64)
    defined = curves[~np.isnan(curves).any(axis=1)]
    unknown = np.full(curves.shape[1], np.nan)
    if len(defined) < 2:
        return (defined.mean(0) if len(defined) else unknown), unknown, unknown
    low, high = bootstrap_interval(defined.T, "percentile", BAND_RESAMPLES, seed)
    return defined.mean(0), low, high


def clopper_pearson(values: Values) -> tuple[float, float]:
    """Return the exact interval of a rate (Clopper and Pearson 1934) from its zeros and ones."""
    test = scipy_stats().binomtest(int(values.sum()), len(values))
    bounds = test.proportion_ci(LEVEL, method="exact")
    return bounds.low, bounds.high


def bootstrap_interval(values: Values, method: str, resamples: int, seed: int) -> tuple[Any, Any]:
    """Return the interval of means over the last axis.

    Where BCa is undefined because the values hardly vary, return the percentile interval.
    """
    settings = {
        "n_resamples": resamples,
        "confidence_level": LEVEL,
        "batch": max(1, _MAX_RESAMPLED_VALUES // values.size),
    }
    with ignoring():  # scipy warns where BCa is undefined
        result = scipy_stats().bootstrap(
            (values,), np.mean, axis=-1, method=method, rng=np.random.default_rng(seed), **settings
        )
    low, high = result.confidence_interval
    if method == "BCa" and not np.isfinite([low, high]).all():
        low, high = np.quantile(result.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    return low, high


def is_rate(values: ArrayLike) -> bool:
    """Return whether all values are 0 or 1, so that their mean is a rate.

    >>> is_rate([0.0, 1.0, float("nan")]), is_rate([0.0, 0.5])
    (True, False)
    """
    values = np.asarray(values, np.float64)
    defined = values[~np.isnan(values)]
    return bool(len(defined)) and bool(np.isin(defined, (0, 1)).all())


def scipy_stats() -> Any:
    """Import ``scipy.stats``, or raise :class:`fusioncam.errors.MissingExtraError`."""
    return extra("benchmark", "scipy.stats", "statistics")
