"""Tables of methods against one another: paired tests against a reference, and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import PairedComparison, Ranks, comparisons, rank
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
)
from fusioncam.report.tables.notes import PAIRED, RANKS, SHARES, listed, protocol_text, protocols, versions
from fusioncam.utils.text import minus


def paired(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of each method against the reference, a table for each metric and model."""
    title, reference = f"Paired tests against {results.reference}", results.reference
    tables, records, columns = [], [], []
    for model in results.models:
        for whole in results.columns(model):
            column = whole.only(methods)
            if reference not in column.methods or len(column.methods) < 2 or column.family == "cost":
                continue
            place = column.methods.index(str(reference))
            found = comparisons(column.values, place, higher_is_better=column.higher_is_better, rate=column.rate)
            beside = {name: one for name, one in zip(column.methods, found, strict=True) if one is not None}
            tables.append(paired_table(column, str(reference), beside))
            records += [paired_record(column, name, str(reference), one) for name, one in beside.items()]
            columns.append(column)
    marked = (SHARES,) if any(one.shared for one in columns) else ()
    notes = (f"Reference: {reference}. {PAIRED}", *marked, *protocols(columns), *versions(results))
    return Page("paired", title, tuple(tables), notes, tuple(records))


def paired_table(column: Column, reference: str, beside: dict[str, PairedComparison]) -> Table:
    """Make the table of one metric."""
    test = next(one.test for one in beside.values())
    header = ("method", "difference", f"p ({test}, Holm)", "effect", "wins / ties / losses")
    decimals = decimals_of(one.difference for one in beside.values())

    def cells(method: str) -> tuple[Cell, ...]:
        one = beside[method]
        text, around = format_interval(one.difference, decimals, signed=True)
        return (
            Cell(text, around, method in column.shared),
            Cell(format_p_value(one.holm), style="bold" if one.holds else ""),
            Cell(NOTHING if isnan(one.effect) else minus(f"{one.effect:+.2f}")),
            Cell(f"{one.wins} / {one.ties} / {one.losses}"),
        )

    body, apart = split_baselines(beside, cells)
    left_out = {name: one.difference.undefined for name, one in beside.items() if one.difference.undefined}
    notes = []
    if reference in column.shared:
        notes.append(f"† The reference, {reference}, chooses by what this metric measures.")
    if left_out:
        notes.append(f"Images left out, where one of the two is undefined: {listed(left_out, list(beside))}.")
    title = f"{column.metric} {column.direction}, {column.model}"
    return Table(title, f"{column.metric} {column.model}", header, body, apart, tuple(notes))


def paired_record(column: Column, method: str, reference: str, one: PairedComparison) -> dict[str, Any]:
    """Give a comparison as a record for CSV."""
    return {
        "model": column.model,
        "metric": column.metric,
        "method": method,
        "reference": reference,
        "difference": one.difference.mean,
        "low": one.difference.low,
        "high": one.difference.high,
        "p": one.p,
        "p_holm": one.holm,
        "effect": one.effect,
        "wins": one.wins,
        "ties": one.ties,
        "losses": one.losses,
        "images": one.difference.count,
        "undefined": one.difference.undefined,
        "test": one.test,
        "higher_is_better": column.higher_is_better,
        "baseline": is_baseline(method),
        "shares_objective": method in column.shared,
        "protocol": protocol_text(column.protocol),
    }


def ranked(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of mean ranks, a table for each model."""
    tables, records, columns = [], [], []
    for model in results.models:
        found = {}
        for column in rankable(results, model, methods):
            ranks = rank(column.values, higher_is_better=column.higher_is_better)
            if ranks is None:
                continue
            found[column.metric] = (column, ranks)
            columns.append(column)
            records += [
                {
                    "model": model,
                    "metric": column.metric,
                    "method": name,
                    "mean_rank": mean,
                    "images": ranks.count,
                    "friedman_p": ranks.p,
                    "critical_difference": ranks.critical_difference,
                    "shares_objective": name in column.shared,
                    "protocol": protocol_text(column.protocol),
                }
                for name, mean in zip(column.methods, ranks.mean, strict=True)
            ]
        if found:
            tables.append(rank_table(results, model, found))
    marked = (SHARES,) if any(one.shared for one in columns) else ()
    return Page("ranks", "Ranks", tuple(tables), (RANKS, *marked, *versions(results)), tuple(records))


def rankable(results: Results, model: str, methods: Sequence[str]) -> list[Column]:
    """Give a model's columns of metrics of quality, without baselines."""
    kept = [name for name in methods if not is_baseline(name)]
    return [one.only(kept) for one in results.columns(model) if one.family != "cost"]


def rank_table(results: Results, model: str, found: dict[str, tuple[Column, Ranks]]) -> Table:
    """Make the table of one model's mean ranks."""
    methods = ordered({name: None for column, _ in found.values() for name in column.methods}, results.methods)

    def cell(column: Column, ranks: Ranks, method: str) -> Cell:
        if method not in column.methods:
            return Cell(NOTHING)
        return Cell(f"{ranks.mean[column.methods.index(method)]:.2f}", marked=method in column.shared)

    body = [(name, tuple(cell(column, ranks, name) for column, ranks in found.values())) for name in methods]
    apart = (
        ("CD", tuple(Cell(f"{ranks.critical_difference:.2f}") for _, ranks in found.values())),
        ("Friedman's p", tuple(Cell(format_p_value(ranks.p)) for _, ranks in found.values())),
        ("images", tuple(Cell(str(ranks.count)) for _, ranks in found.values())),
    )
    header = ("method", *(f"{column.metric} {column.direction}" for column, _ in found.values()))
    return Table(f"Mean ranks, {model}", model, header, tuple(body), apart)
