"""The table of MaxBoxAcc, which is no mean of images: its threshold is chosen over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fusioncam.functional.boxes import RESAMPLES, THRESHOLDS, MaxBoxAcc, max_box_acc
from fusioncam.report.method_names import base_name
from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import Interval
from fusioncam.report.tables.model import Cell, Page, Table, decimals_of, format_interval, split_baselines
from fusioncam.report.tables.notes import protocols, versions

BOXES = "box-accuracy"
CHOSEN = (
    "Cells: the share of images whose boxes reach the IoU, at the one threshold where it is largest, "
    f"[95 % percentile bootstrap over images, {RESAMPLES} resamples]. Mean: of the IoUs, each at its own threshold "
    "(MaxBoxAccV2). In round brackets that threshold, a share of the heatmap's maximum."
)


def max_box_page(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of MaxBoxAcc, a table for each model and kind of boxes whose curves the rows hold."""
    columns = [one for model in results.models for one in results.columns(model) if base_name(one.metric) == BOXES]
    found = [(column, judged) for column in columns if (judged := dict(_judged(results, column, methods)))]
    tables = tuple(_table(column, judged) for column, judged in found)
    records = tuple(record for column, judged in found for record in _records(column, judged))
    notes = (CHOSEN, *protocols(column for column, _ in found), *versions(results))
    return Page("max-box-acc", "MaxBoxAcc", tables, notes, records)


def _judged(results: Results, column: Column, methods: Sequence[str]) -> Iterator[tuple[str, MaxBoxAcc]]:
    for name, curves in results.curves(column.model, column.metric):
        if name in methods and not np.isnan(curves).any():
            yield name, max_box_acc(curves, _deltas(column))


def _deltas(column: Column) -> list[float]:
    deltas: list[float] = column.protocol["deltas"]
    return deltas


def _table(column: Column, judged: dict[str, MaxBoxAcc]) -> Table:
    decimals = decimals_of(_interval(one) for one in judged.values())

    def cells(name: str) -> tuple[Cell, ...]:
        one = judged[name]
        text, around = format_interval(_interval(one), decimals)
        parts = zip(one.of_deltas, one.thresholds, strict=True)
        return (
            Cell(text, around),
            *(Cell(f"{value:.{decimals}f} ({THRESHOLDS[place]:.2f})") for value, place in parts),
        )

    body, apart = split_baselines(judged, cells)
    header = ("method", "mean ↑", *(f"IoU {delta:g} ↑" for delta in _deltas(column)))
    return Table(
        f"MaxBoxAcc, {column.model}, {column.metric}", f"{column.model}-{column.metric}", header, body, apart
    )


def _interval(one: MaxBoxAcc) -> Interval:
    return Interval(one.value, one.low, one.high, 0)


def _records(column: Column, judged: dict[str, MaxBoxAcc]) -> Iterator[dict[str, Any]]:
    for name, one in judged.items():
        facts: dict[str, Any] = {"model": column.model, "metric": column.metric, "method": name}
        facts |= {"value": one.value, "low": one.low, "high": one.high}
        for delta, value, place in zip(_deltas(column), one.of_deltas, one.thresholds, strict=True):
            facts |= {f"iou_{delta:g}": value, f"threshold_{delta:g}": THRESHOLDS[place]}
        yield facts
