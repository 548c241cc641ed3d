"""Metrics that are played with several images at once, as the grid pointing game is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from fusioncam.benchmark.evaluator import Evaluator, number
from fusioncam.benchmark.results_store import Journal, Row
from fusioncam.data.datasets.sample import Sample
from fusioncam.errors import describe_error
from fusioncam.inference.costs import track_cost
from fusioncam.metrics.base import MetricLike
from fusioncam.metrics.grid_pointing_game import groups


def games_in(metrics: Mapping[str, MetricLike]) -> list[str]:
    """List the metrics that take the images of a mosaic."""
    return [name for name, metric in metrics.items() if hasattr(metric, "tiles")]


def classes_of(bench: Evaluator, journal: Journal) -> dict[str, int]:
    """Give each image's class by its name, where its rows tell it."""
    rows = (row for sample in bench.samples for row in journal.rows(bench.name, sample.name))
    return {row["image"]: row["target"] for row in rows if row["target"] is not None}


def groups_for(bench: Evaluator, game: str, classes: Mapping[str, int]) -> list[list[Sample]]:
    """Put the images in groups of different classes, the same ones at every call; those left over are alone."""
    metric: Any = bench.metrics[game]
    able = [one for one in bench.samples if one.name in classes]
    tiles = metric.tiles(torch.empty(1, 1, 1, 1))
    chosen = groups([classes[one.name] for one in able], tiles, bench.seed)
    alone = {*range(len(able))}.difference(*chosen)
    return [[able[place] for place in group] for group in [*chosen, *([place] for place in sorted(alone))]]


def play(bench: Evaluator, game: str, group: Sequence[Sample]) -> Iterator[list[Row]]:
    """Give each image's rows of one game, a row a method: without a value for an image that is alone."""
    given = [bench.given(one) for one in group]
    x, target = torch.cat([one.x for one in given]), torch.cat([one.target for one in given])
    layer = bench.model.layers.default(x)
    rows: list[list[Row]] = [[] for _ in group]
    for name in bench.methods:
        facts = [{}] * len(group) if len(group) == 1 else _played(bench, game, name, x, target)
        for n, sample in enumerate(group):
            about = {"target": int(target[n]), "layer": layer}
            rows[n].append(bench.row(sample, name, game) | about | facts[n])
    yield from rows


def _played(bench: Evaluator, game: str, name: str, x: torch.Tensor, target: torch.Tensor) -> Sequence[Row]:
    heatmaps = x.new_zeros(len(x), *x.shape[2:])  # those of mosaics are made anew
    try:
        with bench.seeded(name, game), track_cost() as bill:
            values = bench.metrics[game](bench.model, x, target, heatmaps, method=bench.methods[name])
            found = [number(value) for value in values]
    except Exception as error:  # of the network too: the user's code may raise anything
        return [{"error": describe_error(error)}] * len(x)
    seconds = bill.standalone().seconds / len(x)
    return [{"value": value, "metric_seconds": seconds} for value in found]
