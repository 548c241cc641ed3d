"""Figures of means: curves with bands, cost against quality, sweeps and grids of settings, images side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from PIL import Image

from fusioncam.errors import ShapeError
from fusioncam.report.figures.style import INK, Style, legend_outside, new_figure, styled, styles
from fusioncam.report.method_names import GridOf, SweepOf, base_name
from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import Values, band
from fusioncam.report.tables.model import NOTHING, decimals_of, is_baseline
from fusioncam.visualization import overlay

QUALITY = ("faithfulness", "localization")
_LETTERS = 22  # of a title that is as wide as an image
_SHARES = {
    "insertion": "share of the pixels shown",
    "deletion": "share of the pixels removed",
    "box-accuracy": "threshold, a share of the heatmap's maximum",
}


@styled()
def curves_figure(results: Results, model: str, metrics: Sequence[str], methods: Sequence[str]) -> Figure | None:
    """Draw mean curves with 95 % bands, a panel for each metric; None where no row has one.

    With insertion and deletion these are figures 3 and, of two methods, 5 of the Fusion-CAM paper.
    """
    found = {one: kept for one in metrics if (kept := _curves(results, model, one, methods))}
    if not found:
        return None
    looks = styles(results.methods)
    figure, panels = _panels(len(found), most=2, width=4.1, height=3.5, legend=1.9)
    for axes, (metric, curves) in zip(panels, found.items(), strict=True):
        _draw_curves(axes, results.column(model, metric), curves, looks)
    shown = [one for one in methods if any(one in curves for curves in found.values())]
    legend_outside(figure, [_line(looks[one]) for one in shown], shown)
    figure.suptitle(f"{model}: mean curves, 95 % bands over images", x=0.01, ha="left", fontsize=9)
    return figure


def _curves(results: Results, model: str, metric: str, methods: Sequence[str]) -> dict[str, Values]:
    return {name: curves for name, curves in results.curves(model, metric) if name in methods}


def _draw_curves(axes: Axes, column: Column | None, curves: Mapping[str, Values], looks: Mapping[str, Style]) -> None:
    metric = column.metric if column else ""
    steps, text = _abscissa(column, next(iter(curves.values())).shape[1])
    # thin lines lie on thick ones, so that both are seen where they meet, and all of them on baselines
    for name, own in sorted(curves.items(), key=lambda pair: (not is_baseline(pair[0]), -looks[pair[0]].width)):
        mean, low, high = band(own)
        look = looks[name]
        axes.fill_between(steps, low, high, color=look.colour, alpha=0.13, linewidth=0, zorder=2)
        axes.plot(steps, mean, color=look.colour, ls=look.dashes, lw=look.width, label=name, zorder=3)
    axes.set_title(f"{metric} {column.direction if column else ''}")
    axes.set_xlabel(text)
    axes.margins(x=0)


def _abscissa(column: Column | None, points: int) -> tuple[Values, str]:
    """Give where a curve's points lie: at a protocol's list of as many numbers, or evenly."""
    for name, value in (column.protocol if column else {}).items():
        if isinstance(value, list) and len(value) == points and all(isinstance(one, int | float) for one in value):
            return np.asarray(value, np.float64), name
    text = _SHARES.get(base_name(column.metric) if column else "")
    return (np.linspace(0, 1, points), text) if text else (np.arange(points, dtype=np.float64), "step")


@styled()
def cost_figure(results: Results, model: str, methods: Sequence[str], cost: str = "seconds") -> Figure | None:
    """Draw each metric's means against ``cost`` ("seconds" or "passes") on a log axis, with intervals of both.

    Against passes, the legend says how many partial ones a method has besides: they lie on no axis of whole ones.
    """
    costs = {one.metric: one for one in results.costs(model)}
    columns = [one.only(methods) for one in results.columns(model, QUALITY)]
    if cost not in costs or not columns:
        return None
    looks = styles(results.methods)
    figure, panels = _panels(len(columns), most=4, width=2.7, height=2.6, legend=1.9)
    for axes, column in zip(panels, columns, strict=True):
        for name in column.methods:
            _draw_point(axes, costs[cost], column, name, looks[name])
        _cost_axis(axes, costs[cost].only(methods), cost)
        axes.set_title(f"{column.metric} {column.direction}")
    shown = [name for name in methods if any(name in one.methods for one in columns)]
    handles = [_line(looks[name], marker=True) for name in shown]
    if cost == "passes":
        shown = [name + _partial(costs, name) for name in shown]
    hollow = Line2D([], [], ls="", marker="o", mfc="white", mec=INK, ms=6)
    if any(one.shared for one in columns):
        handles, shown = [*handles, hollow], [*shown, "hollow: chooses by\nwhat is measured"]
    legend_outside(figure, handles, shown)
    figure.suptitle(f"{model}: means and 95 % intervals against {cost} an image", x=0.01, ha="left", fontsize=9)
    return figure


def _partial(costs: Mapping[str, Column], name: str) -> str:
    """Say how many partial passes a method has besides its whole ones."""
    if "partial passes" not in costs or name not in costs["partial passes"].methods:
        return ""
    mean = costs["partial passes"].interval(name).mean
    return f"\n+ {mean:,.0f} partial" if mean > 0 else ""


def _draw_point(axes: Axes, costs: Column, column: Column, name: str, look: Style) -> None:
    across, up = costs.interval(name), column.interval(name)
    shape: dict[str, Any] = {"marker": look.marker, "ms": 5.5, "mec": look.colour, "mew": 1.5}
    fill = "white" if name in column.shared else look.colour
    axes.errorbar(
        across.mean,
        up.mean,
        xerr=[[_reach(across.mean - across.low)], [_reach(across.high - across.mean)]],
        yerr=[[_reach(up.mean - up.low)], [_reach(up.high - up.mean)]],
        color=look.colour,
        mfc=fill,
        elinewidth=1.1,
        label=name,
        zorder=4 if name == "fusion-cam" else 3,
        **shape,
    )


def _reach(length: float) -> float:
    """Give the length of an error bar, 0 where it is not known."""
    return max(float(np.nan_to_num(length)), 0.0)


def _cost_axis(axes: Axes, costs: Column, cost: str) -> None:
    """Make the axis logarithmic, with a place for 0 passes."""
    means = np.array([costs.interval(name).mean for name in costs.methods])
    if (means <= 0).any():
        axes.set_xscale("symlog", linthresh=float(means[means > 0].min(initial=1.0)), linscale=0.5)
        axes.set_xlim(left=-0.3 * float(means[means > 0].min(initial=1.0)))
    else:
        axes.set_xscale("log")
    axes.set_xlabel("whole passes an image" if cost == "passes" else "seconds an image")
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


@styled()
def sweep_figure(results: Results, model: str, sweep: SweepOf, reference: str | None = None) -> Figure | None:
    """Draw each metric's mean over a setting's values with its 95 % interval, beside a reference's level."""
    columns = _with(results, model, sweep.methods.values())
    if not columns:
        return None
    look = styles(results.methods).get(sweep.name, Style("#D55E00", "-", "o", 1.8))
    figure, panels = _panels(len(columns), most=4, width=2.7, height=2.4)
    for axes, column in zip(panels, columns, strict=True):
        known = {value: column.interval(name) for value, name in sweep.methods.items() if name in column.methods}
        low, high = ([getattr(one, side) for one in known.values()] for side in ("low", "high"))
        axes.fill_between(list(known), low, high, color=look.colour, alpha=0.18, linewidth=0)
        means = [one.mean for one in known.values()]
        axes.plot(list(known), means, color=look.colour, marker="o", ms=4, lw=1.8, label=sweep.name)
        if reference in column.methods:
            axes.axhline(column.interval(str(reference)).mean, color=INK, ls=(0, (4, 2)), lw=1, label=reference)
        axes.set_title(f"{column.metric} {column.direction}")
        axes.set_xlabel(sweep.setting)
        axes.set_xticks(list(known) if len(known) < 8 else list(known)[::2])
    handles = [
        Line2D([], [], color=look.colour, marker="o", ms=4, lw=1.8),
        Patch(color=look.colour, alpha=0.18, lw=0),
    ]
    labels = [f"mean of {sweep.name}", "95 % interval over images"]
    if any(reference in one.methods for one in columns):
        handles, labels = (
            [*handles, Line2D([], [], color=INK, ls=(0, (4, 2)), lw=1)],
            [*labels, f"{reference} as it is"],
        )
    legend_outside(figure, handles, labels, columns=3)
    figure.suptitle(f"{model}: {sweep.name} over {sweep.setting}", x=0.01, ha="left", fontsize=9)
    return figure


@styled()
def grid_figure(results: Results, model: str, grid: GridOf) -> Figure | None:
    """Draw each metric's means over two settings as a table whose darker cells are the better ones."""
    columns = _with(results, model, grid.methods.values())
    if not columns:
        return None
    rows, across = ([*dict.fromkeys(pair[side] for pair in grid.methods)] for side in (0, 1))
    figure, panels = _panels(len(columns), most=3, width=1.4 + 0.95 * len(across), height=1.1 + 0.42 * len(rows))
    for axes, column in zip(panels, columns, strict=True):
        means = np.full((len(rows), len(across)), np.nan)
        for (one, other), name in grid.methods.items():
            if name in column.methods:
                means[rows.index(one), across.index(other)] = column.interval(name).mean
        shown = [name for name in grid.methods.values() if name in column.methods]
        _draw_grid(axes, column, means, decimals_of(column.interval(name) for name in shown))
        long = len(max(across, key=len)) > 13
        turned: Any = {"rotation": 20, "ha": "right", "rotation_mode": "anchor"} if long else {}
        axes.set_xticks(range(len(across)), across, **turned)
        axes.set_yticks(range(len(rows)), rows)
    text = f"{model}: {grid.name}, {grid.rows} down, {grid.columns} across; darker is better, the best mean is framed"
    figure.suptitle(text, x=0.01, ha="left", fontsize=9)
    return figure


def _draw_grid(axes: Axes, column: Column, means: Values, decimals: int) -> None:
    better = means if column.higher_is_better else -means
    low, high = np.nanmin(better), np.nanmax(better)
    share = (better - low) / (high - low) if high > low else np.full(means.shape, 0.5)
    axes.imshow(0.85 * share, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    for (down, across), value in np.ndenumerate(means):
        ink = "white" if share[down, across] > 0.68 else INK
        text = NOTHING if np.isnan(value) else f"{value:.{decimals}f}"
        axes.text(across, down, text, ha="center", va="center", color=ink, fontsize=8.5)
    down, across = np.unravel_index(np.nanargmax(better), means.shape)
    axes.add_patch(Rectangle((across - 0.47, down - 0.46), 0.94, 0.92, fill=False, ec="#D55E00", lw=2))
    axes.set_title(f"{column.metric} {column.direction}")
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


@styled()
def side_by_side_figure(
    images: Sequence[tuple[str, Image.Image]],
    heatmaps: Mapping[str, Sequence[NDArray[np.float32]]],
    opacity: float = 0.5,
) -> Figure:
    """Set images and the heatmaps that methods gave for them side by side, figures 2 and 4 of the Fusion-CAM paper.

    ``images`` are named, a row each; ``heatmaps`` gives for every method, a column each, one ``(H, W)`` in [0, 1]
    for every image. Raises :class:`ShapeError` if their numbers differ.
    """
    for method, maps in heatmaps.items():
        if len(maps) != len(images):
            raise ShapeError(f"expected a heatmap of {method} for each of {len(images)} images, got {len(maps)}")
    columns, heights = 1 + len(heatmaps), [image.height / image.width for _, image in images]
    figure = new_figure(1.55 * columns + 0.3, 1.52 * sum(heights) + 0.05 * len(heights) + 0.25)
    grid = figure.subplots(len(images), columns, squeeze=False, height_ratios=heights)
    for place, (name, image) in enumerate(images):
        shown = [image.convert("RGB"), *(overlay(image, maps[place], opacity) for maps in heatmaps.values())]
        for axes, one in zip(grid[place], shown, strict=True):
            axes.imshow(one)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        grid[place, 0].set_ylabel(_folded(name), fontsize=8)
    for axes, title in zip(grid[0], ("image", *heatmaps), strict=True):
        axes.set_title(_folded(title), fontsize=8, loc="center", weight="normal")
    return figure


def _folded(text: str) -> str:
    """Break a name that is wider than a panel, before its settings if it has any."""
    return text if len(text) <= _LETTERS else "\n".join(wrap(text.replace("(", " (", 1), _LETTERS))


def _with(results: Results, model: str, methods: Any) -> list[Column]:
    """Give the columns of quality that know any of the methods."""
    wanted = set(methods)
    return [one for one in results.columns(model, QUALITY) if wanted & set(one.methods)]


def _panels(count: int, most: int, width: float, height: float, legend: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Give a figure with so many panels, at most so many in a row, and room beside them."""
    down = -(-count // most)
    across = -(-count // down)
    figure = new_figure(width * across + legend, height * down + 0.4)
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count]


def _line(look: Style, marker: bool = False) -> Line2D:
    if marker:
        return Line2D([], [], ls="", marker=look.marker, ms=6.5, color=look.colour, mew=1.5)
    return Line2D([], [], color=look.colour, ls=look.dashes, lw=max(look.width, 1.6))
