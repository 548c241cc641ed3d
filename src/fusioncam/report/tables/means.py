"""The pages of tables of a run: means with intervals, which method leads, and which baselines are better.

:mod:`fusioncam.report.tables.model` and :mod:`fusioncam.report.tables.latex` write them as Markdown and LaTeX.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fusioncam.report.method_names import ablations, main_methods
from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import Interval, Leaders, compare, find_leaders
from fusioncam.report.tables.aggregated import aggregated_page, power_page
from fusioncam.report.tables.comparisons import paired_page, ranks_page
from fusioncam.report.tables.max_box_acc import max_box_acc_page
from fusioncam.report.tables.model import (
    NO_VALUE,
    Cell,
    Page,
    Table,
    format_interval,
    format_p_value,
    is_baseline,
    shared_decimals,
    split_baselines,
    three_digit_decimals,
)
from fusioncam.report.tables.notes import (
    ALONE,
    BOLD,
    INTERVALS,
    format_protocol,
    image_notes,
    optimised_note,
    protocol_notes,
    version_notes,
)

STYLES = {"alone": "bold", "with others": "italic", "": ""}


def pages(results: Results) -> list[Page]:
    """Return all pages for which the rows hold values.

    Args:
        results: the results of a run, see :func:`fusioncam.report.read_results`.

    Returns:
        Pages of tables, such as "Faithfulness"; a table shows itself in a notebook.

    Examples:
        ```python
        for page in fc.report.pages(fc.report.read_results("run/")):
            print(page.title, [table.title for table in page.tables])
        ```
    """
    tables = ablations(results.methods, results.plan.get("tables"))
    methods = main_methods(results.methods, tables)
    found = [
        means_page("faithfulness", "Faithfulness", results, methods, ("faithfulness",)),
        means_page("localization", "Localization", results, methods, ("localization",)),
        max_box_acc_page(results, methods),
        means_page("sanity", "Sanity and stability", results, methods, ("sanity",)),
        cost_page(results, methods),
        paired_page(results, methods),
        ranks_page(results, methods),
        aggregated_page(results, methods),
        power_page(results, methods),
    ]
    for name, ablation in tables.items():
        if name != "main":
            title = f"Ablation: {name.replace('-', ' ')}"
            families = ("faithfulness", "localization")
            found.append(means_page(f"ablation-{name}", title, results, ablation, families))
    return [page for page in found if page.tables]


@dataclass(frozen=True)
class ColumnSummary:
    """A column with the intervals of its methods, and the methods that lead it.

    ``tied`` are the methods that do not differ significantly from the ``best`` one, ``duplicates`` those with the
    same values.
    """

    column: Column
    intervals: dict[str, Interval]
    best: str | None
    tied: frozenset[str]
    duplicates: frozenset[str] = frozenset()

    def cell(self, method: str) -> Cell:
        """Return the cell of a method."""
        if method not in self.intervals:
            return Cell(NO_VALUE)
        text, bounds = format_interval(self.intervals[method], self.decimals(method))
        return Cell(text, bounds, method in self.column.optimised_by, STYLES[self.leads(method)])

    def leads(self, method: str) -> str:
        """Return "alone" if a method leads, "with others" if it leads in a tie, and "" if it does not lead."""
        if method != self.best and method not in self.tied | self.duplicates:
            return ""
        return "with others" if self.tied else "alone"

    def decimals(self, method: str) -> int:
        """Return the number of decimals of a cell; costs differ too much to share one number of decimals."""
        interval = self.intervals[method]
        if self.column.family != "cost":
            return shared_decimals(self.intervals.values())
        return 0 if interval.low == interval.high == round(interval.mean) else three_digit_decimals(interval.mean)


def summarise(column: Column, rank: bool = True) -> ColumnSummary:
    """Compute the intervals of a column and, if ``rank`` is set, the methods that lead it, baselines left out."""
    intervals = {name: column.interval(name) for name in column.methods}
    candidates = column.select(name for name in column.methods if not is_baseline(name))
    names = candidates.methods
    found = Leaders(None)
    if rank and len(names) > 1:
        found = find_leaders(candidates.values, higher_is_better=column.higher_is_better, rate=column.rate)
    best = None if found.best is None else names[found.best]
    tied, duplicates = (frozenset(names[index] for index in indices) for indices in (found.tied, found.duplicates))
    return ColumnSummary(column, intervals, best, tied, duplicates)


def means_page(name: str, title: str, results: Results, methods: Sequence[str], families: Sequence[str]) -> Page:
    """Make the page of the means of some families of metrics, a table per model."""
    summaries = {
        model: [summarise(column.select(methods)) for column in results.columns(model, families)]
        for model in results.models
    }
    return summary_page(name, title, results, summaries, (INTERVALS, BOLD))


def cost_page(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of the costs of methods, a table per model; no method is marked as the leader."""
    summaries = {
        model: [
            summarise(column.select(methods), rank=False)
            for column in (*results.costs(model), *results.columns(model, ("cost",)))
        ]
        for model in results.models
    }
    return summary_page("cost", "Cost", results, summaries, (INTERVALS, ALONE))


def summary_page(
    name: str, title: str, results: Results, summaries: Mapping[str, list[ColumnSummary]], notes: Iterable[str]
) -> Page:
    """Make a page from column summaries by model."""
    tables = tuple(
        means_table(f"{title}, {model}", results, model, of_model)
        for model, of_model in summaries.items()
        if of_model
    )
    every = [summary for of_model in summaries.values() for summary in of_model]
    columns = [summary.column for summary in every]
    all_notes = (*notes, *optimised_note(columns), *protocol_notes(columns), *version_notes(results))
    records = tuple(record for summary in every for record in mean_records(summary))
    return Page(name, title, tables, all_notes, records)


def means_table(title: str, results: Results, model: str, summaries: Sequence[ColumnSummary]) -> Table:
    """Make the table of one model from its column summaries."""
    columns = [summary.column for summary in summaries]
    methods = sorted({name for column in columns for name in column.methods}, key=results.methods.index)
    header = ("method", *(f"{column.metric} {column.direction}" for column in columns))
    body, baselines = split_baselines(methods, lambda method: tuple(summary.cell(method) for summary in summaries))
    notes = (
        *image_notes(results, model, columns),
        *(note for summary in summaries for note in baseline_notes(summary)),
    )
    return Table(title, model, header, body, baselines, notes)


def baseline_notes(summary: ColumnSummary) -> list[str]:
    """Return a note for each baseline whose mean is better than the best method's, with the result of the test."""
    column, best = summary.column, summary.best
    if best is None:
        return []
    sign = 1 if column.higher_is_better else -1
    better = [
        name
        for name in column.methods
        if is_baseline(name) and sign * summary.intervals[name].mean > sign * summary.intervals[best].mean
    ]
    return [_baseline_note(column, name, best) for name in better]


def _baseline_note(column: Column, baseline: str, best: str) -> str:
    test = compare(
        column.values_of(baseline),
        column.values_of(best),
        higher_is_better=column.higher_is_better,
        rate=column.rate,
    )
    verdict = "is significant" if test.is_significant and test.effect > 0 else "is not significant"
    return (
        f"{column.metric}: the baseline {baseline} has a better mean than {best}; "
        f"the difference {verdict} (p {format_p_value(test.p)})."
    )


def mean_records(summary: ColumnSummary) -> list[dict[str, Any]]:
    """Return a column as records of the CSV file."""
    column = summary.column
    return [
        {
            "model": column.model,
            "metric": column.metric,
            "method": name,
            "mean": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "images": interval.count,
            "undefined": interval.undefined,
            "higher_is_better": column.higher_is_better,
            "baseline": is_baseline(name),
            "shares_objective": name in column.optimised_by,
            "leads": summary.leads(name),
            "protocol": format_protocol(column.protocol),
        }
        for name, interval in summary.intervals.items()
    ]
