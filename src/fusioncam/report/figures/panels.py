"""Panels, legends and columns that several figures share."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fusioncam.report.figures.style import Style, new_figure
from fusioncam.report.results import Column, Results

QUALITY = ("faithfulness", "localization")


def panel_figure(
    count: int, per_row: int, width: float, height: float, legend_width: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels, at most ``per_row`` side by side, and its axes; sizes are in inches."""
    rows = -(-count // per_row)
    columns = -(-count // rows)
    figure = new_figure(width * columns + legend_width, height * rows + 0.4)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count]


def set_figure_title(figure: Figure, text: str) -> None:
    """Set the title of a figure above all panels, left-aligned."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=9)


def quality_columns(results: Results, model: str, methods: Iterable[str]) -> list[Column]:
    """Return the columns of faithfulness and localization that hold any of the methods."""
    wanted = set(methods)
    return [column for column in results.columns(model, QUALITY) if wanted & set(column.methods)]


def line_handle(style: Style) -> Line2D:
    """Return the legend's line of a method."""
    return Line2D([], [], color=style.colour, ls=style.dashes, lw=max(style.width, 1.6))


def marker_handle(style: Style) -> Line2D:
    """Return the legend's marker of a method."""
    return Line2D([], [], ls="", marker=style.marker, ms=6.5, color=style.colour, mew=1.5)
