"""What a run consists of: images and games as jobs that are done on a bench, in this process or in another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from fusioncam.benchmark.evaluator import Evaluator, TimedHeatmap, acquaint
from fusioncam.benchmark.multi_image import play
from fusioncam.benchmark.results_store import Key, Row
from fusioncam.data.datasets.sample import Sample
from fusioncam.distributed.workers import FailedJob, Work
from fusioncam.errors import describe_error
from fusioncam.model.explained_model import ExplainedModel


@dataclass(frozen=True)
class Done:
    """What a job gave: rows, those of an image together, new heatmaps ``(H, W)`` by method, or a class."""

    rows: Sequence[list[Row]] = ()
    heatmaps: Mapping[str, Tensor] = field(default_factory=dict)
    target: int | None = None


@dataclass(frozen=True)
class BenchmarkJob:
    """Measure what is missing of an image; ``kept`` are heatmaps that need not be made."""

    sample: Sample
    missing: frozenset[Key]
    kept: Mapping[str, TimedHeatmap] = field(default_factory=dict, repr=False)

    def __call__(self, bench: Evaluator) -> Done:
        """Do it."""
        rows, heatmaps = bench.measure(self.sample, self.missing, self.kept)
        return Done([rows], {name: one for name, one in heatmaps.items() if name not in self.kept})

    def lost(self, bench: Evaluator, reason: str) -> Done:
        """Say in a row that it could not be done."""
        return Done([[bench.row(self.sample, error=reason)]])

    def __str__(self) -> str:
        return self.sample.name


@dataclass(frozen=True)
class ClassJob:
    """Find out which class of an image is explained."""

    sample: Sample

    def __call__(self, bench: Evaluator) -> Done:
        """Do it."""
        try:
            return Done(target=int(bench.given(self.sample).target))
        except Exception as error:  # of the network too: the user's code may raise anything
            return self.lost(bench, describe_error(error))

    def lost(self, bench: Evaluator, reason: str) -> Done:
        """Say in a row that it could not be done."""
        return Done([[bench.row(self.sample, error=reason)]])

    def __str__(self) -> str:
        return self.sample.name


@dataclass(frozen=True)
class GameJob:
    """Play a game with a group of images."""

    game: str
    group: Sequence[Sample]

    def __call__(self, bench: Evaluator) -> Done:
        """Do it."""
        return Done(list(play(bench, self.game, self.group)))

    def lost(self, bench: Evaluator, reason: str) -> Done:
        """Say in rows that it could not be done."""
        return Done([[bench.row(one, name, self.game, error=reason) for name in bench.methods] for one in self.group])

    def __str__(self) -> str:
        return f"{self.game} of {len(self.group)} images"


Job = BenchmarkJob | ClassJob | GameJob


@dataclass(frozen=True)
class BenchSetUp:
    """Sets up a bench where the jobs are done; elsewhere with a network that is loaded there."""

    bench: Evaluator
    load: Callable[[], ExplainedModel] | None = None

    @classmethod
    def elsewhere(cls, bench: Evaluator, load: Callable[[], ExplainedModel]) -> BenchSetUp:
        """Give a set-up that can be sent: without the network, and without the images, which come with the jobs."""
        unloaded: Any = None
        return cls(replace(bench, model=unloaded, samples=()), load)

    def __call__(self) -> Work:
        """Give what does the jobs."""
        bench = self.bench if self.load is None else replace(self.bench, model=self.load())
        acquaint(bench.model, bench.methods.values())
        return partial(_all_done, bench)


def _all_done(bench: Evaluator, jobs: Sequence[Job]) -> list[Done]:
    return [job(bench) for job in jobs]


def what_became(job: Job, found: Done | FailedJob, bench: Evaluator) -> Done:
    """Give what a job gave, with errors as rows where its worker did not survive it."""
    return job.lost(bench, found.reason) if isinstance(found, FailedJob) else found
