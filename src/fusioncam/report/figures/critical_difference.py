"""Critical-difference diagrams (Demsar 2006): mean ranks, and bars over methods that do not differ.

Unlike in the original, each method has a row of its own, so that names, ranks and bars never cover each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusioncam.report.figures.style import INK, Style, method_styles, new_figure, styled
from fusioncam.report.results import Column
from fusioncam.report.statistics import Ranks, cliques, rank_methods
from fusioncam.report.tables.model import format_p_value
from fusioncam.visualization import wrap_name

_LINE, _GAP = 0.14, 0.11  # inches of a line of a name, and between rows
_MAX_NAME = 34  # characters of a line


@styled()
def critical_difference_figure(column: Column, order: tuple[str, ...] = ()) -> Figure | None:
    """Draw the mean ranks of a column's methods, the best at the top, and Nemenyi's critical difference.

    Vertical bars at the right join methods that do not differ significantly. ``order`` are all methods of the run,
    which determine the colours. Return None for fewer than three methods or two images.
    """
    ranks = rank_methods(column.values, higher_is_better=column.higher_is_better)
    if ranks is None:
        return None
    count = len(column.methods)
    rows = np.argsort(ranks.mean, kind="stable")  # the index of the method in each row
    lines = max(_name(column, method).count("\n") + 1 for method in column.methods)
    figure = new_figure(6.6, 1.35 + (_GAP + _LINE * lines) * count)
    axes = figure.subplots()
    _draw_axis(axes, count, ranks.critical_difference)
    _draw_methods(axes, column, ranks, rows, method_styles(order or column.methods))
    places = {int(index): row for row, index in enumerate(rows)}
    groups = [sorted(places[index] for index in group) for group in cliques(ranks.mean, ranks.critical_difference)]
    _draw_bars(axes, groups, count)
    _draw_title(axes, column, ranks)
    return figure


def _draw_title(axes: Axes, column: Column, ranks: Ranks) -> None:
    facts = f"Friedman p {format_p_value(ranks.p)}, {ranks.count} images, {column.model}"
    dagger = "\n† optimises what the metric measures" if set(column.methods) & column.optimised_by else ""
    axes.set_title(f"{column.metric} {column.direction}: mean ranks")
    axes.set_xlabel(
        f"{facts}; bars join methods that do not differ significantly{dagger}", fontsize=8, color="#555555"
    )


def _draw_axis(axes: Axes, count: int, distance: float) -> None:
    """Draw the axis of ranks at the top, and the length of the critical difference below it."""
    axes.set_xlim(0.7, count + 0.5)
    axes.set_ylim(count - 0.4, -1.6)
    axes.xaxis.tick_top()
    axes.set_xticks(range(1, count + 1))
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.grid(axis="y", visible=False)
    length = min(distance, count - 1)
    axes.plot([1, 1 + length], [-1, -1], color=INK, lw=1.6, marker="|", ms=7)
    longer = "" if length == distance else " (longer than the axis)"
    axes.annotate(
        f"CD = {distance:.2f}{longer}",
        (1 + length, -1),
        (8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        bbox={"fc": "white", "ec": "none", "pad": 1},
    )


def _draw_methods(
    axes: Axes, column: Column, ranks: Ranks, rows: Sequence[int] | np.ndarray, styles: dict[str, Style]
) -> None:
    """Draw a dot and the mean rank of each method in its row, with the name at the left."""
    names = []
    for row, index in enumerate(rows):
        method, mean = column.methods[index], float(ranks.mean[index])
        names.append(_name(column, method))
        axes.plot([1, mean], [row, row], color=styles[method].colour, lw=1.2, alpha=0.45)
        axes.plot([mean], [row], marker="o", ms=6, color=styles[method].colour, zorder=4)
        white = {"fc": "white", "ec": "none", "pad": 1}
        axes.annotate(
            f"{mean:.2f}", (mean, row), (7, 0), textcoords="offset points", va="center", fontsize=8, bbox=white
        )
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis="y", length=0)


def _name(column: Column, method: str) -> str:
    return wrap_name(f"{method} †" if method in column.optimised_by else method, _MAX_NAME)


def _draw_bars(axes: Axes, groups: Sequence[Sequence[int]], count: int) -> None:
    """Draw a vertical bar right of the axis over the rows of each group."""
    step = 0.035 * count
    for level, group in zip(_bar_levels(groups), groups, strict=True):
        x = count + 0.8 + step * level
        axes.plot([x, x], [group[0] - 0.2, group[-1] + 0.2], color=INK, lw=3.5, solid_capstyle="round", clip_on=False)
        axes.set_xlim(right=max(axes.get_xlim()[1], x + 0.3))


def _bar_levels(groups: Sequence[Sequence[int]]) -> list[int]:
    """Return the level of each bar: the first on which it overlaps no earlier bar.

    >>> _bar_levels([[0, 1, 2], [2, 3], [4, 5]])
    [0, 1, 0]
    """
    ends: list[int] = []  # the last row of each level
    levels = []
    for group in groups:
        level = next((level for level, end in enumerate(ends) if end < group[0]), len(ends))
        ends[level : level + 1] = [group[-1]]
        levels.append(level)
    return levels
