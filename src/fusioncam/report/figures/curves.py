"""Mean curves of metrics such as insertion and deletion, with bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusioncam.report.figures.panels import line_handle, panel_figure, set_figure_title
from fusioncam.report.figures.style import Style, legend_outside, method_styles, styled
from fusioncam.report.method_names import base_name
from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import Values, band
from fusioncam.report.tables.model import is_baseline

_AXIS_LABELS = {
    "insertion": "share of pixels shown",
    "deletion": "share of pixels removed",
    "box-accuracy": "threshold, as a share of the heatmap's maximum",
}


@styled()
def curves_figure(results: Results, model: str, metrics: Sequence[str], methods: Sequence[str]) -> Figure | None:
    """Draw mean curves with 95 % bands, one panel per metric; return None if no row holds a curve.

    For insertion and deletion these are figure 3 and, with two methods, figure 5 of the Fusion-CAM paper.
    """
    found = {metric: curves for metric in metrics if (curves := _curves(results, model, metric, methods))}
    if not found:
        return None
    styles = method_styles(results.methods)
    figure, panels = panel_figure(len(found), per_row=2, width=4.1, height=3.5, legend_width=1.9)
    for axes, (metric, curves) in zip(panels, found.items(), strict=True):
        _draw_curves(axes, results.column(model, metric), curves, styles)
    names = [name for name in methods if any(name in curves for curves in found.values())]
    legend_outside(figure, [line_handle(styles[name]) for name in names], names)
    set_figure_title(figure, f"{model}: mean curves, 95 % bands over images")
    return figure


def _curves(results: Results, model: str, metric: str, methods: Sequence[str]) -> dict[str, Values]:
    return {name: curves for name, curves in results.curves(model, metric) if name in methods}


def _draw_curves(
    axes: Axes, column: Column | None, curves: Mapping[str, Values], styles: Mapping[str, Style]
) -> None:
    steps, label = _abscissa(column, next(iter(curves.values())).shape[1])
    # thin lines are drawn over thick ones, so that both are visible where they meet, and methods over baselines
    for name in sorted(curves, key=lambda name: (not is_baseline(name), -styles[name].width)):
        mean, low, high = band(curves[name])
        style = styles[name]
        axes.fill_between(steps, low, high, color=style.colour, alpha=0.13, linewidth=0, zorder=2)
        axes.plot(steps, mean, color=style.colour, ls=style.dashes, lw=style.width, label=name, zorder=3)
    axes.set_title(f"{column.metric} {column.direction}" if column else "")
    axes.set_xlabel(label)
    axes.margins(x=0)


def _abscissa(column: Column | None, points: int) -> tuple[Values, str]:
    """Return where the points of a curve lie: at the protocol's list of as many numbers, or evenly spaced."""
    for name, value in (column.protocol if column else {}).items():
        if (
            isinstance(value, list)
            and len(value) == points
            and all(isinstance(number, int | float) for number in value)
        ):
            return np.asarray(value, np.float64), name
    label = _AXIS_LABELS.get(base_name(column.metric) if column else "")
    return (np.linspace(0, 1, points), label) if label else (np.arange(points, dtype=np.float64), "step")
