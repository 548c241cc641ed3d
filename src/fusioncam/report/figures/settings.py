"""Means over the settings of a method: sweeps over one number, grids over two words."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from fusioncam.report.figures.panels import panel_figure, quality_columns, set_figure_title
from fusioncam.report.figures.style import INK, Style, legend_outside, method_styles, styled
from fusioncam.report.method_names import Grid, Sweep
from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import Values
from fusioncam.report.tables.model import NO_VALUE, shared_decimals

_REFERENCE_LINE: dict[str, Any] = {"color": INK, "ls": (0, (4, 2)), "lw": 1}
_FRAME = "#D55E00"
_MAX_TICKS = 8
_MAX_LABEL = 13  # characters of a tick label that fit without rotation


@styled()
def sweep_figure(results: Results, model: str, sweep: Sweep, reference: str | None = None) -> Figure | None:
    """Draw each metric's mean over the values of a setting with its 95 % interval, and the level of a reference.

    Return None if no metric of quality holds any of the methods.
    """
    columns = quality_columns(results, model, sweep.methods.values())
    if not columns:
        return None
    style = method_styles(results.methods).get(sweep.name, Style("#D55E00", "-", "o", 1.8))
    figure, panels = panel_figure(len(columns), per_row=4, width=2.7, height=2.4)
    for axes, column in zip(panels, columns, strict=True):
        _draw_sweep(axes, column, sweep, style, reference)
    handles: list[Any] = [
        Line2D([], [], color=style.colour, marker="o", ms=4, lw=1.8),
        Patch(color=style.colour, alpha=0.18, lw=0),
    ]
    labels = [f"mean of {sweep.name}", "95 % interval over images"]
    if any(reference in column.methods for column in columns):
        handles.append(Line2D([], [], **_REFERENCE_LINE))
        labels.append(f"{reference} with its defaults")
    legend_outside(figure, handles, labels, columns=3)
    set_figure_title(figure, f"{model}: {sweep.name} over {sweep.setting}")
    return figure


def _draw_sweep(axes: Axes, column: Column, sweep: Sweep, style: Style, reference: str | None) -> None:
    intervals = {value: column.interval(name) for value, name in sweep.methods.items() if name in column.methods}
    values = list(intervals)
    low, high = ([getattr(interval, side) for interval in intervals.values()] for side in ("low", "high"))
    axes.fill_between(values, low, high, color=style.colour, alpha=0.18, linewidth=0)
    means = [interval.mean for interval in intervals.values()]
    axes.plot(values, means, color=style.colour, marker="o", ms=4, lw=1.8, label=sweep.name)
    if reference in column.methods:
        axes.axhline(column.interval(str(reference)).mean, label=reference, **_REFERENCE_LINE)
    axes.set_title(f"{column.metric} {column.direction}")
    axes.set_xlabel(sweep.setting)
    axes.set_xticks(values if len(values) < _MAX_TICKS else values[::2])


@styled()
def grid_figure(results: Results, model: str, grid: Grid) -> Figure | None:
    """Draw each metric's means over two settings as a table in which darker cells are better.

    Return None if no metric of quality holds any of the methods.
    """
    columns = quality_columns(results, model, grid.methods.values())
    if not columns:
        return None
    row_labels, column_labels = ([*dict.fromkeys(pair[axis] for pair in grid.methods)] for axis in (0, 1))
    width, height = 1.4 + 0.95 * len(column_labels), 1.1 + 0.42 * len(row_labels)
    figure, panels = panel_figure(len(columns), per_row=3, width=width, height=height)
    for axes, column in zip(panels, columns, strict=True):
        _draw_grid(axes, column, grid, row_labels, column_labels)
    title = (
        f"{model}: {grid.name}, rows: {grid.rows}, columns: {grid.columns}; darker is better, the best mean is framed"
    )
    set_figure_title(figure, title)
    return figure


def _draw_grid(axes: Axes, column: Column, grid: Grid, row_labels: list[str], column_labels: list[str]) -> None:
    measured = {pair: name for pair, name in grid.methods.items() if name in column.methods}
    means = np.full((len(row_labels), len(column_labels)), np.nan)
    for (row, across), name in measured.items():
        means[row_labels.index(row), column_labels.index(across)] = column.interval(name).mean
    decimals = shared_decimals(column.interval(name) for name in measured.values())
    _draw_cells(axes, means, means if column.higher_is_better else -means, decimals)
    rotated: Any = {"rotation": 20, "ha": "right", "rotation_mode": "anchor"}
    is_long = len(max(column_labels, key=len)) > _MAX_LABEL
    axes.set_xticks(range(len(column_labels)), column_labels, **(rotated if is_long else {}))
    axes.set_yticks(range(len(row_labels)), row_labels)
    axes.set_title(f"{column.metric} {column.direction}")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_cells(axes: Axes, means: Values, quality: Values, decimals: int) -> None:
    """Draw the means as text on cells shaded by ``quality``, which is higher for better means."""
    low, high = np.nanmin(quality), np.nanmax(quality)
    shade = (quality - low) / (high - low) if high > low else np.full(means.shape, 0.5)
    axes.imshow(0.85 * shade, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    for (row, column), mean in np.ndenumerate(means):
        text = NO_VALUE if np.isnan(mean) else f"{mean:.{decimals}f}"
        ink = "white" if shade[row, column] > 0.68 else INK
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8.5)
    row, column = np.unravel_index(np.nanargmax(quality), means.shape)
    axes.add_patch(Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, ec=_FRAME, lw=2))
