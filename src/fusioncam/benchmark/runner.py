"""Run a plan: measure what is missing, store it row by row, and write the rows as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from fusioncam.benchmark.evaluator import Evaluator, TimedHeatmap, cost_columns
from fusioncam.benchmark.jobs import BenchmarkJob, ClassJob, EvaluatorSetup, GroupJob, Job, JobResult, result_of
from fusioncam.benchmark.journal import Journal
from fusioncam.benchmark.models_file import write_models_file
from fusioncam.benchmark.multi_image import group_images, multi_image_metrics, stored_classes
from fusioncam.benchmark.plan import Plan
from fusioncam.benchmark.results_store import Means, ordered_rows, require_pyarrow, write_parquet
from fusioncam.benchmark.run_folder import HeatmapStore, open_run
from fusioncam.benchmark.run_setup import UserObjects, changed_versions, create_evaluators, load_plan_model
from fusioncam.data.datasets.sample import Sample
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.workers import LocalWorkers, Workers
from fusioncam.explanations.planned_time import plan_time
from fusioncam.inference.counters import PassCost
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import folder_lock
from fusioncam.utils.stored_files import Key, Row


@dataclass(frozen=True)
class BenchmarkResult:
    """The result of a run: the number of rows, the means of their values, and the rows with errors."""

    folder: Path
    plan: Plan
    rows: int
    means: Means = field(default_factory=Means)
    failures: tuple[Row, ...] = ()
    interrupted: bool = False

    @property
    def file(self) -> Path:
        """The path of the rows."""
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
    """Measure what the folder does not have of the plan, and write all rows as Parquet.

    Ctrl-C stops the run; its result is then marked as interrupted, and a later run continues. ``workers`` do the
    work, by default this process; only this process writes rows.

    Raises :class:`ResultsError` for a folder of another plan, and :class:`OutputError` if it cannot be written.
    """
    require_pyarrow()  # fails before the run rather than at its end
    own, listener, workers = own or UserObjects(), listener or ProgressListener(), workers or LocalWorkers()
    with folder_lock(folder, "heatmaps/*"):
        journal = open_run(folder, plan, extend=extend)
        # remote workers load the models on their own devices
        evaluators = create_evaluators(replace(plan, device="cpu") if workers.is_remote else plan, own, listener)
        for warning in changed_versions(journal, evaluators, ignore={"device"} if workers.is_remote else ()):
            listener.note(warning)
        plan.save(folder / "plan.json")
        models = {evaluator.name: evaluator.model for evaluator in evaluators}
        write_models_file(folder, plan, models, from_data=own.samples is None)
        try:
            _Run(plan, folder, evaluators, journal, listener, workers, own).measure_all()
        except KeyboardInterrupt:
            return BenchmarkResult(folder, plan, sum(map(len, journal.done.values())), interrupted=True)
        images = [(evaluator.name, sample.name) for evaluator in evaluators for sample in evaluator.samples]
        return write_results(folder, journal, plan, images)


def write_results(folder: Path, journal: Journal, plan: Plan, images: Iterable[Key]) -> BenchmarkResult:
    """Write the journal's rows of these (model, image) pairs as Parquet, and summarise them."""
    failures, means = [], Means()

    def summarised() -> Iterator[Row]:
        for row in ordered_rows(journal, images, plan.methods, plan.metrics):
            if row["error"] is not None:
                failures.append(row)
            means.add([row])
            yield row

    count = write_parquet(summarised(), folder / "rows.parquet")
    return BenchmarkResult(folder, plan, count, means, tuple(failures))


@dataclass(frozen=True)
class _Run:
    plan: Plan
    folder: Path
    evaluators: Sequence[Evaluator]
    journal: Journal
    listener: ProgressListener
    workers: Workers
    own: UserObjects

    def measure_all(self) -> None:
        """Measure what is missing for each model."""
        left = [sum(bool(self._missing(one, sample)) for sample in one.samples) for one in self.evaluators]
        total = sum(len(one.samples) for one in self.evaluators)
        self.listener.started(total, total - sum(left), sum(map(len, self.journal.done.values())))
        if not self.workers.is_remote:
            for evaluator, images in zip(self.evaluators, left, strict=True):
                self._plan_time(evaluator, images)
        for evaluator in self.evaluators:
            self._measure_images(evaluator)
            self._measure_groups(evaluator)

    def _plan_time(self, evaluator: Evaluator, images: int) -> None:
        """Let the listener find out how long the images of a network that are left will take."""
        costs = [getattr(metric, "cost", None) for metric in evaluator.metrics.values() if not _is_cost(metric)]
        if images:
            self.listener.planned(partial(plan_time, evaluator.model, images, evaluator.methods.values(), costs))

    def _missing(self, evaluator: Evaluator, sample: Sample) -> frozenset[Key]:
        """Return the (method, metric) pairs without a value for an image, except those of multi-image metrics."""
        metrics = evaluator.metrics.keys() - multi_image_metrics(evaluator.metrics)
        return frozenset(product(evaluator.methods, metrics)) - self.journal.done[evaluator.name, sample.name]

    def _run_jobs(self, evaluator: Evaluator, jobs: Iterable[Job]) -> Iterator[tuple[Job, JobResult]]:
        """Yield each job with its result."""
        setup = EvaluatorSetup(evaluator)
        if self.workers.is_remote:
            models = {name: without_search_results(model) for name, model in self.own.models.items()}
            own = replace(self.own, models=models, samples=None)
            load = partial(load_plan_model, self.plan, evaluator.name, own, evaluator.methods)
            setup = EvaluatorSetup.for_remote(evaluator, load)
        for job, outcome in self.workers.run(setup, self._reported(evaluator, jobs)):
            yield job, result_of(job, outcome, evaluator)

    def _reported(self, evaluator: Evaluator, jobs: Iterable[Job]) -> Iterator[Job]:
        for job in jobs:
            self.listener.job_started(f"{evaluator.name}: {job}")
            yield job

    def _measure_images(self, evaluator: Evaluator) -> None:
        keeps = self.plan.keeps_heatmaps(len(evaluator.samples))
        store = HeatmapStore(self.folder / "heatmaps") if keeps else None
        missing = ((sample, self._missing(evaluator, sample)) for sample in evaluator.samples)
        jobs = (
            BenchmarkJob(sample, keys, self._kept_heatmaps(evaluator, sample, store))
            for sample, keys in missing
            if keys
        )
        for job, result in self._run_jobs(evaluator, jobs):
            if store and result.heatmaps:
                name = str(job)
                store.save(evaluator.name, name, {**store.load(evaluator.name, name), **result.heatmaps})
            for rows in result.rows:
                self._store(rows)

    def _kept_heatmaps(
        self, evaluator: Evaluator, sample: Sample, store: HeatmapStore | None
    ) -> Mapping[str, TimedHeatmap]:
        """Return the stored heatmaps of an earlier run whose cost is known."""
        if store is None:
            return {}
        key = evaluator.name, sample.name
        costs = stored_costs(self.journal.rows(*key))
        heatmaps = store.load(*key)
        return {name: TimedHeatmap(heatmap[None], costs[name]) for name, heatmap in heatmaps.items() if name in costs}

    def _store(self, rows: Sequence[Row]) -> None:
        """Store the rows of an image; a method that was measured before keeps its first cost."""
        costs = stored_costs(self.journal.rows(rows[0]["model"], rows[0]["image"]))
        for row in rows:
            if row["method"] in costs and row["metric"]:
                row.update(cost_columns(costs[row["method"]]))
        self.journal.append(rows)
        self.listener.rows_finished(rows)

    def _measure_groups(self, evaluator: Evaluator) -> None:
        metrics = multi_image_metrics(evaluator.metrics)
        classes = self._target_classes(evaluator) if metrics else {}
        for metric in metrics:
            keys = {(method, metric) for method in evaluator.methods}
            groups = group_images(evaluator, metric, classes)
            jobs = [GroupJob(metric, group) for group in groups if not self._all_done(evaluator, group, keys)]
            for _, result in self._run_jobs(evaluator, jobs):
                for rows in result.rows:
                    self._store(rows)

    def _target_classes(self, evaluator: Evaluator) -> dict[str, int]:
        """Return each image's target class by its name, and store the errors of images without one."""
        classes = stored_classes(evaluator, self.journal)
        jobs = [ClassJob(sample) for sample in evaluator.samples if sample.name not in classes]
        for job, result in self._run_jobs(evaluator, jobs):
            if result.target is not None:
                classes[str(job)] = result.target
            elif not self.journal.rows(evaluator.name, str(job)):  # else its rows already have an error
                self._store(result.rows[0])
        return classes

    def _all_done(self, evaluator: Evaluator, group: Iterable[Sample], keys: set[Key]) -> bool:
        return all(keys <= self.journal.done[evaluator.name, sample.name] for sample in group)


def without_search_results(model: ExplainedModel) -> ExplainedModel:
    """Return the same model without the results of its layer search, part of which cannot be pickled."""
    settings: dict[str, Any] = {
        name: getattr(model, name) for name in ("grid", "preprocessing", "labels", "name", "speed")
    }
    return ExplainedModel(model.network, model.layer, **settings)


def _is_cost(metric: object) -> bool:
    """Return whether a metric reads the cost of a heatmap that is computed in any case."""
    return getattr(metric, "family", "") == "cost"


def stored_costs(rows: Iterable[Row]) -> dict[str, PassCost]:
    """Return the cost of each method, from the rows of one image."""
    known = (row for row in rows if row["passes"] is not None)
    return {row["method"]: PassCost(row["seconds"], row["passes"], row["partial_passes"]) for row in known}
