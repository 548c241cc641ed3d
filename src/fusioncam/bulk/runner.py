"""Images by the million -> shards of heatmaps: each written whole, and none made twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from fusioncam.bulk.jobs import BulkJob, ExplainSetUp, failure
from fusioncam.bulk.parquet import COLUMNS, Row, counts, shard_name, shards_in, to_parquet
from fusioncam.bulk.plan import MANIFEST, SCHEMA_VERSION, BulkPlan, require_same
from fusioncam.bulk.storage import Folder, Found, images_at, is_local
from fusioncam.distributed.workers import FailedJob, LocalWorkers, Workers, batches
from fusioncam.errors import ImageError, ResultsError
from fusioncam.explanations.explain import named_methods
from fusioncam.explanations.explanation import run_facts
from fusioncam.utils.files import folder_lock, to_json

_TOLD = 20  # failures that are named at the end


class BulkListener:
    """Hears how far a run is; this one tells nobody."""

    def begin(self, images: int) -> None:
        """There are so many images."""

    def known(self, images: int) -> None:
        """So many more are done since an earlier run."""

    def took(self, rows: list[Row]) -> None:
        """An image is done."""

    def note(self, text: str) -> None:
        """Something is to be known."""


@dataclass(frozen=True)
class BulkResult:
    """What a run came to: images, heatmaps and failures in all, and some of the failures of this run."""

    folder: str
    images: int
    heatmaps: int
    failures: int
    told: tuple[Row, ...] = ()
    interrupted: bool = False


@dataclass
class _Shard:
    """A shard that is being filled."""

    name: str
    images: int
    rows: dict[int, list[Row]] = field(default_factory=dict)


def explain_in_bulk(
    plan: BulkPlan,
    out: str | Path,
    *,
    device: str | None = None,
    workers: Workers | None = None,
    watch: BulkListener | None = None,
) -> BulkResult:
    """Explain what of the plan's images has no shard in the folder yet; Ctrl-C ends it with less.

    ``out`` is a local folder or a URL that pyarrow or fsspec can write to. A shard is written when all its images
    are done: a run that is stopped loses at most those of shards that were being filled, and the same call goes on.
    Read heatmaps by :func:`fusioncam.read_heatmaps`.

    Raises :class:`ResultsError` for a folder of another plan or of other images, :class:`ImageError` for images
    that are not there, :class:`OutputError`.
    """
    folder, workers, watch = Folder(str(out)), workers or LocalWorkers(), watch or BulkListener()
    with _for_oneself(folder):
        require_same(folder, plan)
        model = plan.load("cpu" if workers.is_remote else device)
        named_methods(model, plan.methods)
        total = sum(1 for _ in _images(plan, folder))
        if not total:
            raise ImageError(f"no image in {', '.join(plan.images)}")
        facts = run_facts(model.name, model.preprocessing) | {"schema_version": SCHEMA_VERSION}
        del model
        facts |= {"plan": asdict(plan), "digest": plan.digest, "columns": COLUMNS}
        folder.write(MANIFEST, to_json(facts))
        watch.begin(total)
        run = _Run(plan, folder, facts, watch)
        try:
            run.go(workers, ExplainSetUp(plan, folder, device))
        except KeyboardInterrupt:
            return run.outcome(interrupted=True)
        outcome = run.outcome()
        told = {"images": outcome.images, "heatmaps": outcome.heatmaps, "failures": outcome.failures}
        folder.write(MANIFEST, to_json(facts | told | {"shards": len(run.shards)}))
        return outcome


def _for_oneself(folder: Folder) -> AbstractContextManager[None]:
    return folder_lock(Path(folder.url)) if is_local(folder.url) else nullcontext()


def _images(plan: BulkPlan, folder: Folder) -> Iterator[Found]:
    return chain.from_iterable(images_at(one, folder.url) for one in plan.images)


class _Run:
    def __init__(self, plan: BulkPlan, folder: Folder, facts: dict[str, Any], watch: BulkListener) -> None:
        self.plan, self.folder, self.facts, self.watch = plan, folder, facts, watch
        self.shards = shards_in(folder)
        self.failures: list[Row] = []
        self.done = 0
        self._filling: dict[int, _Shard] = {}

    def go(self, workers: Workers, set_up: ExplainSetUp) -> None:
        """Have all images done that are in no shard, and write shards as they become full."""
        for job, found in workers.run(set_up, self._jobs()):
            rows = [failure(job, found.reason)] if isinstance(found, FailedJob) else found
            shard = self._filling[job.shard]
            shard.rows[job.place] = rows
            self.failures += [row for row in rows if row.get("error")][: _TOLD - len(self.failures)]
            if len(shard.rows) == shard.images:
                self._write(job.shard)
            self.watch.took(rows)

    def _jobs(self) -> Iterable[BulkJob]:
        for number, images in enumerate(batches(_images(self.plan, self.folder), self.plan.shard)):
            name = shard_name(number, images, self.plan.digest)
            there = self.shards.get(name.split(".")[0])
            if there == name:
                self.watch.known(len(images))
                self.done += len(images)
                continue
            if there is not None:
                raise ResultsError(
                    f"{there} in {self.folder.url} is of other images, some came or went: choose another folder"
                )
            self._filling[number] = _Shard(name, len(images))
            yield from (BulkJob(one, number, place) for place, one in enumerate(images))

    def _write(self, number: int) -> None:
        shard = self._filling.pop(number)
        rows = chain.from_iterable(shard.rows[place] for place in range(shard.images))
        self.folder.write(shard.name, to_parquet(rows, self.facts))
        self.shards[shard.name.split(".")[0]] = shard.name
        self.done += shard.images

    def outcome(self, *, interrupted: bool = False) -> BulkResult:
        """Count what is in the shards, those of earlier runs too."""
        counted = [counts(self.folder, name) for name in self.shards.values()]
        heatmaps, failures = (sum(each) for each in zip((0, 0), *counted, strict=True))
        return BulkResult(self.folder.url, self.done, heatmaps, failures, tuple(self.failures), interrupted)
