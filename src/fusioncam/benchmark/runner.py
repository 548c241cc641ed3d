"""A plan's images, models, methods and metrics, one after the other, and nothing twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

from fusioncam.benchmark.evaluator import Evaluator, TimedHeatmap, as_columns, classes_in
from fusioncam.benchmark.jobs import BenchmarkJob, BenchSetUp, ClassJob, Done, GameJob, Job, what_became
from fusioncam.benchmark.models_file import note
from fusioncam.benchmark.multi_image import classes_of, games_in, groups_for
from fusioncam.benchmark.plan import Plan
from fusioncam.benchmark.results_store import Journal, Key, Means, Row, in_order, parquet, write_parquet
from fusioncam.benchmark.run_folder import Heatmaps, begun
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.data.datasets.sample import Sample, draw
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.workers import LocalWorkers, Workers
from fusioncam.errors import MissingTruthError, ResultsError
from fusioncam.explanations.explain import named_methods
from fusioncam.inference.counters import PassCost
from fusioncam.inference.settings import Speed
from fusioncam.methods.base import Method
from fusioncam.methods.registry import as_methods
from fusioncam.metrics.base import MetricLike
from fusioncam.metrics.registry import as_metrics
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import folder_lock
from fusioncam.zoo.loading import as_model, load_model


@dataclass(frozen=True)
class UserObjects:
    """What names of a plan stand for that are no SPECs: the caller's own objects."""

    models: Mapping[str, ExplainedModel] = field(default_factory=dict)
    methods: Mapping[str, Method] = field(default_factory=dict)
    metrics: Mapping[str, MetricLike] = field(default_factory=dict)
    samples: Sequence[Sample] | None = None


@dataclass(frozen=True)
class BenchmarkResult:
    """What a run came to: how many rows, their means, and the rows of what failed."""

    folder: Path
    plan: Plan
    rows: int
    means: Means = field(default_factory=Means)
    failures: tuple[Row, ...] = ()
    interrupted: bool = False

    @property
    def file(self) -> Path:
        """Where the rows are."""
        return self.folder / "rows.parquet"


def run(
    plan: Plan,
    folder: Path,
    *,
    extend: bool = False,
    own: UserObjects | None = None,
    listener: ProgressListener | None = None,
    workers: Workers | None = None,
) -> BenchmarkResult:
    """Do what of the plan is not done in the folder, and write its rows as Parquet; Ctrl-C ends it with less.

    ``workers`` do it, by default this process; rows are written here alone. Raises :class:`ResultsError` for a folder
    of another plan, :class:`OutputError` if it cannot be written to.
    """
    parquet()  # rather now than in the end
    own, listener, workers = own or UserObjects(), listener or ProgressListener(), workers or LocalWorkers()
    with folder_lock(folder):
        journal = begun(folder, plan, extend=extend)
        # what is done elsewhere needs no device here
        benches = set_up(replace(plan, device="cpu") if workers.is_remote else plan, own, listener)
        for line in changed_versions(journal, benches, besides={"device"} if workers.is_remote else ()):
            listener.note(line)
        plan.save(folder / "plan.json")
        note(folder, plan, {one.name: one.model for one in benches}, from_data=own.samples is None)
        try:
            _Run(plan, folder, benches, journal, listener, workers, own).go()
        except KeyboardInterrupt:
            return BenchmarkResult(folder, plan, sum(map(len, journal.done.values())), interrupted=True)
        return finished(folder, journal, plan, [(one.name, sample.name) for one in benches for sample in one.samples])


def finished(folder: Path, journal: Journal, plan: Plan, images: Iterable[Key]) -> BenchmarkResult:
    """Write the rows that there are of these models and images as Parquet."""
    failures, means = [], Means()

    def noted() -> Iterator[Row]:
        for row in in_order(journal, images, plan.methods, plan.metrics):
            if row["error"] is not None:
                failures.append(row)
            means.add([row])
            yield row

    count = write_parquet(noted(), folder / "rows.parquet")
    return BenchmarkResult(folder, plan, count, means, tuple(failures))


# -- what meets ------------------------------------------------------------------------------------------------


def set_up(plan: Plan, own: UserObjects, listener: ProgressListener) -> list[Evaluator]:
    """Load the models and draw the images, whose classes are those of each model."""
    methods = dict(chain.from_iterable(_pairs(one, own.methods, as_methods) for one in plan.methods))
    metrics = dict(chain.from_iterable(_pairs(one, own.metrics, as_metrics) for one in plan.metrics))
    models = {name: _loaded(plan, name, own, methods) for name in plan.models}
    samples = {name: samples_of(plan, model, own, listener) for name, model in models.items()}
    metrics = answerable(metrics, list(chain.from_iterable(samples.values())), listener)
    return [
        Evaluator(model, name, methods, metrics, samples[name], plan.target, plan.seed)
        for name, model in models.items()
    ]


def _pairs(name: str, own: Mapping[str, Any], read: Any) -> Iterable[tuple[str, Any]]:
    return [(name, own[name])] if name in own else read(name)


def _loaded(plan: Plan, name: str, own: UserObjects, methods: Mapping[str, Method]) -> ExplainedModel:
    if name in own.models:
        model = as_model(own.models[name], plan.layer, plan.device)
    else:
        speed = None if plan.precision is None else Speed(precision=plan.precision)
        model = load_model(name, plan.layer, device=plan.device, speed=speed)
    named_methods(model, list(methods.values()))  # asks for no layer that is not there
    return model


def samples_of(plan: Plan, model: ExplainedModel, own: UserObjects, listener: ProgressListener) -> list[Sample]:
    """Draw the plan's images, each of which has a name of its own; say what the data was taken for."""
    images = own.samples
    if images is None:
        known: dict[str, Any] = {"labels": model.labels, "classes": classes_in(model)}
        images = found = open_dataset(plan.data, class_map=plan.class_map, **known)
        listener.dataset_found(plan.data, found.kind)
    drawn = draw(images, plan.limit, plan.seed)
    twice = [name for name, count in Counter(one.name for one in drawn).items() if count > 1]
    if twice:
        raise ResultsError(f"{len(twice)} names stand for several images, such as {twice[0]}: rows tell them by name")
    return drawn


def changed_versions(journal: Journal, benches: Sequence[Evaluator], besides: Container[str] = ()) -> Iterator[str]:
    """Say for each model with what other packages, device or precision its first image was measured."""
    for bench in benches:
        before = next((journal.rows(*key) for key in journal.images() if key[0] == bench.name), None)
        if before and before[0]["versions"] != bench.versions:
            was, now = json.loads(before[0]["versions"]), json.loads(bench.versions)
            differing = [one for one in was | now if was.get(one) != now.get(one) and one not in besides]
            changes = ", ".join(f"{one} {was.get(one)} -> {now.get(one)}" for one in differing)
            if changes:
                yield f"warning: {bench.name} was measured with others before: {changes}; the rows say which"


def answerable(
    metrics: Mapping[str, MetricLike], samples: Sequence[Sample], listener: ProgressListener
) -> dict[str, MetricLike]:
    """Leave out the metrics that need to know where the class is, where that is known of no image."""
    if any(one.boxes or one.segments for one in samples):
        return dict(metrics)
    kept = {name: metric for name, metric in metrics.items() if not getattr(metric, "needs_truth", False)}
    if not kept:
        raise MissingTruthError(f"{', '.join(metrics)} need boxes or masks, and no image of the data has any")
    if len(kept) < len(metrics):
        listener.note(
            f"left out, for no image has boxes or masks: {', '.join(one for one in metrics if one not in kept)}"
        )
    return kept


# -- what is done ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    plan: Plan
    folder: Path
    benches: Sequence[Evaluator]
    journal: Journal
    listener: ProgressListener
    workers: Workers
    own: UserObjects

    def go(self) -> None:
        """Let every model do what it has not done."""
        left = [bool(self._missing(bench, one)) for bench in self.benches for one in bench.samples]
        self.listener.started(len(left), left.count(False), sum(map(len, self.journal.done.values())))
        for bench in self.benches:
            self._images(bench)
            self._games(bench)

    def _missing(self, bench: Evaluator, sample: Sample) -> frozenset[Key]:
        """List the (method, metric) that an image has no value of; games of several images come later."""
        plain = bench.metrics.keys() - games_in(bench.metrics)
        return frozenset(product(bench.methods, plain)) - self.journal.done[bench.name, sample.name]

    def _done(self, bench: Evaluator, jobs: Iterable[Job]) -> Iterator[tuple[Job, Done]]:
        """Have jobs done, and give each with what it gave."""
        set_up = BenchSetUp(bench)
        if self.workers.is_remote:
            own = replace(self.own, models={name: bare(one) for name, one in self.own.models.items()}, samples=None)
            set_up = BenchSetUp.elsewhere(bench, partial(_loaded, self.plan, bench.name, own, bench.methods))
        for job, found in self.workers.run(set_up, self._told(bench, jobs)):
            yield job, what_became(job, found, bench)

    def _told(self, bench: Evaluator, jobs: Iterable[Job]) -> Iterator[Job]:
        for job in jobs:
            self.listener.job_started(f"{bench.name}: {job}")
            yield job

    def _images(self, bench: Evaluator) -> None:
        store = Heatmaps(self.folder / "heatmaps") if self.plan.keep_heatmaps else None
        missing = ((one, self._missing(bench, one)) for one in bench.samples)
        jobs = (BenchmarkJob(one, keys, self._kept(bench, one, store)) for one, keys in missing if keys)
        for job, done in self._done(bench, jobs):
            if store and done.heatmaps:
                store.save(bench.name, str(job), {**store.load(bench.name, str(job)), **done.heatmaps})
            for rows in done.rows:
                self._keep(rows)

    def _kept(self, bench: Evaluator, sample: Sample, store: Heatmaps | None) -> Mapping[str, TimedHeatmap]:
        """Give the heatmaps of an earlier run, of which it is known what they cost."""
        if store is None:
            return {}
        key = bench.name, sample.name
        costs = costs_of(self.journal.rows(*key))
        return {name: TimedHeatmap(one[None], costs[name]) for name, one in store.load(*key).items() if name in costs}

    def _keep(self, rows: Sequence[Row]) -> None:
        """Keep rows of an image; a method that was measured before has the cost that it had then."""
        costs = costs_of(self.journal.rows(rows[0]["model"], rows[0]["image"]))
        for row in rows:
            if row["method"] in costs and row["metric"]:
                row.update(as_columns(costs[row["method"]]))
        self.journal.append(rows)
        self.listener.rows_finished(rows)

    def _games(self, bench: Evaluator) -> None:
        games = games_in(bench.metrics)
        classes = self._classes(bench) if games else {}
        for game in games:
            missing = {(method, game) for method in bench.methods}
            groups = groups_for(bench, game, classes)
            left = [one for one in groups if not self._all_have(bench, one, missing)]
            for _, done in self._done(bench, [GameJob(game, one) for one in left]):
                for rows in done.rows:
                    self._keep(rows)

    def _classes(self, bench: Evaluator) -> dict[str, int]:
        """Give each image's class by its name, and keep what is wrong with one that has none."""
        classes = classes_of(bench, self.journal)
        unknown = [ClassJob(one) for one in bench.samples if one.name not in classes]
        for job, done in self._done(bench, unknown):
            if done.target is not None:
                classes[str(job)] = done.target
            elif not self.journal.rows(bench.name, str(job)):  # else it is told already
                self._keep(done.rows[0])
        return classes

    def _all_have(self, bench: Evaluator, group: Iterable[Sample], keys: set[Key]) -> bool:
        return all(keys <= self.journal.done[bench.name, one.name] for one in group)


def bare(model: ExplainedModel) -> ExplainedModel:
    """Give the same model without what it has found out, part of which cannot be sent."""
    facts: dict[str, Any] = {
        name: getattr(model, name) for name in ("grid", "preprocessing", "labels", "name", "speed")
    }
    return ExplainedModel(model.network, model.layer, **facts)


def costs_of(rows: Iterable[Row]) -> dict[str, PassCost]:
    """Give what each method cost, of the rows of one image."""
    known = (row for row in rows if row["passes"] is not None)
    return {row["method"]: PassCost(row["seconds"], row["passes"], row["partial_passes"]) for row in known}
