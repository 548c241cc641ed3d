"""Tables of a run: means with intervals, who leads, what is marked, and what a baseline does better.

How pages are written as Markdown and LaTeX is told in :mod:`fusioncam.report.tables.latex`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fusioncam.report.method_names import ablations, main_methods
from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import Interval, Leaders, compare, leaders
from fusioncam.report.tables.comparisons import paired, ranked
from fusioncam.report.tables.max_box_acc import max_box_page
from fusioncam.report.tables.model import (
    NOTHING,
    Cell,
    Page,
    Table,
    decimals_of,
    format_interval,
    format_p_value,
    is_baseline,
    ordered,
    split_baselines,
    three_digits,
)
from fusioncam.report.tables.notes import BOLD, INTERVALS, SHARES, counted, protocol_text, protocols, versions

STYLES = {"alone": "bold", "with others": "italic", "": ""}


def pages(results: Results) -> list[Page]:
    """Give all pages that the rows hold something for."""
    lists = ablations(results.methods, results.plan.get("tables"))
    methods = main_methods(results.methods, lists)
    found = [
        means("faithfulness", "Faithfulness", results, methods, ("faithfulness",)),
        means("localization", "Localization", results, methods, ("localization",)),
        max_box_page(results, methods),
        means("sanity", "Sanity and stability", results, methods, ("sanity",)),
        cost(results, methods),
        paired(results, methods),
        ranked(results, methods),
    ]
    for name, listed in lists.items():
        if name != "main":
            title = f"Ablation: {name.replace('-', ' ')}"
            found.append(means(f"ablation-{name}", title, results, listed, ("faithfulness", "localization")))
    return [page for page in found if page.tables]


@dataclass(frozen=True)
class Judged:
    """A column with the intervals of its methods, and who leads it."""

    column: Column
    intervals: dict[str, Interval]
    best: str | None
    equals: frozenset[str]
    twins: frozenset[str] = frozenset()

    def cell(self, method: str) -> Cell:
        """Give a method's cell."""
        if method not in self.intervals:
            return Cell(NOTHING)
        text, around = format_interval(self.intervals[method], self.decimals(method))
        return Cell(text, around, method in self.column.shared, STYLES[self.leads(method)])

    def leads(self, method: str) -> str:
        """Say whether a method leads "alone", "with others" that do not differ from it, or not: ""."""
        if method != self.best and method not in self.equals | self.twins:
            return ""
        return "with others" if self.equals else "alone"

    def decimals(self, method: str) -> int:
        """Give how many decimals a number is worth; costs differ by too much to have as many of them."""
        one = self.intervals[method]
        if self.column.family != "cost":
            return decimals_of(self.intervals.values())
        return 0 if one.low == one.high == round(one.mean) else three_digits(one.mean)


def judge(column: Column, contest: bool = True) -> Judged:
    """Give intervals of a column's methods, and say which leads among those that are no baselines."""
    intervals = {name: column.interval(name) for name in column.methods}
    part = column.only(name for name in column.methods if not is_baseline(name))
    led = Leaders(None)
    if contest and len(part.methods) > 1:
        led = leaders(part.values, higher_is_better=column.higher_is_better, rate=column.rate)
    best = None if led.best is None else part.methods[led.best]
    equals, twins = (frozenset(part.methods[place] for place in places) for places in (led.equals, led.twins))
    return Judged(column, intervals, best, equals, twins)


def means(name: str, title: str, results: Results, methods: Sequence[str], families: Sequence[str]) -> Page:
    """Make the page of the means of metrics, a table for each model."""
    judged = {
        model: [judge(one.only(methods)) for one in results.columns(model, families)] for model in results.models
    }
    return mean_page(name, title, results, judged, (INTERVALS, BOLD))


def cost(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of what methods cost; nobody leads it."""
    judged = {
        model: [judge(one.only(methods), contest=False) for one in columns]
        for model in results.models
        if (columns := [*results.costs(model), *results.columns(model, ("cost",))])
    }
    alone = "Seconds and passes are those of one image whose method runs alone."
    return mean_page("cost", "Cost", results, judged, (INTERVALS, alone))


def mean_page(name: str, title: str, results: Results, judged: dict[str, list[Judged]], notes: Iterable[str]) -> Page:
    """Make a page of judged columns by model."""
    tables = tuple(
        mean_table(f"{title}, {model}", results, model, columns) for model, columns in judged.items() if columns
    )
    columns = [one for listed in judged.values() for one in listed]
    marked = (SHARES,) if any(one.column.shared for one in columns) else ()
    records = tuple(record for one in columns for record in mean_records(one))
    return Page(
        name, title, tables, (*notes, *marked, *protocols(one.column for one in columns), *versions(results)), records
    )


def mean_table(title: str, results: Results, model: str, judged: Sequence[Judged]) -> Table:
    """Make the table of one model's judged columns."""
    methods = ordered({name: None for one in judged for name in one.column.methods}, results.methods)
    header = ("method", *(f"{one.column.metric} {one.column.direction}" for one in judged))
    body, apart = split_baselines(methods, lambda method: tuple(one.cell(method) for one in judged))
    notes = (
        *counted(results, model, [one.column for one in judged]),
        *(text for one in judged for text in surpassed(one)),
    )
    return Table(title, model, header, body, apart, notes)


def surpassed(judged: Judged) -> list[str]:
    """Name the baselines whose mean is better than the best method's, and say whether the difference holds."""
    column, best = judged.column, judged.best
    if best is None:
        return []
    sign = 1 if column.higher_is_better else -1
    told = []
    for name in filter(is_baseline, column.methods):
        if sign * judged.intervals[name].mean > sign * judged.intervals[best].mean:
            found = compare(
                column.of(name), column.of(best), higher_is_better=column.higher_is_better, rate=column.rate
            )
            verdict = "the difference holds" if found.holds and found.effect > 0 else "the difference does not hold"
            told.append(
                f"{column.metric}: the baseline {name} has a better mean than {best}; {verdict} (p {format_p_value(found.p)})."
            )
    return told


def mean_records(judged: Judged) -> list[dict[str, Any]]:
    """Give a column as records for CSV."""
    column = judged.column
    return [
        {
            "model": column.model,
            "metric": column.metric,
            "method": name,
            "mean": one.mean,
            "low": one.low,
            "high": one.high,
            "images": one.count,
            "undefined": one.undefined,
            "higher_is_better": column.higher_is_better,
            "baseline": is_baseline(name),
            "shares_objective": name in column.shared,
            "leads": judged.leads(name),
            "protocol": protocol_text(column.protocol),
        }
        for name, one in judged.intervals.items()
    ]
