"""One image of one model: its heatmaps, what each costs, and what every metric says of them, as rows."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fusioncam.benchmark.results_store import COLUMNS, Key, Row
from fusioncam.data.datasets.sample import Sample
from fusioncam.data.ground_truth import Truth
from fusioncam.errors import MissingTruthError, NonFiniteError, TargetError, describe_error
from fusioncam.explanations.explanation import run_facts
from fusioncam.explanations.method_output import validated_on_cpu
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.inference.context import image_names
from fusioncam.inference.costs import track_cost
from fusioncam.inference.counters import PassCost
from fusioncam.methods.base import Method, layers_of
from fusioncam.methods.costs import cost_of
from fusioncam.metrics.base import MetricLike, protocol
from fusioncam.metrics.registry import curve_of, optimises_metric
from fusioncam.metrics.registry import measure as ask
from fusioncam.model.explained_model import ExplainedModel


@dataclass(frozen=True)
class Input:
    """An image as the network takes it, ``x`` ``(1, C, H, W)``, its class ``(1,)``, and where that is, if known."""

    x: Tensor
    target: Tensor
    truth: Truth | None


@dataclass(frozen=True)
class TimedHeatmap:
    """A method's heatmap ``(1, H, W)`` of an image, and what it costs when it is made alone."""

    heatmap: Tensor
    cost: PassCost


@dataclass(frozen=True)
class Evaluator:
    """A model by its name, and the methods, metrics and images that meet on it; the rest is the plan's."""

    model: ExplainedModel
    name: str
    methods: Mapping[str, Method]
    metrics: Mapping[str, MetricLike]
    samples: Sequence[Sample]
    target: str = "predicted"
    seed: int = 0

    @cached_property
    def versions(self) -> str:
        """The packages, the device and the precision that values were made with, as JSON."""
        facts = dict(run_facts(self.model.name, self.model.preprocessing)["versions"])
        return json.dumps(facts | {"device": str(self.model.device), "precision": self.model.speed.precision})

    @cached_property
    def protocols(self) -> dict[str, str]:
        """The metrics' protocols, as JSON."""
        return {name: json.dumps(protocol(metric)) for name, metric in self.metrics.items()}

    # -- an image ----------------------------------------------------------------------------------------------

    def given(self, sample: Sample) -> Input:
        """Open an image and choose its class; where that is not the one that the truth is of, there is none."""
        x = self.model.preprocessing(sample.open())[None].to(self.model.device)
        scores = self.model.logits(x)[0].float().cpu()
        if not scores.isfinite().all():
            raise NonFiniteError("the network gave NaN or infinity among its scores")
        right = sample.classes or (() if sample.label is None else (sample.label,))
        if self.target == "label" and not right:
            raise TargetError(f"{sample.name} has no label: say --target predicted, or leave it out")
        chosen = sample.target(scores) if self.target == "label" else int(scores.argmax())
        fits = not right or chosen in right
        return Input(x, torch.tensor([chosen]), sample.truth(self.model.preprocessing) if fits else None)

    def measure(
        self, sample: Sample, missing: Iterable[Key], kept: Mapping[str, TimedHeatmap]
    ) -> tuple[list[Row], dict[str, Tensor]]:
        """Give the rows of what is missing, and the heatmaps ``(H, W)`` that they are of.

        ``kept`` are heatmaps that need not be made. What goes wrong becomes a row with its error: of the whole
        image, of a method, or of one metric of it.
        """
        try:
            rows, made = self._measured(sample, frozenset(missing), dict(kept))
        except Exception as error:  # of the network too: the user's code may raise anything
            return [self.row(sample, error=describe_error(error))], {}
        return rows, {name: one.heatmap[0] for name, one in made.items()}

    def _measured(
        self, sample: Sample, missing: frozenset[Key], made: dict[str, TimedHeatmap]
    ) -> tuple[list[Row], dict[str, TimedHeatmap]]:
        wanted = [name for name in self.methods if any(name == method for method, _ in missing)]
        pairs = [(name, metric) for name in wanted for metric in self.metrics if (name, metric) in missing]
        rows: list[Row] = []
        with image_names([sample.name]):
            with cached_passes():
                given = self.given(sample)
                about = {"target": int(given.target), "layer": self.model.layers.default(given.x)}
                layers = set().union(*(layers_of(self.methods[name]) for name in wanted))
                with prefetch_layers(given.x, layers):
                    for name in wanted:
                        try:
                            made[name] = made.get(name) or self._made(sample, given, name)
                        except Exception as error:
                            rows.append(self.row(sample, name, error=describe_error(error)))
                rows += self._values(sample, given, made, [pair for pair in pairs if not self._asks(pair)])
            # what asks for more heatmaps would have all of them remembered
            rows += self._values(sample, given, made, [pair for pair in pairs if self._asks(pair)])
        return [row | about for row in rows], made

    def _asks(self, pair: Key) -> bool:
        return bool(getattr(self.metrics[pair[1]], "needs_method", False))

    def _made(self, sample: Sample, given: Input, name: str) -> TimedHeatmap:
        method = self.methods[name]
        with self.seeded(sample.name, name), track_cost() as bill:
            heatmap = validated_on_cpu(method(self.model, given.x, given.target), given.x, method)
        return TimedHeatmap(heatmap, bill.standalone())

    # -- values ------------------------------------------------------------------------------------------------

    def _values(
        self, sample: Sample, given: Input, made: Mapping[str, TimedHeatmap], pairs: Iterable[Key]
    ) -> list[Row]:
        return [self._value(sample, given, made[pair[0]], *pair) for pair in pairs if pair[0] in made]

    def _value(self, sample: Sample, given: Input, made: TimedHeatmap, name: str, metric: str) -> Row:
        facts: Row = {}
        try:
            with self.seeded(sample.name, name, metric), track_cost() as bill:
                facts = self._asked(self.metrics[metric], given, made.heatmap, self.methods[name])
        except MissingTruthError:  # no box, or no mask where one is asked for: undefined
            pass
        except Exception as error:
            facts = {"error": describe_error(error)}
        return self.row(sample, name, metric, made.cost, metric_seconds=bill.standalone().seconds, **facts)

    def _asked(self, metric: Any, given: Input, heatmap: Tensor, method: Method) -> Row:
        """Give a metric's value, and its curve if it has one."""
        # heatmaps are kept on the CPU; a metric of the user's may compare them with what a method gives
        about = (self.model, given.x, given.target, heatmap.to(given.x.device), given.truth)
        facts: Row = {"value": number(ask(metric, *about, method)[0])}
        # passes are remembered from the value; outside of sharing they would be made twice
        if (curve := curve_of(metric, *about)) is not None:
            facts["curve"] = [number(one) for one in curve[:, 0]]
        return facts

    @contextmanager
    def seeded(self, *names: str) -> Iterator[None]:
        """Let random numbers depend on what is measured alone, and not on what was measured before."""
        device = self.model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(zlib.crc32(repr((self.seed, self.name, *names)).encode(errors="replace")))
            yield

    # -- rows --------------------------------------------------------------------------------------------------

    def row(
        self, sample: Sample, method: str = "", metric: str = "", cost: PassCost | None = None, **facts: Any
    ) -> Row:
        """Make a row, with None where nothing is known."""
        row: Row = dict.fromkeys(COLUMNS)
        row |= {"model": self.name, "image": sample.name, "label": sample.label, "versions": self.versions}
        row |= {"method": method, "metric": metric}
        if cost is not None:
            row |= as_columns(cost)
        if metric:
            about = self.metrics[metric]
            row |= {"protocol": self.protocols[metric], "family": getattr(about, "family", "")}
            row |= {"higher_is_better": getattr(about, "higher_is_better", True)}
            row |= {"shares_objective": optimises_metric(about, self.methods[method])}
        return row | facts


def as_columns(cost: PassCost) -> Row:
    """Give a cost as rows have it."""
    return {
        "seconds": cost.seconds,
        "passes": float(cost.passes),
        "partial_passes": float(cost.partial),
    }


def number(value: Tensor | float) -> float | None:
    """Give a value as JSON has it: NaN is none, and infinity is an error."""
    plain = float(value)
    if math.isinf(plain):
        raise NonFiniteError("the metric gave infinity")
    return None if math.isnan(plain) else plain


# -- what is found out once ------------------------------------------------------------------------------------


class _AsItIs:
    """A change of maps that changes nothing."""

    shape = (1, 1)

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        return maps[None].expand(len(which), *maps.shape)


def blank(model: ExplainedModel) -> Tensor:
    """Give an input of the model's size, ``(1, C, H, W)`` of zeros."""
    return torch.zeros(1, len(model.preprocessing.mean), *model.preprocessing.size)


def classes_in(model: ExplainedModel) -> int | None:
    """Count the network's classes; None for a network that fails, as its rows will tell."""
    with suppress(Exception):
        return model.logits(blank(model)).shape[1]
    return None


def acquaint(model: ExplainedModel, methods: Iterable[Method]) -> None:
    """Let the model find out what it finds out once, so that it is no image's cost, whichever comes first."""
    x = blank(model)
    partial = [method for method in methods if cost_of(method).has_partial]
    with suppress(Exception):  # whoever needs it will say what is wrong
        model.layers.candidates(x)
        model.layers.default(x)
        for layer in set().union(*map(layers_of, partial)):
            model.ablated_scores(x, _AsItIs(), 0, readout="logit", layer=layer)
