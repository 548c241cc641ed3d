"""Metrics that are measured on several images at once, such as the grid pointing game."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fusioncam.benchmark.evaluator import Evaluator, finite_or_none
from fusioncam.benchmark.journal import Journal
from fusioncam.data.datasets.sample import Sample
from fusioncam.errors import describe_error
from fusioncam.inference.costs import track_cost
from fusioncam.metrics.base import MetricLike
from fusioncam.metrics.grid_pointing_game import groups
from fusioncam.utils.stored_files import Row


def multi_image_metrics(metrics: Mapping[str, MetricLike]) -> list[str]:
    """Return the names of the metrics that take the images of a mosaic."""
    return [name for name, metric in metrics.items() if hasattr(metric, "tiles")]


def stored_classes(evaluator: Evaluator, journal: Journal) -> dict[str, int]:
    """Return the target class of each image that has stored rows with one, by the image's name."""
    rows = (row for sample in evaluator.samples for row in journal.rows(evaluator.name, sample.name))
    return {row["image"]: row["target"] for row in rows if row["target"] is not None}


def group_images(evaluator: Evaluator, metric: str, classes: Mapping[str, int]) -> list[list[Sample]]:
    """Group the images into mosaics of different classes, always the same; each image left over is a group of one."""
    measured: Any = evaluator.metrics[metric]
    samples = [sample for sample in evaluator.samples if sample.name in classes]
    tiles = measured.tiles(torch.empty(1, 1, 1, 1))
    grouped = groups([classes[sample.name] for sample in samples], tiles, evaluator.seed)
    left_over = {*range(len(samples))}.difference(*grouped)
    return [[samples[n] for n in group] for group in [*grouped, *([n] for n in sorted(left_over))]]


def measure_group(evaluator: Evaluator, metric: str, group: Sequence[Sample]) -> list[list[Row]]:
    """Return each image's rows, one per method; an image that is a group of its own has rows without a value."""
    inputs = [evaluator.prepare(sample) for sample in group]
    x, target = torch.cat([given.x for given in inputs]), torch.cat([given.target for given in inputs])
    layer = evaluator.model.layers.default(x)
    rows: list[list[Row]] = [[] for _ in group]
    for method in evaluator.methods:
        measured = [{}] * len(group) if len(group) == 1 else _measure(evaluator, metric, method, x, target)
        for n, sample in enumerate(group):
            common = {"target": int(target[n]), "layer": layer}
            rows[n].append(evaluator.row(sample, method, metric) | common | measured[n])
    return rows


def _measure(evaluator: Evaluator, metric: str, method: str, x: Tensor, target: Tensor) -> Sequence[Row]:
    heatmaps = x.new_zeros(len(x), *x.shape[2:])  # unused: the metric computes those of the mosaics
    try:
        with evaluator.seeded(method, metric), track_cost() as cost:
            values = evaluator.metrics[metric](evaluator.model, x, target, heatmaps, method=evaluator.methods[method])
            numbers = [finite_or_none(value) for value in values]
    except Exception as error:  # the user's network or method may raise any error
        return [{"error": describe_error(error)}] * len(x)
    seconds = cost.standalone().seconds / len(x)
    return [{"value": number, "metric_seconds": seconds} for number in numbers]
