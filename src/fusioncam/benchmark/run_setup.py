"""Preparation of a run: load the models, draw the images, and combine them with methods and metrics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from fusioncam.benchmark.evaluator import Evaluator, count_classes
from fusioncam.benchmark.journal import Journal
from fusioncam.benchmark.plan import Plan
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.data.datasets.sample import Sample, draw
from fusioncam.distributed.progress import ProgressListener
from fusioncam.errors import MissingTruthError, ResultsError
from fusioncam.explanations.explain import named_methods
from fusioncam.inference.requested_speed import requested_speed
from fusioncam.methods.base import Method
from fusioncam.methods.registry import as_methods
from fusioncam.metrics.base import MetricLike
from fusioncam.metrics.registry import as_metrics
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.loading import as_model, load_model


@dataclass(frozen=True)
class UserObjects:
    """The user's own objects, by the names that the plan has for them."""

    models: Mapping[str, ExplainedModel] = field(default_factory=dict)
    methods: Mapping[str, Method] = field(default_factory=dict)
    metrics: Mapping[str, MetricLike] = field(default_factory=dict)
    samples: Sequence[Sample] | None = None


def create_evaluators(plan: Plan, own: UserObjects, listener: ProgressListener) -> list[Evaluator]:
    """Return an evaluator for each model, with the images drawn; their classes depend on the model."""
    methods = dict(chain.from_iterable(_named(name, own.methods, as_methods) for name in plan.methods))
    metrics = dict(chain.from_iterable(_named(name, own.metrics, as_metrics) for name in plan.metrics))
    models = {name: load_plan_model(plan, name, own, methods) for name in plan.models}
    samples = {name: draw_samples(plan, model, own, listener) for name, model in models.items()}
    metrics = _measurable_metrics(metrics, list(chain.from_iterable(samples.values())), listener)
    return [
        Evaluator(model, name, methods, metrics, samples[name], plan.target, plan.seed)
        for name, model in models.items()
    ]


def _named(name: str, own: Mapping[str, Any], parse: Any) -> Iterable[tuple[str, Any]]:
    return [(name, own[name])] if name in own else parse(name)


def load_plan_model(plan: Plan, name: str, own: UserObjects, methods: Mapping[str, Method]) -> ExplainedModel:
    """Return a model of the plan; raise :class:`LayerError` if it lacks a layer of the methods."""
    if name in own.models:
        model = as_model(own.models[name], plan.layer, plan.device)
    else:
        speed = requested_speed(plan.precision, plan.engine)
        model = load_model(name, plan.layer, device=plan.device, speed=speed)
    named_methods(model, list(methods.values()))  # checks the layers
    return model


def draw_samples(plan: Plan, model: ExplainedModel, own: UserObjects, listener: ProgressListener) -> list[Sample]:
    """Return the images of the plan, and report the kind of the data set.

    Raises :class:`DatasetError`, and :class:`ResultsError` if names are not unique.
    """
    images = own.samples
    if images is None:
        dataset = open_dataset(plan.data, class_map=plan.class_map, labels=model.labels, classes=count_classes(model))
        listener.dataset_found(plan.data, dataset.kind)
        images = dataset
    drawn = draw(images, plan.limit, plan.seed)
    repeated = [name for name, count in Counter(sample.name for sample in drawn).items() if count > 1]
    if repeated:
        raise ResultsError(
            f"names of images must be unique, because rows identify images by name; {len(repeated)} are used several "
            f"times, such as {repeated[0]}"
        )
    return drawn


def _measurable_metrics(
    metrics: Mapping[str, MetricLike], samples: Sequence[Sample], listener: ProgressListener
) -> dict[str, MetricLike]:
    """Return the metrics without those that need boxes or masks, if no image has any."""
    if any(sample.boxes or sample.segments for sample in samples):
        return dict(metrics)
    kept = {name: metric for name, metric in metrics.items() if not getattr(metric, "needs_truth", False)}
    if not kept:
        raise MissingTruthError(f"{', '.join(metrics)} need boxes or masks, and no image of the data has any")
    if len(kept) < len(metrics):
        left_out = ", ".join(name for name in metrics if name not in kept)
        listener.note(f"left out, because no image has boxes or masks: {left_out}")
    return kept


def changed_versions(journal: Journal, evaluators: Sequence[Evaluator], ignore: Container[str] = ()) -> Iterator[str]:
    """Yield a warning for each model whose first image was measured with other packages, device or precision."""
    for evaluator in evaluators:
        rows = next((journal.rows(*key) for key in journal.images() if key[0] == evaluator.name), None)
        if rows and rows[0]["versions"] != evaluator.versions:
            before, now = json.loads(rows[0]["versions"]), json.loads(evaluator.versions)
            names = [name for name in before | now if before.get(name) != now.get(name) and name not in ignore]
            changes = ", ".join(f"{name} {before.get(name)} -> {now.get(name)}" for name in names)
            if changes:
                yield (
                    f"warning: {evaluator.name} was measured with other versions before: {changes}; "
                    "each row has its own"
                )
