"""Which layer, which fill, which budget? Figures and differences from the rows of three runs in docs/results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from evidence import Comparison, results, table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusioncam.report.figures.panels import line_handle, panel_figure, set_figure_title
from fusioncam.report.figures.style import INK, Style, legend_outside, method_styles, styled
from fusioncam.report.results import Column
from fusioncam.report.statistics import Values, compare, disagreements, holm
from fusioncam.report.tables.model import format_interval, format_p_value

Cell = tuple[str, str]  # the names of a metric and a method


@dataclass(frozen=True)
class Sweep:
    """The values of one setting, the methods as lines, the metrics as panels, and the cell of each combination.

    Each method is compared with itself at the first of the ``values``, or with the first method at each value.
    """

    run: str
    setting: str
    values: tuple[str, ...]
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    cell: Callable[[str, str, str], Cell]  # of a metric, a method and a value
    against: Literal["value", "method"] = "value"

    def column(self, metric: str) -> Column:
        """Return the column of a metric on the only network of the run."""
        found = results(self.run).column(results(self.run).models[0], metric)
        if found is None:
            raise KeyError(f"{self.run} has no rows of {metric}")
        return found

    def images(self, metric: str, method: str, value: str) -> Values:
        """Return the values of a combination ``(P,)``, one per image."""
        name, variant = self.cell(metric, method, value)
        return self.column(name).values_of(variant)

    def reference(self, method: str, value: str) -> tuple[str, str]:
        """Return the method and the value that a combination is compared with."""
        return (method, self.values[0]) if self.against == "value" else (self.methods[0], value)

    def compared(self) -> list[tuple[str, str]]:
        """Return the methods and values that are compared with others."""
        pairs = [(method, value) for method in self.methods for value in self.values]
        return [pair for pair in pairs if pair != self.reference(*pair)]

    def higher_is_better(self, metric: str) -> bool:
        """Whether higher values of the metric are better."""
        return self.column(self.cell(metric, self.methods[0], self.values[0])[0]).higher_is_better

    def count(self) -> int:
        """Return the number of images."""
        return len(self.images(self.metrics[0], self.methods[0], self.values[0]))


def _of_layer(metric: str, method: str, layer: str) -> Cell:
    parts = {"grad-cam": f"grad-cam(layer={layer})", "group-cam": f"group-cam(layer={layer})"}
    fused = f"fusion-cam(gradient={parts['grad-cam']}, region={parts['group-cam']})"
    return f"{metric}(steps=14)" if metric != "idsds" else metric, parts.get(method, fused)


def _of_budget(metric: str, method: str, budget: str) -> Cell:
    name = f"{metric}(steps=14)" if metric != "idsds" else metric
    return name, method if budget == "exact" else f"{method}(budget={budget})"


def _of_fill(metric: str, method: str, fill: str) -> Cell:
    return f"{metric}(steps=14, fill={fill})", method


_METRICS = ("insertion", "deletion", "idsds")
SWEEPS = {
    "layer": Sweep(
        "question-layer",
        "layer",
        ("bn2", "blocks.6", "blocks.4", "blocks.2"),
        ("grad-cam", "group-cam", "fusion-cam(region=group-cam)"),
        _METRICS,
        _of_layer,
    ),
    "fill": Sweep(
        "question-fill",
        "fill",
        ("mean", "blur", "light-blur"),
        ("grad-cam", "group-cam", "score-cam", "fusion-cam", "fusion-cam:multiscale", "winsor-cam"),
        ("insertion", "deletion"),
        _of_fill,
        against="method",
    ),
    "budget": Sweep(
        "question-budget", "budget", ("exact", "8", "16", "32", "64", "128"), ("fusion-cam",), _METRICS, _of_budget
    ),
}
# the order along the axis, where it is not that of the values
AXES = {"layer": ("blocks.2", "blocks.4", "blocks.6", "bn2"), "budget": ("8", "16", "32", "64", "128", "exact")}


# -- the differences from the reference ------------------------------------------------------------------------


@cache
def comparisons(name: str, metric: str) -> dict[tuple[str, str], Comparison]:
    """Return the comparison of each method and value with its reference, Holm-corrected within the metric."""
    sweep = SWEEPS[name]
    better = sweep.higher_is_better(metric)
    found = [
        compare(sweep.images(metric, *pair), sweep.images(metric, *sweep.reference(*pair)), higher_is_better=better)
        for pair in sweep.compared()
    ]
    p_values = holm([one.p for one in found])
    return {pair: Comparison(one, float(p)) for pair, one, p in zip(sweep.compared(), found, p_values, strict=True)}


def difference(name: str, metric: str, method: str, value: str) -> str:
    """Return the mean difference from the reference with its interval and corrected p."""
    found = comparisons(name, metric)[method, value]
    mean, bounds = format_interval(found.paired.difference, 3, signed=True)
    return f"{mean} {bounds}, p {format_p_value(found.p)}"


def verdicts(name: str, metric: str, value: str) -> str:
    """Return for how many methods the value is better and worse than the reference."""
    found = [one.verdict for (_, other), one in comparisons(name, metric).items() if other == value]
    return f"better in {found.count(1)}, worse in {found.count(-1)} of {len(found)}"


def differences_table(name: str) -> str:
    """Return a table of all differences, a row per method and value and a column per metric."""
    sweep = SWEEPS[name]
    rows = [
        [f"`{method}`", f"`{value}`", *(_text(comparisons(name, metric)[method, value]) for metric in sweep.metrics)]
        for method, value in sweep.compared()
    ]
    return table(["method", sweep.setting, *sweep.metrics], rows)


def _text(comparison: Comparison) -> str:
    mean, bounds = format_interval(comparison.paired.difference, 3, signed=True)
    bold = "**" if comparison.verdict else ""
    return f"{bold}{mean}{bold} {bounds} p {format_p_value(comparison.p)}".replace("p < ", "p&nbsp;< ")


# -- the order of methods for each value -----------------------------------------------------------------------


def orders_table(name: str) -> str:
    """Return a table with the methods in the order of their means, a row per metric and value."""
    sweep = SWEEPS[name]
    rows = [
        [metric, f"`{value}`", ", ".join(f"`{method}` {mean:.3f}" for method, mean in _ordered(sweep, metric, value))]
        for metric in sweep.metrics
        for value in sweep.values
    ]
    return table(["metric", sweep.setting, "methods, the best first"], rows)


def _ordered(sweep: Sweep, metric: str, value: str) -> list[tuple[str, float]]:
    means = {method: float(np.nanmean(sweep.images(metric, method, value))) for method in sweep.methods}
    return sorted(means.items(), key=lambda item: item[1], reverse=sweep.higher_is_better(metric))


def least_alike(name: str, metric: str) -> str:
    """Return the two values that order the methods least alike, with the rank correlation of the means."""
    sweep = SWEEPS[name]
    means = [[np.nanmean(sweep.images(metric, method, value)) for method in sweep.methods] for value in sweep.values]
    first, second, correlation = disagreements(means, sweep.values)[0]
    return f"`{first}` and `{second}` (rank correlation {correlation:.2f})"


# -- figures ---------------------------------------------------------------------------------------------------


def figures() -> Iterator[tuple[str, Figure]]:
    """Yield the figure of each sweep with its name."""
    for name in SWEEPS:
        yield name, _figure(name)


@styled()
def _figure(name: str) -> Figure:
    sweep = SWEEPS[name]
    styles = method_styles(sweep.methods)
    figure, panels = panel_figure(len(sweep.metrics), per_row=3, width=3.0, height=2.7)
    for axes, metric in zip(panels, sweep.metrics, strict=True):
        for number, method in enumerate(sweep.methods):
            shift = 0.09 * (number - (len(sweep.methods) - 1) / 2)
            _draw_line(axes, name, metric, method, styles[method], shift)
        axes.axhline(0, color=INK, lw=0.8)
        axes.set_title(f"{metric} {'↑' if sweep.higher_is_better(metric) else '↓'}")
        axes.set_xticks(range(len(sweep.values)), AXES.get(name, sweep.values))
        axes.set_xlabel(sweep.setting)
    legend_outside(figure, [line_handle(styles[one]) for one in sweep.methods], sweep.methods, columns=3)
    network = results(sweep.run).models[0].rpartition(":")[2]
    other = sweep.values[0] if sweep.against == "value" else sweep.methods[0]
    title = f"{network}, {sweep.count()} images: mean differences from {other}, and 95 % intervals"
    set_figure_title(figure, title)
    return figure


def _draw_line(axes: Axes, name: str, metric: str, method: str, style: Style, shift: float) -> None:
    """Draw the differences of a method over the values, with intervals, a little to the side of other methods."""
    values = AXES.get(name, SWEEPS[name].values)
    found = [comparisons(name, metric).get((method, value)) for value in values]
    means, low, high = (
        np.array([0 if one is None else getattr(one.paired.difference, part) for one in found])
        for part in ("mean", "low", "high")
    )
    axes.errorbar(
        np.arange(len(values)) + shift,
        means,
        yerr=[means - low, high - means],
        color=style.colour,
        ls=style.dashes,
        marker=style.marker,
        ms=4,
        lw=style.width,
        elinewidth=0.9,
    )
