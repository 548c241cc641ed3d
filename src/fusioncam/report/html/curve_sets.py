"""The mean curves of a run, for the drawings of a page that show values beside the pointer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fusioncam.report.figures.curves import abscissa, highlighted_methods, ordinate
from fusioncam.report.html.page_model import CurveSet
from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import Values


def curve_sets(results: Results, methods: Sequence[str]) -> Iterator[CurveSet]:
    """Yield the mean curves of the methods, for each model and each metric that has curves."""
    for model in results.models:
        for metric in results.metrics:
            means = {name: _mean(curves) for name, curves in results.curves(model, metric) if name in methods}
            defined = {name: mean for name, mean in means.items() if mean is not None}
            column = results.column(model, metric)
            if defined and column:
                yield _curve_set(column, defined, results.reference)


def _mean(curves: Values) -> Values | None:
    """Return the mean ``(T,)`` of the curves without NaN, or None if all have one."""
    defined = curves[~np.isnan(curves).any(axis=1)]
    return defined.mean(axis=0) if len(defined) else None


def _curve_set(column: Column, means: dict[str, Values], reference: str | None) -> CurveSet:
    x, label = abscissa(column, len(next(iter(means.values()))))
    return CurveSet(
        title=f"{column.metric} {column.direction}, {column.model}: mean over images",
        x_label=label,
        y_label=ordinate(column),
        x=tuple(x.tolist()),
        means={name: tuple(mean.tolist()) for name, mean in means.items()},
        highlighted=tuple(highlighted_methods([column], list(means), reference)),
    )
