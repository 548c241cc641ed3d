"""What a class loses when a region of an image is removed, compared with equally large regions elsewhere.

Removed pixels are imputed from those around, as ROAD does (Rong et al. 2022, arXiv 2202.00449), so that the edge of
the removed part is no evidence of its own. The tests of a group are stored when all of them are finished, so that a
run that is killed repeats at most those of one group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from fusioncam.audit.images import DataImage
from fusioncam.audit.plan import digest_of
from fusioncam.audit.regions import Region, as_mask, moved
from fusioncam.bulk.plan import BulkPlan
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.workers import FailedJob, Work, Workers, batches
from fusioncam.errors import FusionCamError, ResultsError, describe_error
from fusioncam.functional.imputation import Imputation
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import to_json, write_file
from fusioncam.utils.stored_files import Number, read_stored

RANDOMS = 4  # regions elsewhere
PASSES = 2 + RANDOMS
FOLDER = "removals"
_GROUP = 64


class Removal(TypedDict):
    """Probabilities of the class: for the whole image, without the region, and on average without one elsewhere.

    ``below`` is the share of the regions elsewhere whose removal leaves more than that of the region.
    """

    whole: Number
    without: Number
    elsewhere: Number
    below: Number


class _Group(TypedDict):
    results: list[Removal | None]


_SCHEMA: TypeAdapter[_Group] = TypeAdapter(_Group)


@dataclass(frozen=True)
class RemovalJob:
    """An image, the class, and the region to remove."""

    image: DataImage
    target: int
    region: Region = field(repr=False)

    def __str__(self) -> str:
        return self.image.name

    @property
    def key(self) -> list[object]:
        """What its result depends on."""
        return [
            self.image.name,
            self.target,
            list(self.region.shape),
            self.region.nonzero()[0].tolist(),
            self._columns,
        ]

    @property
    def _columns(self) -> list[int]:
        columns: list[int] = self.region.nonzero()[1].tolist()
        return columns


@dataclass(frozen=True)
class RemovalSetUp:
    """Loads the network in the process that tests regions."""

    plan: BulkPlan
    device: str | None

    def __call__(self) -> Work:
        """Return the function that does a batch of jobs."""
        model = self.plan.load(self.device)
        return lambda jobs: [_attempt(model, job) for job in jobs]


def _attempt(model: ExplainedModel, job: RemovalJob) -> Removal | str:
    """Return the result of a job, or the error of an image that cannot be opened."""
    try:
        return removal_of(model, job)
    except (FusionCamError, OSError, ValueError) as error:
        return describe_error(error)


def removal_of(model: ExplainedModel, job: RemovalJob) -> Removal:
    """Remove a region of an image, and equally large ones elsewhere, each by itself."""
    preprocessing = model.preprocessing
    x = preprocessing(job.image.open(preprocessing.channels))[None].to(model.device)
    size = (preprocessing.size[0], preprocessing.size[1])
    regions = [job.region & False, job.region, *moved(job.region, RANDOMS)]
    masks = torch.stack([as_mask(region, size) for region in regions])[:, None]
    scores = model.masked_scores(x, masks, job.target, readout="probability", fill=Imputation())[:, 0].tolist()
    whole, without, *elsewhere = scores
    below = sum(without < one for one in elsewhere) / RANDOMS
    return {"whole": whole, "without": without, "elsewhere": sum(elsewhere) / RANDOMS, "below": below}


@dataclass(frozen=True)
class RemovalTests:
    """The tests of one network, stored in a folder; jobs run on ``workers``."""

    plan: BulkPlan
    folder: Path
    workers: Workers
    device: str | None
    listener: ProgressListener

    def run(self, jobs: Iterable[RemovalJob]) -> list[Removal | None]:
        """Return the result of each job, in order; None for an image that fails."""
        groups = list(batches(jobs, _GROUP))
        if not groups:
            return []
        stored = {number: self._read(group) for number, group in enumerate(groups)}
        finished = {number: results for number, results in stored.items() if results is not None}
        done = sum(len(results) for results in finished.values())
        self.listener.started(sum(map(len, groups)), done)
        remaining = [(number, group) for number, group in enumerate(groups) if number not in finished]
        finished |= dict(self._run_groups(remaining))
        return [result for number in range(len(groups)) for result in finished[number]]

    def _run_groups(
        self, groups: Sequence[tuple[int, list[RemovalJob]]]
    ) -> Iterator[tuple[int, list[Removal | None]]]:
        """Run the jobs of all groups, and store and yield each group when it is complete."""
        positions = {id(job): (number, index) for number, group in groups for index, job in enumerate(group)}
        members, results = dict(groups), {number: dict[int, Removal | None]() for number, _ in groups}
        for job, found in self.workers.run(
            RemovalSetUp(self.plan, self.device), (job for _, group in groups for job in group)
        ):
            number, index = positions[id(job)]
            results[number][index] = self._report(job, found)
            if len(results[number]) == len(members[number]):
                complete = [results[number][position] for position in range(len(members[number]))]
                self._write(members[number], complete)
                yield number, complete

    def _report(self, job: RemovalJob, found: Any) -> Removal | None:
        error = found.reason if isinstance(found, FailedJob) else found if isinstance(found, str) else None
        self.listener.rows_finished([{"image": job.image.name, "error": error}])
        return None if error is not None else found

    def _path(self, group: Sequence[RemovalJob]) -> Path:
        return self.folder / f"{digest_of(self.plan.digest, [job.key for job in group])}.json"

    def _read(self, group: Sequence[RemovalJob]) -> list[Removal | None] | None:
        try:
            stored = read_stored(self._path(group), _SCHEMA)
        except ResultsError:  # a damaged file is made again
            return None
        return stored["results"] if stored is not None and len(stored["results"]) == len(group) else None

    def _write(self, group: Sequence[RemovalJob], results: Sequence[Mapping[str, Any] | None]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_file(self._path(group), to_json({"results": list(results)}), durable=True)
