"""Tables of ranks over networks, data sets and families of metrics, and of how many images differences need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from fusioncam.errors import ResultsError
from fusioncam.report.method_names import ablations, main_methods
from fusioncam.report.results import Column, Results, read_results
from fusioncam.report.statistics import (
    AggregatedRanks,
    aggregate_ranks,
    detectable_difference,
    differences,
    disagreements,
    images_needed,
    rank_methods,
)
from fusioncam.report.tables.comparisons import columns_with, rankable_columns
from fusioncam.report.tables.model import NO_VALUE, Cell, Page, Table, format_p_value
from fusioncam.report.tables.notes import optimised_note, version_notes
from fusioncam.utils.text import minus

AGGREGATED = (
    "Mean rank over settings ± standard deviation; a setting is one metric on one network and data set, in which the "
    "methods are ranked by their mean rank over images. 1 is the best, and only methods with a value in all settings "
    "of a column are ranked. W is Kendall's coefficient: 1 if all settings rank the methods alike, near 0 if they "
    "have nothing in common. CD: Nemenyi's critical difference (5 %) over settings. Settings that share images or "
    "networks are not independent, so that CD and p are too small."
)
POWER = (
    "Detectable: the smallest mean difference that a paired test of these images finds with a probability of 80 % at "
    "the 5 % level, from the spread of the differences. A smaller true difference is often missed, so that a test "
    "that is not significant does not show equality. Images needed: for a difference as large as the observed one."
)


@dataclass(frozen=True)
class Setting:
    """The mean ranks of methods in one metric on one network and data set."""

    data: str
    model: str
    metric: str
    family: str
    ranks: dict[str, float]
    optimised_by: frozenset[str]


def settings_of(results: Results, methods: Sequence[str], data: str = "") -> list[Setting]:
    """Return a setting for each metric of each model whose methods can be ranked; costs are left out."""
    found = []
    for model in results.models:
        for column in rankable_columns(results, model, methods):
            ranks = rank_methods(column.values, higher_is_better=column.higher_is_better)
            if ranks is not None:
                mean = dict(zip(column.methods, map(float, ranks.mean), strict=True))
                optimised = frozenset(column.optimised_by)
                found.append(Setting(data, model, column.metric, column.family, mean, optimised))
    return found


def aggregated_page(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of ranks over the networks and metrics of a run, a column for each family of metrics."""
    settings = settings_of(results, methods)
    columns = [column for model in results.models for column in rankable_columns(results, model, methods)]
    notes = (AGGREGATED, *optimised_note(columns), *version_notes(results))
    return page_of_settings(settings, results.methods, notes)


def aggregate_runs(folders: Mapping[str, str | Path]) -> Page:
    """Make the page of ranks over several runs of ``fusioncam benchmark``, given by the names of their data sets.

    Raises :class:`ResultsError` for a folder without rows.
    """
    runs = {name: read_results(Path(folder)) for name, folder in folders.items()}
    if not runs:
        raise ResultsError("aggregate_runs needs at least one folder of a run, got none")
    settings, order = [], dict[str, None]()
    for name, results in runs.items():
        methods = main_methods(results.methods, ablations(results.methods, results.plan.get("tables")))
        settings += settings_of(results, methods, name)
        order |= dict.fromkeys(methods)
    return page_of_settings(settings, list(order), (AGGREGATED,))


def page_of_settings(settings: Sequence[Setting], order: Sequence[str], notes: tuple[str, ...]) -> Page:
    """Make the page of settings: a table over all of them, if there are several to aggregate."""
    families = dict.fromkeys(one.family for one in settings)
    groups = {family: [one for one in settings if one.family == family] for family in families}
    if len(families) > 1:
        groups = {"all": list(settings)} | groups
    columns = {name: aggregated for name, group in groups.items() if (aggregated := _aggregate(group, order))}
    tables = (_table(columns, groups, order),) if columns else ()
    notes = (*notes, *(_disagreement_note(name, groups[name], methods) for name, (methods, _) in columns.items()))
    return Page("aggregated-ranks", "Ranks over networks and metrics", tables, notes, tuple(_records(columns)))


Aggregated = tuple[list[str], AggregatedRanks]


def _aggregate(group: Sequence[Setting], order: Sequence[str]) -> Aggregated | None:
    """Return the methods that have a rank in all settings, and their aggregated ranks."""
    shared = [name for name in order if group and all(name in one.ranks for one in group)]
    found = aggregate_ranks([[one.ranks[name] for name in shared] for one in group]) if len(shared) > 2 else None
    return None if found is None else (shared, found)


def _disagreement_note(name: str, group: Sequence[Setting], methods: Sequence[str]) -> str:
    """Return a note with the two settings that rank the methods least alike."""
    titles = [" on ".join(filter(None, (one.metric, one.model, one.data))) for one in group]
    first, second, correlation = disagreements([[one.ranks[method] for method in methods] for one in group], titles)[
        0
    ]
    number = minus(f"{correlation:.2f}")
    return f"{name}: {first} and {second} rank the methods least alike (rank correlation {number})."


def _table(columns: Mapping[str, Aggregated], groups: Mapping[str, list[Setting]], order: Sequence[str]) -> Table:
    def cell(group: str, method: str) -> Cell:
        methods, found = columns[group]
        if method not in methods:
            return Cell(NO_VALUE)
        index = methods.index(method)
        marked = any(method in one.optimised_by for one in groups[group])
        return Cell(f"{found.ranks.mean[index]:.2f} ± {found.deviation[index]:.2f}", marked=marked)

    shown = {name for methods, _ in columns.values() for name in methods}
    body = [(name, tuple(cell(group, name) for group in columns)) for name in order if name in shown]
    aggregated = [found for _, found in columns.values()]
    footer = (
        ("W", tuple(Cell(NO_VALUE if isnan(one.agreement) else f"{one.agreement:.2f}") for one in aggregated)),
        ("CD", tuple(Cell(f"{one.ranks.critical_difference:.2f}") for one in aggregated)),
        ("Friedman's p", tuple(Cell(format_p_value(one.ranks.p)) for one in aggregated)),
        ("settings", tuple(Cell(str(one.ranks.count)) for one in aggregated)),
    )
    return Table("Mean ranks over settings", "all", ("method", *columns), tuple(body), footer)


def _records(columns: Mapping[str, Aggregated]) -> list[dict[str, Any]]:
    return [
        {
            "family": group,
            "method": name,
            "mean_rank": float(found.ranks.mean[index]),
            "deviation": float(found.deviation[index]),
            "kendall_w": found.agreement,
            "critical_difference": found.ranks.critical_difference,
            "friedman_p": found.ranks.p,
            "settings": found.ranks.count,
        }
        for group, (methods, found) in columns.items()
        for index, name in enumerate(methods)
    ]


# -- power -------------------------------------------------------------------------------------------------------


def power_page(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of the differences from the reference that the images of a run can show, a table per model."""
    reference = str(results.reference)
    tables, records = [], []
    for column in columns_with(reference, results, methods):
        found = _power_records(column, reference)
        records += found
        tables.append(_power_table(column, reference, found))
    notes = (f"Reference: {reference}. {POWER}", *version_notes(results))
    return Page("power", f"Power against {reference}", tuple(tables), notes, tuple(records))


def _power_records(column: Column, reference: str) -> list[dict[str, Any]]:
    records = []
    for method in column.methods:
        if method == reference:
            continue
        change = differences(column.values_of(method), column.values_of(reference))
        mean = float(np.nanmean(change)) if not np.isnan(change).all() else np.nan
        records.append(
            {
                "model": column.model,
                "metric": column.metric,
                "method": method,
                "reference": reference,
                "difference": mean,
                "detectable": detectable_difference(change, rate=column.rate),
                "images_needed": np.nan if isnan(mean) else images_needed(change, mean, rate=column.rate),
                "images": int((~np.isnan(change)).sum()),
            }
        )
    return records


def _power_table(column: Column, reference: str, records: Sequence[dict[str, Any]]) -> Table:
    def number(value: float) -> Cell:
        return Cell(NO_VALUE if isnan(value) else f"{abs(value):.2g}")

    def count(value: float) -> Cell:
        if isnan(value) or value > 1e6:
            return Cell(NO_VALUE if isnan(value) else "over a million")
        return Cell(f"{value:.0f}")

    body = tuple(
        (one["method"], (number(one["difference"]), number(one["detectable"]), count(one["images_needed"])))
        for one in records
    )
    header = ("method", "size of the difference", "detectable", "images needed")
    footer = (("images of the run", (Cell(""), Cell(""), Cell(str(max(one["images"] for one in records))))),)
    title = f"{column.metric}, {column.model}, against {reference}"
    return Table(title, f"{column.metric} {column.model}", header, body, footer)
