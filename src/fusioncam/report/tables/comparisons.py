"""Tables that compare methods with each other: paired tests against a reference, and mean ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import PairedComparison, Ranks, compare_with_reference, rank_methods
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
)
from fusioncam.report.tables.notes import (
    PAIRED,
    RANKS,
    format_counts,
    format_protocol,
    optimised_note,
    protocol_notes,
    version_notes,
)
from fusioncam.utils.text import minus

Comparisons = Mapping[str, PairedComparison]


def paired_page(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of paired tests of each method against the reference, a table per metric and model."""
    reference = str(results.reference)
    tables, records, columns = [], [], []
    for column in columns_with(reference, results, methods):
        comparisons = _compare(column, reference)
        columns.append(column)
        tables.append(paired_table(column, reference, comparisons))
        records += [paired_record(column, name, reference, one) for name, one in comparisons.items()]
    notes = (
        f"Reference: {reference}. {PAIRED}",
        *optimised_note(columns),
        *protocol_notes(columns),
        *version_notes(results),
    )
    return Page("paired", f"Paired tests against {reference}", tuple(tables), notes, tuple(records))


def columns_with(reference: str, results: Results, methods: Sequence[str]) -> list[Column]:
    """Return the columns, costs left out, that hold the reference and at least one other of the methods."""
    columns = [column.select(methods) for model in results.models for column in results.columns(model)]
    return [
        column
        for column in columns
        if reference in column.methods and len(column.methods) > 1 and column.family != "cost"
    ]


def _compare(column: Column, reference: str) -> dict[str, PairedComparison]:
    comparisons = compare_with_reference(
        column.values,
        column.methods.index(reference),
        higher_is_better=column.higher_is_better,
        rate=column.rate,
    )
    return {
        name: comparison
        for name, comparison in zip(column.methods, comparisons, strict=True)
        if comparison is not None
    }


def paired_table(column: Column, reference: str, comparisons: Comparisons) -> Table:
    """Make the table of paired tests of one metric."""
    test = next(comparison.test for comparison in comparisons.values())
    header = ("method", "difference", f"p ({test}, Holm)", "effect", "wins / ties / losses")
    decimals = shared_decimals(comparison.difference for comparison in comparisons.values())

    def cells(method: str) -> tuple[Cell, ...]:
        comparison = comparisons[method]
        text, bounds = format_interval(comparison.difference, decimals, signed=True)
        return (
            Cell(text, bounds, method in column.optimised_by),
            Cell(format_p_value(comparison.p_holm), style="bold" if comparison.is_significant else ""),
            Cell(NO_VALUE if isnan(comparison.effect) else minus(f"{comparison.effect:+.2f}")),
            Cell(f"{comparison.wins} / {comparison.ties} / {comparison.losses}"),
        )

    body, baselines = split_baselines(comparisons, cells)
    title = f"{column.metric} {column.direction}, {column.model}"
    notes = _paired_notes(column, reference, comparisons)
    return Table(title, f"{column.metric} {column.model}", header, body, baselines, notes)


def _paired_notes(column: Column, reference: str, comparisons: Comparisons) -> tuple[str, ...]:
    notes = []
    if reference in column.optimised_by:
        notes.append(f"† The reference, {reference}, optimises what this metric measures.")
    counts = {
        name: comparison.difference.undefined
        for name, comparison in comparisons.items()
        if comparison.difference.undefined
    }
    if counts:
        left_out = format_counts(counts, list(comparisons))
        notes.append(f"Images left out because one of the two values is undefined: {left_out}.")
    return tuple(notes)


def paired_record(column: Column, method: str, reference: str, comparison: PairedComparison) -> dict[str, Any]:
    """Return a comparison as a record of the CSV file."""
    return {
        "model": column.model,
        "metric": column.metric,
        "method": method,
        "reference": reference,
        "difference": comparison.difference.mean,
        "low": comparison.difference.low,
        "high": comparison.difference.high,
        "p": comparison.p,
        "p_holm": comparison.p_holm,
        "effect": comparison.effect,
        "wins": comparison.wins,
        "ties": comparison.ties,
        "losses": comparison.losses,
        "images": comparison.difference.count,
        "undefined": comparison.difference.undefined,
        "test": comparison.test,
        "higher_is_better": column.higher_is_better,
        "baseline": is_baseline(method),
        "shares_objective": method in column.optimised_by,
        "protocol": format_protocol(column.protocol),
    }


# -- ranks -----------------------------------------------------------------------------------------------------


def ranks_page(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of mean ranks, a table per model."""
    ranked = {model: ranked_columns(results, model, methods) for model in results.models}
    columns = [column for pairs in ranked.values() for column, _ in pairs]
    tables = tuple(rank_table(results, model, pairs) for model, pairs in ranked.items() if pairs)
    records = tuple(
        record for pairs in ranked.values() for column, ranks in pairs for record in rank_records(column, ranks)
    )
    return Page("ranks", "Ranks", tables, (RANKS, *optimised_note(columns), *version_notes(results)), records)


def ranked_columns(results: Results, model: str, methods: Sequence[str]) -> list[tuple[Column, Ranks]]:
    """Return the columns of a model whose methods can be ranked, with their ranks."""
    pairs = [
        (column, rank_methods(column.values, higher_is_better=column.higher_is_better))
        for column in rankable_columns(results, model, methods)
    ]
    return [(column, ranks) for column, ranks in pairs if ranks is not None]


def rankable_columns(results: Results, model: str, methods: Sequence[str]) -> list[Column]:
    """Return the columns of a model without baselines and without costs."""
    kept = [name for name in methods if not is_baseline(name)]
    return [column.select(kept) for column in results.columns(model) if column.family != "cost"]


def rank_records(column: Column, ranks: Ranks) -> list[dict[str, Any]]:
    """Return the mean ranks of one column as records of the CSV file."""
    return [
        {
            "model": column.model,
            "metric": column.metric,
            "method": name,
            "mean_rank": mean,
            "images": ranks.count,
            "friedman_p": ranks.p,
            "critical_difference": ranks.critical_difference,
            "shares_objective": name in column.optimised_by,
            "protocol": format_protocol(column.protocol),
        }
        for name, mean in zip(column.methods, ranks.mean, strict=True)
    ]


def rank_table(results: Results, model: str, ranked: Sequence[tuple[Column, Ranks]]) -> Table:
    """Make the table of mean ranks of one model."""
    methods = sorted({name for column, _ in ranked for name in column.methods}, key=results.methods.index)

    def cell(column: Column, ranks: Ranks, method: str) -> Cell:
        if method not in column.methods:
            return Cell(NO_VALUE)
        return Cell(f"{ranks.mean[column.methods.index(method)]:.2f}", marked=method in column.optimised_by)

    body = [(name, tuple(cell(column, ranks, name) for column, ranks in ranked)) for name in methods]
    footer = (
        ("CD", tuple(Cell(f"{ranks.critical_difference:.2f}") for _, ranks in ranked)),
        ("Friedman's p", tuple(Cell(format_p_value(ranks.p)) for _, ranks in ranked)),
        ("images", tuple(Cell(str(ranks.count)) for _, ranks in ranked)),
    )
    header = ("method", *(f"{column.metric} {column.direction}" for column, _ in ranked))
    return Table(f"Mean ranks, {model}", model, header, tuple(body), footer)
