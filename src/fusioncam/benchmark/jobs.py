"""The jobs of a run: images, classes and groups of images, done by an evaluator in this or another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from fusioncam.benchmark.evaluator import Evaluator, TimedHeatmap
from fusioncam.benchmark.multi_image import measure_group
from fusioncam.data.datasets.sample import Sample
from fusioncam.distributed.workers import FailedJob, Work
from fusioncam.errors import describe_error
from fusioncam.methods.warm_up import warm_up
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.stored_files import Key, Row


@dataclass(frozen=True)
class JobResult:
    """The result of a job: one list of rows per image, new heatmaps ``(H, W)`` by method, or a target class."""

    rows: Sequence[list[Row]] = ()
    heatmaps: Mapping[str, Tensor] = field(default_factory=dict)
    target: int | None = None


@dataclass(frozen=True)
class _ImageJob:
    """A job of one image."""

    sample: Sample

    def failed(self, evaluator: Evaluator, reason: str) -> JobResult:
        """Return a row with the reason why the job failed."""
        return JobResult([[evaluator.row(self.sample, error=reason)]])

    def __str__(self) -> str:
        return self.sample.name


@dataclass(frozen=True)
class BenchmarkJob(_ImageJob):
    """Measure the missing (method, metric) pairs of an image; ``kept`` heatmaps are not computed again."""

    missing: frozenset[Key]
    kept: Mapping[str, TimedHeatmap] = field(default_factory=dict, repr=False)

    def __call__(self, evaluator: Evaluator) -> JobResult:
        """Return the rows and the new heatmaps."""
        rows, heatmaps = evaluator.measure(self.sample, self.missing, self.kept)
        return JobResult([rows], {name: heatmap for name, heatmap in heatmaps.items() if name not in self.kept})


@dataclass(frozen=True)
class ClassJob(_ImageJob):
    """Choose the target class of an image."""

    def __call__(self, evaluator: Evaluator) -> JobResult:
        """Return the class, or a row with the error."""
        try:
            return JobResult(target=int(evaluator.prepare(self.sample).target))
        except Exception as error:  # the user's network may raise any error
            return self.failed(evaluator, describe_error(error))


@dataclass(frozen=True)
class GroupJob:
    """Measure a multi-image metric on a group of images."""

    metric: str
    group: Sequence[Sample]

    def __call__(self, evaluator: Evaluator) -> JobResult:
        """Return the rows of each image."""
        return JobResult(measure_group(evaluator, self.metric, self.group))

    def failed(self, evaluator: Evaluator, reason: str) -> JobResult:
        """Return rows with the reason why the job failed, one per image and method."""
        return JobResult(
            [
                [evaluator.row(sample, method, self.metric, error=reason) for method in evaluator.methods]
                for sample in self.group
            ]
        )

    def __str__(self) -> str:
        return f"{self.metric} of {len(self.group)} images"


Job = BenchmarkJob | ClassJob | GroupJob


@dataclass(frozen=True)
class EvaluatorSetup:
    """Prepares an evaluator in the process of the jobs; in another process ``load`` loads the network there."""

    evaluator: Evaluator
    load: Callable[[], ExplainedModel] | None = None

    @classmethod
    def for_remote(cls, evaluator: Evaluator, load: Callable[[], ExplainedModel]) -> EvaluatorSetup:
        """Return a setup to send to another process: without the network, and without images, which the jobs have."""
        no_model: Any = None
        return cls(replace(evaluator, model=no_model, samples=()), load)

    def __call__(self) -> Work:
        """Return the function that does the jobs."""
        evaluator = self.evaluator if self.load is None else replace(self.evaluator, model=self.load())
        warm_up(evaluator.model, evaluator.methods.values(), evaluator.model.preprocessing.blank_input())
        return partial(_run_jobs, evaluator)


def _run_jobs(evaluator: Evaluator, jobs: Sequence[Job]) -> list[JobResult]:
    return [job(evaluator) for job in jobs]


def result_of(job: Job, outcome: JobResult | FailedJob, evaluator: Evaluator) -> JobResult:
    """Return a job's result; if its worker failed, rows with the reason."""
    return job.failed(evaluator, outcome.reason) if isinstance(outcome, FailedJob) else outcome
