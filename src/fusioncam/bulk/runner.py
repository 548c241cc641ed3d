"""Explain millions of images into shards of heatmaps: each shard is written whole, and none is computed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from fusioncam.bulk.jobs import BulkJob, ExplainSetUp, failure
from fusioncam.bulk.parquet import COLUMNS, Row, counts, shard_name, shards_in, to_parquet
from fusioncam.bulk.plan import MANIFEST, SCHEMA_VERSION, BulkPlan, require_same
from fusioncam.bulk.storage import Folder, FoundImage, images_at, is_local
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.workers import FailedJob, LocalWorkers, Workers, batches
from fusioncam.errors import ImageError, ResultsError
from fusioncam.explanations.explain import named_methods
from fusioncam.explanations.explanation import run_facts
from fusioncam.explanations.planned_time import plan_time
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import folder_lock, to_json

_LISTED_FAILURES = 20  # failures that the result lists
# lists the images of a run, in the same order at every call
ListImages = Callable[[], Iterable[FoundImage]]


@dataclass(frozen=True)
class BulkResult:
    """The result of a bulk run: how many images, heatmaps and failures its folder holds.

    ``listed_failures`` are rows of the first failures of this call, at most 20.
    """

    folder: str
    images: int
    heatmaps: int
    failures: int
    listed_failures: tuple[Row, ...] = ()
    interrupted: bool = False


@dataclass
class _Shard:
    """A group of consecutive images whose rows go into one Parquet file."""

    number: int
    name: str
    images: list[FoundImage]
    rows: dict[int, list[Row]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The part of the name that states the position, as :func:`shards_in` uses it."""
        return self.name.split(".")[0]

    @property
    def complete(self) -> bool:
        return len(self.rows) == len(self.images)

    def ordered_rows(self) -> Iterator[Row]:
        """Iterate over the rows in the order of the images."""
        return chain.from_iterable(self.rows[position] for position in range(len(self.images)))


def explain_in_bulk(
    plan: BulkPlan,
    out: str | Path,
    *,
    device: str | None = None,
    workers: Workers | None = None,
    listener: ProgressListener | None = None,
    list_images: ListImages | None = None,
) -> BulkResult:
    """Explain the images of the plan that no shard in the folder holds yet.

    ``out`` is a local folder or a URL that pyarrow or fsspec can write to. A shard is written when all its images
    are finished: a run that is stopped loses at most the shards that were incomplete, and the same call continues it.
    Ctrl-C ends the run early; the result then has ``interrupted`` set. Read the heatmaps with
    :func:`fusioncam.read_heatmaps`.

    ``list_images`` returns other images than all those of ``plan.images``, in the same order at every call.

    Raises :class:`ResultsError` for a folder of another plan or of other images, :class:`ImageError` for images
    that do not exist, :class:`OutputError` if the folder cannot be written.
    """
    folder, workers, listener = Folder(str(out)), workers or LocalWorkers(), listener or ProgressListener()
    with _exclusive(folder):
        require_same(folder, plan)
        model = plan.load("cpu" if workers.is_remote else device)
        facts = _facts(plan, model)
        run = _Run(plan, folder, facts, listener, list_images or partial(_images_of, plan, folder))
        run.start()
        if run.left and not workers.is_remote:
            listener.planned(partial(plan_time, model, run.left, plan.methods))
        del model  # workers load their own
        try:
            run.work(workers, ExplainSetUp(plan, folder, device))
        except KeyboardInterrupt:
            return run.result(interrupted=True)
        return run.finish()


def _exclusive(folder: Folder) -> AbstractContextManager[None]:
    return folder_lock(Path(folder.url), "overlays/*") if is_local(folder.url) else nullcontext()


def _images_of(plan: BulkPlan, folder: Folder) -> Iterator[FoundImage]:
    return chain.from_iterable(images_at(path, folder.url) for path in plan.images)


def _facts(plan: BulkPlan, model: ExplainedModel) -> dict[str, Any]:
    """Check the methods against the model, and return what the manifest and every shard state."""
    named_methods(model, plan.methods)
    facts = run_facts(model.name, model.preprocessing) | {"schema_version": SCHEMA_VERSION}
    return facts | {"plan": asdict(plan), "digest": plan.digest, "columns": COLUMNS}


class _Run:
    """One call of :func:`explain_in_bulk`: which shards exist, which are incomplete, and what failed."""

    def __init__(
        self,
        plan: BulkPlan,
        folder: Folder,
        facts: dict[str, Any],
        listener: ProgressListener,
        list_images: ListImages,
    ) -> None:
        self.plan, self.folder, self.facts, self.listener = plan, folder, facts, listener
        self.list_images = list_images
        self.stored = shards_in(folder)
        self.counted: dict[str, tuple[int, int]] = {}  # heatmaps and errors of the stored shards that are whole
        self.failures: list[Row] = []
        self.done, self.left = 0, 0
        self._incomplete: dict[int, _Shard] = {}

    def start(self) -> None:
        """Count all images and those of stored shards, and write the manifest."""
        total = 0
        for shard in self._shards():
            total += len(shard.images)
            self.done += len(shard.images) * self._is_stored(shard)
        self._count_others()
        if not total:
            raise ImageError(f"no image in {', '.join(self.plan.images)}")
        self.folder.write(MANIFEST, to_json(self.facts), durable=True)
        self.left = total - self.done
        self.listener.started(total, self.done)

    def _count_others(self) -> None:
        """Count the stored shards of images that are no longer listed after the last one."""
        for key, name in self.stored.items():
            if key not in self.counted and (found := counts(self.folder, name, self.plan.digest)):
                self.counted[key] = found

    def work(self, workers: Workers, set_up: ExplainSetUp) -> None:
        """Explain all images that no shard holds, and write each shard when it is complete."""
        for job, found in workers.run(set_up, self._jobs()):
            rows = [failure(job, found.reason)] if isinstance(found, FailedJob) else found
            shard = self._incomplete[job.shard]
            shard.rows[job.position] = rows
            self.failures += [row for row in rows if row.get("error")][: _LISTED_FAILURES - len(self.failures)]
            if shard.complete:
                self._write(shard)
            self.listener.rows_finished(rows)

    def finish(self) -> BulkResult:
        """Write the final counts into the manifest and return the result."""
        result = self.result()
        totals = {"images": result.images, "heatmaps": result.heatmaps, "failures": result.failures}
        self.folder.write(MANIFEST, to_json(self.facts | totals | {"shards": len(self.counted)}), durable=True)
        return result

    def result(self, *, interrupted: bool = False) -> BulkResult:
        """Count the rows of all shards, including those of earlier runs."""
        heatmaps, failures = (sum(column) for column in zip((0, 0), *self.counted.values(), strict=True))
        return BulkResult(self.folder.url, self.done, heatmaps, failures, tuple(self.failures), interrupted)

    def _shards(self) -> Iterator[_Shard]:
        """List the images again and yield their shards; raise :class:`ResultsError` for a shard of other images."""
        for number, batch in enumerate(batches(self.list_images(), self.plan.shard)):
            shard = _Shard(number, shard_name(number, batch, self.plan.digest), batch)
            stored = self.stored.get(shard.key)
            if stored not in (None, shard.name):
                raise ResultsError(
                    f"{stored} in {self.folder.url} holds other images, some were added or removed: choose another "
                    "folder"
                )
            yield shard

    def _is_stored(self, shard: _Shard) -> bool:
        """Return whether the folder has the shard; one that is torn or of something else is made again."""
        if shard.key in self.counted:
            return True
        if self.stored.get(shard.key) != shard.name:
            return False
        found = counts(self.folder, shard.name, self.plan.digest, len(shard.images))
        if found is None:
            self.listener.note(f"{shard.name} is damaged or no shard of this run: it is made again")
            del self.stored[shard.key]
            return False
        self.counted[shard.key] = found
        return True

    def _jobs(self) -> Iterator[BulkJob]:
        for shard in self._shards():
            if not self._is_stored(shard):
                self._incomplete[shard.number] = shard
                yield from (BulkJob(image, shard.number, position) for position, image in enumerate(shard.images))

    def _write(self, shard: _Shard) -> None:
        rows = list(shard.ordered_rows())
        self.folder.write(shard.name, to_parquet(rows, self.facts), durable=True)
        self.stored[shard.key] = shard.name
        errors = sum(row.get("error") is not None for row in rows)
        self.counted[shard.key] = len(rows) - errors, errors
        self.done += len(self._incomplete.pop(shard.number).images)
