"""Evaluate methods and metrics on the images of one model: heatmaps, their costs, and rows of values."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from fusioncam.data.datasets.sample import Sample
from fusioncam.data.ground_truth import Truth
from fusioncam.errors import MissingTruthError, NonFiniteError, TargetError, describe_error
from fusioncam.explanations.explanation import run_facts
from fusioncam.explanations.method_output import validated_on_cpu
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.inference.context import image_names
from fusioncam.inference.costs import track_cost
from fusioncam.inference.counters import PassCost
from fusioncam.inference.engines.openvino_import import installed
from fusioncam.methods.base import Method, layers_of
from fusioncam.metrics.base import MetricLike, protocol
from fusioncam.metrics.registry import curve_of, optimises_metric
from fusioncam.metrics.registry import measure as measure_metric
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.stored_files import COLUMNS, Key, Row


@dataclass(frozen=True)
class Input:
    """The network's input ``x`` ``(1, C, H, W)`` of an image, its target class ``(1,)``, and its truth if known."""

    x: Tensor
    target: Tensor
    truth: Truth | None


@dataclass(frozen=True)
class TimedHeatmap:
    """A method's heatmap ``(1, H, W)`` of an image, and what it costs to compute it on its own."""

    heatmap: Tensor
    cost: PassCost


@dataclass(frozen=True)
class Evaluator:
    """A model under its name, and the methods, metrics and images to evaluate on it.

    ``target`` and ``seed`` are those of the plan. Errors of the user's own network, methods and metrics become rows.
    """

    model: ExplainedModel
    name: str
    methods: Mapping[str, Method]
    metrics: Mapping[str, MetricLike]
    samples: Sequence[Sample]
    target: str = "predicted"
    seed: int = 0

    @cached_property
    def versions(self) -> str:
        """The versions of packages, the device, and the precision and the engine that were requested, as JSON."""
        versions = dict(run_facts(self.model.name, self.model.preprocessing)["versions"])
        speed = self.model.speed
        if speed.engine != "torch" and installed():
            versions["openvino"] = version("openvino")
        settings = {"device": str(self.model.device), "precision": speed.precision, "engine": speed.engine}
        return json.dumps(versions | settings)

    @cached_property
    def protocols(self) -> dict[str, str]:
        """The protocol of each metric, as JSON."""
        return {name: json.dumps(protocol(metric)) for name, metric in self.metrics.items()}

    # -- images ------------------------------------------------------------------------------------------------

    def prepare(self, sample: Sample) -> Input:
        """Open an image and choose its target class; the truth is None if it is of another class.

        Raises :class:`ImageError`, :class:`TargetError` for an image without the label that the plan asks for, and
        :class:`NonFiniteError` for scores with NaN or infinity.
        """
        preprocessing = self.model.preprocessing
        x = preprocessing(sample.open(preprocessing.channels))[None].to(self.model.device)
        scores = self.model.logits(x)[0].float().cpu()
        if not scores.isfinite().all():
            raise NonFiniteError("the network returned NaN or infinity among its scores")
        correct = sample.classes or (() if sample.label is None else (sample.label,))
        if self.target == "label" and not correct:
            raise TargetError(f"{sample.name} has no label: use --target predicted, or leave the image out")
        target = sample.target(scores) if self.target == "label" else int(scores.argmax())
        has_truth = not correct or target in correct
        truth = sample.truth(preprocessing) if has_truth else None
        return Input(x, torch.tensor([target]), truth)

    def measure(
        self, sample: Sample, missing: Iterable[Key], kept: Mapping[str, TimedHeatmap]
    ) -> tuple[list[Row], dict[str, Tensor]]:
        """Return the rows of the missing (method, metric) pairs, and the heatmaps ``(H, W)`` by method.

        ``kept`` are heatmaps that need not be computed again. An error becomes a row: of the image, of one method, or
        of one metric of a method.
        """
        try:
            rows, heatmaps = self._measure(sample, frozenset(missing), dict(kept))
        except Exception as error:  # the user's network may raise any error
            return [self.row(sample, error=describe_error(error))], {}
        return rows, {name: timed.heatmap[0] for name, timed in heatmaps.items()}

    def _measure(
        self, sample: Sample, missing: frozenset[Key], heatmaps: dict[str, TimedHeatmap]
    ) -> tuple[list[Row], dict[str, TimedHeatmap]]:
        methods = [name for name in self.methods if any(name == method for method, _ in missing)]
        pairs = [(name, metric) for name in methods for metric in self.metrics if (name, metric) in missing]
        with image_names([sample.name]):
            with cached_passes():
                given = self.prepare(sample)
                common = {"target": int(given.target), "layer": self.model.layers.default(given.x)}
                rows = self._explain_all(sample, given, methods, heatmaps)
                rows += self._values(sample, given, heatmaps, [pair for pair in pairs if self._is_cached(pair)])
            # outside of the cache, which would keep the passes of every heatmap that these metrics compute
            rows += self._values(sample, given, heatmaps, [pair for pair in pairs if not self._is_cached(pair)])
        return [row | common for row in rows], heatmaps

    def _is_cached(self, pair: Key) -> bool:
        metric = self.metrics[pair[1]]
        return getattr(metric, "shares_passes", False) or not getattr(metric, "needs_method", False)

    def _explain_all(
        self, sample: Sample, given: Input, methods: Sequence[str], heatmaps: dict[str, TimedHeatmap]
    ) -> list[Row]:
        """Add the methods' heatmaps that are not there yet, and return rows with the errors."""
        rows = []
        with prefetch_layers(given.x, set().union(*(layers_of(self.methods[name]) for name in methods))):
            for name in methods:
                try:
                    heatmaps[name] = heatmaps.get(name) or self._explain(sample, given, name)
                except Exception as error:  # the user's method may raise any error
                    rows.append(self.row(sample, name, error=describe_error(error)))
        return rows

    def _explain(self, sample: Sample, given: Input, name: str) -> TimedHeatmap:
        method = self.methods[name]
        with self.seeded(sample.name, name), track_cost() as cost:
            heatmap = validated_on_cpu(method(self.model, given.x, given.target), given.x, method)
        return TimedHeatmap(heatmap, cost.standalone())

    # -- values ------------------------------------------------------------------------------------------------

    def _values(
        self, sample: Sample, given: Input, heatmaps: Mapping[str, TimedHeatmap], pairs: Iterable[Key]
    ) -> list[Row]:
        return [
            self._value(sample, given, heatmaps[name], name, metric) for name, metric in pairs if name in heatmaps
        ]

    def _value(self, sample: Sample, given: Input, timed: TimedHeatmap, name: str, metric: str) -> Row:
        columns: Row = {}
        try:
            with self.seeded(sample.name, name, metric), track_cost() as cost:
                columns = self._value_and_curve(self.metrics[metric], given, timed.heatmap, self.methods[name])
        except MissingTruthError:  # the value is undefined without the box or mask that the metric needs
            pass
        except Exception as error:  # the user's metric may raise any error
            columns = {"error": describe_error(error)}
        return self.row(sample, name, metric, timed.cost, metric_seconds=cost.standalone().seconds, **columns)

    def _value_and_curve(self, metric: Any, given: Input, heatmap: Tensor, method: Method) -> Row:
        """Return a metric's value, and its curve if it has one."""
        # heatmaps are stored on the CPU, but a user's metric may compare them with what a method returns
        arguments = (self.model, given.x, given.target, heatmap.to(given.x.device), given.truth)
        columns: Row = {"value": finite_or_none(measure_metric(metric, *arguments, method)[0])}
        # uses the passes that the value has cached; without the cache they run twice
        if (curve := curve_of(metric, *arguments)) is not None:
            columns["curve"] = [finite_or_none(point) for point in curve[:, 0]]
        return columns

    @contextmanager
    def seeded(self, *names: str) -> Iterator[None]:
        """Seed random numbers by the names, so that they do not depend on what was measured before."""
        device = self.model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(zlib.crc32(repr((self.seed, self.name, *names)).encode(errors="replace")))
            yield

    # -- rows --------------------------------------------------------------------------------------------------

    def row(
        self, sample: Sample, method: str = "", metric: str = "", cost: PassCost | None = None, **columns: Any
    ) -> Row:
        """Return a row with all columns; unknown ones are None."""
        row: Row = dict.fromkeys(COLUMNS)
        row |= {"model": self.name, "image": sample.name, "label": sample.label, "versions": self.versions}
        row |= {"method": method, "metric": metric}
        if cost is not None:
            row |= cost_columns(cost)
        if metric:
            measured = self.metrics[metric]
            row |= {"protocol": self.protocols[metric], "family": getattr(measured, "family", "")}
            row |= {"higher_is_better": getattr(measured, "higher_is_better", True)}
            row |= {"shares_objective": optimises_metric(measured, self.methods[method])}
        return row | columns


def cost_columns(cost: PassCost) -> Row:
    """Return the columns of a row that describe a cost."""
    return {
        "seconds": cost.seconds,
        "passes": float(cost.passes),
        "partial_passes": float(cost.partial),
    }


def finite_or_none(value: Tensor | float) -> float | None:
    """Return a value as JSON can store it, with None for NaN; raise :class:`NonFiniteError` for infinity."""
    number = float(value)
    if math.isinf(number):
        raise NonFiniteError("the metric returned infinity")
    return None if math.isnan(number) else number


def count_classes(model: ExplainedModel) -> int | None:
    """Return the network's number of classes; None for a network that fails, which the rows report."""
    with suppress(Exception):
        return model.logits(model.preprocessing.blank_input()).shape[1]
    return None
