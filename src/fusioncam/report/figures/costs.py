"""Quality against cost: the means of metrics against seconds or passes per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fusioncam.report.figures.panels import QUALITY, marker_handle, panel_figure, set_figure_title
from fusioncam.report.figures.style import INK, Style, legend_outside, method_styles, styled
from fusioncam.report.results import Column, Results
from fusioncam.visualization import wrap_name

_LABEL = 26  # characters of a line of the legend


@styled()
def cost_figure(results: Results, model: str, methods: Sequence[str], cost: str = "seconds") -> Figure | None:
    """Draw the means of each metric against ``cost`` ("seconds" or "passes") on a log axis, with both intervals.

    For passes, the axis counts full passes, and the legend adds the number of partial passes of a method. Return None
    if the rows hold no cost or no metric of quality.
    """
    costs = {column.metric: column for column in results.costs(model)}
    columns = [column.select(methods) for column in results.columns(model, QUALITY)]
    if cost not in costs or not columns:
        return None
    styles = method_styles(results.methods)
    figure, panels = panel_figure(len(columns), per_row=4, width=2.7, height=2.6, legend_width=1.9)
    for axes, column in zip(panels, columns, strict=True):
        for name in column.methods:
            _draw_point(axes, costs[cost], column, name, styles[name])
        _scale_cost_axis(axes, costs[cost].select(methods), cost)
        axes.set_title(f"{column.metric} {column.direction}")
    _draw_legend(figure, columns, methods, styles, costs if cost == "passes" else {})
    set_figure_title(figure, f"{model}: means and 95 % intervals against {cost} per image")
    return figure


def _draw_legend(
    figure: Figure,
    columns: Sequence[Column],
    methods: Sequence[str],
    styles: Mapping[str, Style],
    costs: Mapping[str, Column],
) -> None:
    names = [name for name in methods if any(name in column.methods for column in columns)]
    handles = [marker_handle(styles[name]) for name in names]
    labels = [wrap_name(name, _LABEL) + _partial_passes(costs, name) for name in names]
    if any(column.optimised_by for column in columns):
        handles.append(Line2D([], [], ls="", marker="o", mfc="white", mec=INK, ms=6))
        labels.append("hollow: optimises what\nthe metric measures")
    legend_outside(figure, handles, labels)


def _partial_passes(costs: Mapping[str, Column], name: str) -> str:
    """Return a line for the legend with the partial passes of a method, or "" if it has none."""
    if "partial passes" not in costs or name not in costs["partial passes"].methods:
        return ""
    mean = costs["partial passes"].interval(name).mean
    return f"\n+ {mean:,.0f} partial" if mean > 0 else ""


def _draw_point(axes: Axes, costs: Column, column: Column, name: str, style: Style) -> None:
    x, y = costs.interval(name), column.interval(name)
    marker: dict[str, Any] = {"marker": style.marker, "ms": 5.5, "mec": style.colour, "mew": 1.5}
    axes.errorbar(
        x.mean,
        y.mean,
        xerr=[[_bar_length(x.mean - x.low)], [_bar_length(x.high - x.mean)]],
        yerr=[[_bar_length(y.mean - y.low)], [_bar_length(y.high - y.mean)]],
        color=style.colour,
        mfc="white" if name in column.optimised_by else style.colour,
        elinewidth=1.1,
        label=name,
        zorder=4 if name == "fusion-cam" else 3,
        **marker,
    )


def _bar_length(length: float) -> float:
    """Return the length of an error bar, 0 if it is unknown."""
    return max(float(np.nan_to_num(length)), 0.0)


def _scale_cost_axis(axes: Axes, costs: Column, cost: str) -> None:
    """Make the axis logarithmic, with room for 0 passes."""
    means = np.array([costs.interval(name).mean for name in costs.methods])
    if (means <= 0).any():
        smallest = float(means[means > 0].min(initial=1.0))
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        axes.set_xlim(left=-0.3 * smallest)
    else:
        axes.set_xscale("log")
    axes.set_xlabel("full passes per image" if cost == "passes" else "seconds per image")
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
