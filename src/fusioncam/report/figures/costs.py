"""Quality against cost: the means of metrics against seconds or passes per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fusioncam.report.figures.panels import QUALITY, marker_handle, panel_figure, set_figure_title
from fusioncam.report.figures.point_labels import Label, draw_labels
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
    if cost not in costs:
        return None
    measured = costs[cost].select(methods).methods
    columns = [chosen for one in results.columns(model, QUALITY) if (chosen := one.select(measured)).methods]
    if not columns:
        return None
    styles = method_styles(results.methods)
    figure, panels = panel_figure(len(columns), per_row=3, width=3.6, height=3.1, legend_width=1.9)
    for axes, column in zip(panels, columns, strict=True):
        for name in column.methods:
            _draw_point(axes, costs[cost], column, name, styles[name])
        _scale_cost_axis(axes, costs[cost].select(methods), cost)
        axes.margins(0.12)
        axes.set_title(f"{column.metric} {column.direction}")
    _draw_legend(figure, columns, methods, styles, costs if cost == "passes" else {})
    set_figure_title(figure, f"{model}: means and 95 % intervals against {cost} per image")
    _draw_names(figure, panels, columns, costs[cost], styles)
    return figure


def _draw_names(
    figure: Figure, panels: Sequence[Axes], columns: Sequence[Column], costs: Column, styles: Mapping[str, Style]
) -> None:
    """Draw the names of methods beside their points; the legend has those for which there is no room."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # names are placed in this layout
    for axes, column in zip(panels, columns, strict=True):
        draw_labels(figure, axes, [_label(costs, column, name, styles[name]) for name in column.methods])


def _label(costs: Column, column: Column, name: str, style: Style) -> Label:
    """Return the label of a method: its name without settings, unless several methods have it."""
    short = name.partition("(")[0]
    several = sum(other.partition("(")[0] == short for other in column.methods) > 1
    own = column.interval(name)
    low, high = own.mean - _bar_length(own.mean - own.low), own.mean + _bar_length(own.high - own.mean)
    return Label(
        costs.interval(name).mean, own.mean, low, high, wrap_name(name, 20) if several else short, style.colour
    )


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
