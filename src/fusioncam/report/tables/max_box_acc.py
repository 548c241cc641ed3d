"""The table of MaxBoxAcc, which is not a mean over images: one threshold is chosen for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fusioncam.functional.boxes import RESAMPLES, THRESHOLDS, MaxBoxAcc, max_box_acc
from fusioncam.report.method_names import base_name
from fusioncam.report.results import Column, Results
from fusioncam.report.statistics import Interval
from fusioncam.report.tables.model import Cell, Page, Table, format_interval, shared_decimals, split_baselines
from fusioncam.report.tables.notes import protocol_notes, version_notes

METRIC = "box-accuracy"
NOTE = (
    "Cells: the share of images whose boxes reach the IoU, at the threshold that maximises it, "
    f"[95 % percentile bootstrap over images, {RESAMPLES} resamples]. Mean: over the IoUs, each at its own threshold "
    "(MaxBoxAccV2). The threshold is in round brackets, as a share of the heatmap's maximum."
)

Accuracies = Mapping[str, MaxBoxAcc]


def max_box_acc_page(results: Results, methods: Sequence[str]) -> Page:
    """Make the page of MaxBoxAcc, a table for each model and kind of boxes whose curves are stored."""
    columns = [
        column for model in results.models for column in results.columns(model) if base_name(column.metric) == METRIC
    ]
    measured = [
        (column, accuracies) for column in columns if (accuracies := dict(_accuracies(results, column, methods)))
    ]
    tables = tuple(_table(column, accuracies) for column, accuracies in measured)
    records = tuple(record for column, accuracies in measured for record in _records(column, accuracies))
    notes = (NOTE, *protocol_notes(column for column, _ in measured), *version_notes(results))
    return Page("max-box-acc", "MaxBoxAcc", tables, notes, records)


def _accuracies(results: Results, column: Column, methods: Sequence[str]) -> Iterator[tuple[str, MaxBoxAcc]]:
    for name, curves in results.curves(column.model, column.metric):
        if name in methods and not np.isnan(curves).any():
            yield name, max_box_acc(curves, _ious(column))


def _ious(column: Column) -> list[float]:
    ious: list[float] = column.protocol["deltas"]
    return ious


def _table(column: Column, accuracies: Accuracies) -> Table:
    decimals = shared_decimals(_interval(accuracy) for accuracy in accuracies.values())

    def cells(name: str) -> tuple[Cell, ...]:
        accuracy = accuracies[name]
        text, bounds = format_interval(_interval(accuracy), decimals)
        pairs = zip(accuracy.of_deltas, accuracy.thresholds, strict=True)
        return (
            Cell(text, bounds),
            *(Cell(f"{value:.{decimals}f} ({THRESHOLDS[index]:.2f})") for value, index in pairs),
        )

    body, baselines = split_baselines(accuracies, cells)
    header = ("method", "mean ↑", *(f"IoU {iou:g} ↑" for iou in _ious(column)))
    title = f"MaxBoxAcc, {column.model}, {column.metric}"
    return Table(title, f"{column.model}-{column.metric}", header, body, baselines)


def _interval(accuracy: MaxBoxAcc) -> Interval:
    return Interval(accuracy.value, accuracy.low, accuracy.high, 0)


def _records(column: Column, accuracies: Accuracies) -> Iterator[dict[str, Any]]:
    for name, accuracy in accuracies.items():
        record: dict[str, Any] = {"model": column.model, "metric": column.metric, "method": name}
        record |= {"value": accuracy.value, "low": accuracy.low, "high": accuracy.high}
        for iou, value, index in zip(_ious(column), accuracy.of_deltas, accuracy.thresholds, strict=True):
            record |= {f"iou_{iou:g}": value, f"threshold_{iou:g}": THRESHOLDS[index]}
        yield record
