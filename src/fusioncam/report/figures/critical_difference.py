"""Critical-difference diagrams (Demsar 2006, figure 1): mean ranks on a line, bars over what does not differ."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusioncam.report.figures.style import INK, Style, new_figure, styled, styles
from fusioncam.report.results import Column
from fusioncam.report.statistics import Ranks, cliques, rank
from fusioncam.report.tables.model import format_p_value

_LINE = 0.24  # inches between names


@styled()
def critical_difference_figure(column: Column, order: tuple[str, ...] = ()) -> Figure | None:
    """Draw the mean ranks of a column's methods, the best at the left, and Nemenyi's critical difference.

    ``order`` are all methods of the run, which have their colours by it. None for fewer than three methods or two
    images.
    """
    ranks = rank(column.values, higher_is_better=column.higher_is_better)
    if ranks is None:
        return None
    names, groups = len(column.methods), cliques(ranks.mean, ranks.critical_difference)
    left = (names + 1) // 2
    figure = new_figure(7.2, 1.25 + _LINE * left + 0.1 * len(groups))
    axes = figure.subplots()
    bars = _stacked(groups, ranks)
    depth = 0.35 + 0.13 * (max(bars, default=-1) + 1)
    _draw_axis(axes, names, ranks.critical_difference)
    for place, group in zip(bars, groups, strict=True):
        ends = ranks.mean[list(group)]
        height = -0.2 - 0.13 * place
        axes.plot([ends.min() - 0.04, ends.max() + 0.04], [height] * 2, color=INK, lw=3.5, solid_capstyle="round")
    looks = styles(order or column.methods)
    for place, method in enumerate(np.argsort(ranks.mean, kind="stable")):
        row = place if place < left else names - 1 - place
        name = column.methods[method] + (" †" if column.methods[method] in column.shared else "")
        side = 1 if place < left else names
        _draw_name(
            axes, name, float(ranks.mean[method]), -depth - _LINE * row, side, names, looks[column.methods[method]]
        )
    axes.set_ylim(-depth - _LINE * left, 0.75)
    told = f"Friedman p {format_p_value(ranks.p)}, {ranks.count} images, {column.model}"
    dagger = ", † chooses by what is measured" if set(column.methods) & column.shared else ""
    axes.set_title(f"{column.metric} {column.direction}", pad=8)
    axes.text(1, 1, told + dagger, transform=axes.transAxes, ha="right", va="bottom", fontsize=8, color="#555555")
    return figure


def _draw_axis(axes: Axes, names: int, distance: float) -> None:
    """Draw the line of ranks at height 0, and above it how far is far enough."""
    axes.axis("off")
    margin = 0.32 * (names - 1)
    axes.set_xlim(1 - margin, names + margin)
    axes.plot([1, names], [0, 0], color=INK, lw=1)
    for tick in range(1, names + 1):
        axes.plot([tick, tick], [0, 0.07], color=INK, lw=1)
        axes.text(tick, 0.1, str(tick), ha="center", va="bottom", fontsize=8)
    shown = min(distance, names - 1)
    axes.plot([1, 1 + shown], [0.5, 0.5], color=INK, lw=1.6, marker="|", ms=7)
    beyond = "" if shown == distance else " (more than the axis)"
    axes.text(1 + shown + 0.02 * names, 0.5, f"CD = {distance:.2f}{beyond}", ha="left", va="center", fontsize=8)


def _draw_name(axes: Axes, name: str, mean: float, height: float, side: int, names: int, look: Style) -> None:
    """Draw a method's mark, and the line from it to its name at the left or the right."""
    outward = -1 if side == 1 else 1
    end = side + outward * 0.03 * (names - 1)
    axes.plot([mean, mean, end], [0, height, height], color=look.colour, lw=1.2)
    axes.plot([mean], [0], marker="o", ms=5, color=look.colour, zorder=4)
    align = "right" if side == 1 else "left"
    text = f"{name}  {mean:.2f}" if side == 1 else f"{mean:.2f}  {name}"
    axes.text(end + outward * 0.01 * names, height, text, ha=align, va="center", fontsize=8.5)


def _stacked(groups: list[tuple[int, ...]], ranks: Ranks) -> list[int]:
    """Give each bar the highest line on which none that is there already reaches into it."""
    ends: list[float] = []
    places = []
    for group in groups:
        first, last = ranks.mean[list(group)].min(), ranks.mean[list(group)].max()
        place = next((place for place, end in enumerate(ends) if end + 0.15 < first), len(ends))
        ends[place : place + 1] = [float(last)]
        places.append(place)
    return places
