"""Critical-difference diagrams (Demsar 2006, figure 1): mean ranks on a line, and bars over methods that are tied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusioncam.report.figures.style import INK, Style, method_styles, new_figure, styled
from fusioncam.report.results import Column
from fusioncam.report.statistics import Ranks, cliques, rank_methods
from fusioncam.report.tables.model import format_p_value

_NAME_HEIGHT = 0.24  # inches between names
_BAR_HEIGHT = 0.13


@styled()
def critical_difference_figure(column: Column, order: tuple[str, ...] = ()) -> Figure | None:
    """Draw the mean ranks of a column's methods, the best at the left, and Nemenyi's critical difference.

    ``order`` are all methods of the run, which determine the colours. Return None for fewer than three methods or two
    images.
    """
    ranks = rank_methods(column.values, higher_is_better=column.higher_is_better)
    if ranks is None:
        return None
    count, groups = len(column.methods), cliques(ranks.mean, ranks.critical_difference)
    rows = (count + 1) // 2
    figure = new_figure(7.2, 1.25 + _NAME_HEIGHT * rows + 0.1 * len(groups))
    axes = figure.subplots()
    levels = _bar_levels(groups, ranks)
    depth = 0.35 + _BAR_HEIGHT * (max(levels, default=-1) + 1)
    _draw_axis(axes, count, ranks.critical_difference)
    for level, group in zip(levels, groups, strict=True):
        _draw_bar(axes, ranks, group, level)
    _draw_names(axes, column, ranks, depth, method_styles(order or column.methods))
    axes.set_ylim(-depth - _NAME_HEIGHT * rows, 0.75)
    _draw_title(axes, column, ranks)
    return figure


def _draw_title(axes: Axes, column: Column, ranks: Ranks) -> None:
    facts = f"Friedman p {format_p_value(ranks.p)}, {ranks.count} images, {column.model}"
    dagger = ", † optimises what the metric measures" if set(column.methods) & column.optimised_by else ""
    axes.set_title(f"{column.metric} {column.direction}", pad=8)
    axes.text(1, 1, facts + dagger, transform=axes.transAxes, ha="right", va="bottom", fontsize=8, color="#555555")


def _draw_axis(axes: Axes, count: int, distance: float) -> None:
    """Draw the line of ranks at height 0, and the length of the critical difference above it."""
    axes.axis("off")
    margin = 0.32 * (count - 1)
    axes.set_xlim(1 - margin, count + margin)
    axes.plot([1, count], [0, 0], color=INK, lw=1)
    for tick in range(1, count + 1):
        axes.plot([tick, tick], [0, 0.07], color=INK, lw=1)
        axes.text(tick, 0.1, str(tick), ha="center", va="bottom", fontsize=8)
    length = min(distance, count - 1)
    axes.plot([1, 1 + length], [0.5, 0.5], color=INK, lw=1.6, marker="|", ms=7)
    longer = "" if length == distance else " (longer than the axis)"
    axes.text(1 + length + 0.02 * count, 0.5, f"CD = {distance:.2f}{longer}", ha="left", va="center", fontsize=8)


def _draw_bar(axes: Axes, ranks: Ranks, group: Sequence[int], level: int) -> None:
    """Draw a bar over the ranks of a group that do not differ."""
    ends = ranks.mean[list(group)]
    height = -0.2 - _BAR_HEIGHT * level
    axes.plot([ends.min() - 0.04, ends.max() + 0.04], [height] * 2, color=INK, lw=3.5, solid_capstyle="round")


def _draw_names(axes: Axes, column: Column, ranks: Ranks, depth: float, styles: dict[str, Style]) -> None:
    """Draw the names of the better half of the methods at the left, the others at the right."""
    count = len(column.methods)
    rows = (count + 1) // 2
    for position, index in enumerate(np.argsort(ranks.mean, kind="stable")):
        row = position if position < rows else count - 1 - position
        side = 1 if position < rows else count
        method = column.methods[index]
        name = f"{method} †" if method in column.optimised_by else method
        height = -depth - _NAME_HEIGHT * row
        _draw_name(axes, name, float(ranks.mean[index]), height, side, count, styles[method])


def _draw_name(axes: Axes, name: str, mean: float, height: float, side: int, count: int, style: Style) -> None:
    """Draw the marker of a method, and the line from it to the name at the left or the right."""
    outward = -1 if side == 1 else 1
    end = side + outward * 0.03 * (count - 1)
    axes.plot([mean, mean, end], [0, height, height], color=style.colour, lw=1.2)
    axes.plot([mean], [0], marker="o", ms=5, color=style.colour, zorder=4)
    align = "right" if side == 1 else "left"
    text = f"{name}  {mean:.2f}" if side == 1 else f"{mean:.2f}  {name}"
    axes.text(end + outward * 0.01 * count, height, text, ha=align, va="center", fontsize=8.5)


def _bar_levels(groups: list[tuple[int, ...]], ranks: Ranks) -> list[int]:
    """Return the level of each bar, 0 at the top: the first on which it overlaps no earlier bar."""
    ends: list[float] = []  # where the last bar of each level ends
    levels = []
    for group in groups:
        first, last = ranks.mean[list(group)].min(), ranks.mean[list(group)].max()
        level = next((level for level, end in enumerate(ends) if end + 0.15 < first), len(ends))
        ends[level : level + 1] = [float(last)]
        levels.append(level)
    return levels
