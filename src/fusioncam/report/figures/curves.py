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
from fusioncam.visualization import wrap_name

_AXIS_LABELS = {
    "insertion": "share of pixels shown",
    "deletion": "share of pixels removed",
    "box-accuracy": "threshold, as a share of the heatmap's maximum",
}
_VALUE_LABELS = {
    "insertion": "probability of the class",
    "deletion": "probability of the class",
    "box-accuracy": "share of images with a correct box",
}
_HIGHLIGHTED = 4
_OTHERS = Style("#B8B8B8", "-", "", 0.9)
_LABEL = 26  # characters of a line of the legend


@styled()
def curves_figure(results: Results, model: str, metrics: Sequence[str], methods: Sequence[str]) -> Figure | None:
    """Draw mean curves, one panel per metric; return None if no row holds a curve.

    At most four methods, :func:`highlighted_methods`, have a colour and a 95 % band; the others are grey. For
    insertion and deletion these are figure 3 and, with two methods, figure 5 of the Fusion-CAM paper.
    """
    found = {metric: curves for metric in metrics if (curves := _curves(results, model, metric, methods))}
    if not found:
        return None
    styles = method_styles(results.methods)
    names = [name for name in methods if any(name in curves for curves in found.values())]
    coloured = highlighted_methods([results.column(model, metric) for metric in found], names, results.reference)
    figure, panels = panel_figure(len(found), per_row=2, width=4.1, height=3.5, legend_width=1.9)
    for axes, (metric, curves) in zip(panels, found.items(), strict=True):
        _draw_curves(axes, results.column(model, metric), curves, {name: styles[name] for name in coloured})
    _draw_legend(figure, coloured, [name for name in names if name not in coloured], styles)
    set_figure_title(figure, f"{model}: mean curves, 95 % bands over images")
    return figure


def highlighted_methods(
    columns: Sequence[Column | None], methods: Sequence[str], reference: str | None = None
) -> list[str]:
    """Return at most four of the methods, in their order: the reference, and those with the best mean ranks.

    A baseline is among them only if there are fewer than four other methods.
    """
    if len(methods) <= _HIGHLIGHTED:
        return list(methods)
    order = sorted(methods, key=lambda name: (name != reference, is_baseline(name), _mean_rank(columns, name)))
    return [name for name in methods if name in order[:_HIGHLIGHTED]]


def _mean_rank(columns: Sequence[Column | None], method: str) -> float:
    """Return the mean over columns of how many methods have a better mean; infinity without a value."""
    found = []
    for column in columns:
        if column is not None and method in column.methods:
            sign = 1 if column.higher_is_better else -1
            own = sign * column.interval(method).mean
            found.append(sum(sign * column.interval(name).mean > own for name in column.methods))
    return float(np.mean(found)) if found else float("inf")


def _curves(results: Results, model: str, metric: str, methods: Sequence[str]) -> dict[str, Values]:
    return {name: curves for name, curves in results.curves(model, metric) if name in methods}


def _draw_curves(
    axes: Axes, column: Column | None, curves: Mapping[str, Values], styles: Mapping[str, Style]
) -> None:
    """Draw the curves, those without a style in grey."""
    x, label = abscissa(column, next(iter(curves.values())).shape[1])
    # thin lines are drawn over thick ones, so that both are visible where they meet, and methods over baselines
    for name in sorted(curves, key=lambda name: (name in styles, not is_baseline(name), -_style(styles, name).width)):
        mean, low, high = band(curves[name])
        style = _style(styles, name)
        if name in styles:
            axes.fill_between(x, low, high, color=style.colour, alpha=0.13, linewidth=0, zorder=2)
        axes.plot(x, mean, color=style.colour, ls=style.dashes, lw=style.width, label=name, zorder=3)
    axes.set_title(f"{column.metric} {column.direction}" if column else "")
    axes.set_xlabel(label)
    axes.set_ylabel(ordinate(column))
    axes.margins(x=0)


def _style(styles: Mapping[str, Style], name: str) -> Style:
    return styles.get(name, _OTHERS)


def _draw_legend(figure: Figure, coloured: Sequence[str], others: Sequence[str], styles: Mapping[str, Style]) -> None:
    handles, labels = [line_handle(styles[name]) for name in coloured], [wrap_name(name, _LABEL) for name in coloured]
    if others:
        handles.append(line_handle(_OTHERS))
        labels.append("others:\n" + "\n".join(wrap_name(name, _LABEL) for name in others))
    legend_outside(figure, handles, labels)


def abscissa(column: Column | None, points: int) -> tuple[Values, str]:
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


def ordinate(column: Column | None) -> str:
    """Return what the values of a curve are."""
    return _VALUE_LABELS.get(base_name(column.metric) if column else "", "value")
