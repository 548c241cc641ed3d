"""Workers on a Ray cluster: actors that hold few jobs at a time, so that a worker's death loses no job and no row.

Ray schedules the actors, starts and ends their processes, transfers jobs and results, and reports deaths. This
module adds what Ray leaves open: which job a process was working on when it ended, and how often to retry that job.
Ray Data's actor pools either retry a batch forever or abort the whole run, and need CPUs of their own for reading;
this pool needs no CPU except those of the actors.
"""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.workers import FailedJob, SetUp, T, Work, batches
from fusioncam.errors import MAX_COUNT, ClusterError

TRIES = 3  # of a job that was the only one of its worker when the worker's process ended
_BATCHES_AHEAD = 2  # batches that a worker holds, so that it never waits for the next one
_FAILED_STARTS = 3  # workers in a row that end before they finish anything
# environment variables of the driver that apply to its workers: where converted networks are kept
_VARIABLES = ("FUSIONCAM_CACHE_DIR",)


@dataclass(frozen=True)
class Request:
    """The workers that a run requests from a cluster.

    ``workers`` is their number (None: as many as the cluster has room for). ``cpus`` is the number of CPU cores and
    threads of each worker, ``gpus`` its number of GPUs; with 0.5 two workers share one. ``batch_size`` is the number
    of jobs that a worker receives at once. ``patience`` is the number of seconds without a finished job after which
    the run is aborted. Raises :class:`ClusterError` for values out of range.
    """

    workers: int | None = None
    cpus: int = 1
    gpus: float = 0
    batch_size: int = 1
    patience: float = 1800

    def __post_init__(self) -> None:
        integers = {
            "workers": 1 if self.workers is None else self.workers,
            "cpus": self.cpus,
            "batch_size": self.batch_size,
        }
        for name, value in integers.items():
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
                raise ClusterError(f"{name} must be a positive integer up to {MAX_COUNT:,}, got {value!r}")
        if not 0 <= self.gpus <= MAX_COUNT or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ClusterError(f"gpus must be a fraction of 1 or a whole number, got {self.gpus!r}")
        if not 0 < self.patience <= MAX_COUNT:
            raise ClusterError(f"patience must be a positive number of seconds, got {self.patience!r}")


class _Worker:
    """The code that runs inside an actor: it sets itself up and does jobs."""

    def __init__(
        self, threads: int, gpus: float, folder: str, paths: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a GPU that this worker did not request belongs to others
        import torch  # after the variable is set; and the module itself must load without torch

        torch.set_num_threads(threads)
        _match_driver_environment(folder, paths, variables)
        self._work: Work | None = None

    def set_up(self, set_up: SetUp) -> None:
        self._work = None  # free the old network before loading the new one
        self._work = set_up()

    def work(self, jobs: Sequence[Any]) -> list[Any]:
        assert self._work is not None
        return list(self._work(jobs))


def _match_driver_environment(folder: str, paths: Sequence[str], variables: Mapping[str, str]) -> None:
    """Use the driver's import paths, working directory and ``variables``: the user's modules and files are found."""
    os.environ.update(variables)
    sys.path += [path for path in paths if path not in sys.path]
    if Path(folder).is_dir():
        os.chdir(folder)


@dataclass
class _PendingJob:
    """A job without a result.

    ``suspect`` is set when a worker that held the job ended; ``deaths`` counts those that held no other job.
    """

    job: Any
    suspect: bool = False
    deaths: int = 0


@dataclass(eq=False)
class _WorkerHandle:
    """The driver's view of a worker: its unanswered calls, in order. A set-up call has no jobs."""

    actor: Any
    calls: deque[tuple[Any, list[_PendingJob]]] = field(default_factory=deque)

    @property
    def free(self) -> bool:
        """Whether the worker is set up, can take another batch, and holds no suspect (a suspect runs alone)."""
        return len(self.calls) < _BATCHES_AHEAD and all(jobs and not jobs[0].suspect for _, jobs in self.calls)


@dataclass
class Pool:
    """Workers on one cluster. ``ray`` is the connected module; ``listener`` receives a note when a worker ends."""

    ray: Any
    request: Request
    listener: ProgressListener
    is_remote: bool = True
    _workers: list[_WorkerHandle] = field(default_factory=list)
    _failed_starts: int = 0
    _set_up: Any = None
    _waiting: deque[list[_PendingJob]] = field(default_factory=deque)
    _suspects: deque[_PendingJob] = field(default_factory=deque)

    def run(self, set_up: SetUp, jobs: Iterable[T]) -> Iterator[tuple[T, Any]]:
        """Yield each job once, with its result or with :class:`FailedJob`, in the order in which jobs finish.

        Exceptions of a set-up or a job are raised here. Raises :class:`ClusterError` if no job finishes any more.
        """
        new = ([_PendingJob(job) for job in batch] for batch in batches(jobs, self.request.batch_size))
        first = next(new, None)
        if first is None:
            return
        self._waiting.append(first)
        self._start_workers(set_up)
        while self._distribute(new):
            yield from self._receive(self._next_answered())

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            self.ray.kill(worker.actor)
        self._workers.clear()

    # -- workers and their jobs ---------------------------------------------------------------------------

    def _start_workers(self, set_up: SetUp) -> None:
        """Start the workers that are missing, and set up all of them for the jobs to come."""
        self._set_up = self.ray.put(set_up)
        missing = (self.request.workers or 1) - len(self._workers)
        self._workers += [_WorkerHandle(self._actor()) for _ in range(missing)]
        for worker in self._workers:
            self._prepare(worker)

    def _actor(self) -> Any:
        resources = {"num_cpus": self.request.cpus, "num_gpus": self.request.gpus}
        kind = self.ray.remote(_Worker).options(**resources, max_restarts=0, scheduling_strategy="SPREAD")
        variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        return kind.remote(self.request.cpus, self.request.gpus, str(Path.cwd()), sys.path, variables)

    def _prepare(self, worker: _WorkerHandle) -> None:
        worker.calls.append((worker.actor.set_up.remote(self._set_up), []))

    def _distribute(self, new: Iterator[list[_PendingJob]]) -> bool:
        """Send jobs to all free workers, retries first; return whether any job is running or waiting."""
        for _ in range(_BATCHES_AHEAD):
            for worker in self._workers:
                if jobs := self._jobs_for(worker, new):
                    worker.calls.append((worker.actor.work.remote([one.job for one in jobs]), jobs))
        if any(jobs for worker in self._workers for _, jobs in worker.calls):
            return True
        if not self._waiting:  # no worker is set up yet
            self._waiting.extend(islice(new, 1))
        return bool(self._waiting or self._suspects)

    def _jobs_for(self, worker: _WorkerHandle, new: Iterator[list[_PendingJob]]) -> list[_PendingJob] | None:
        """Return the next jobs for a worker; suspects come first and go to workers that hold nothing else.

        A result may be lost together with the process that computed it. Only if a job was alone on its worker is it
        certain that the process ended because of that job.
        """
        if self._suspects:
            return None if worker.calls else [self._suspects.popleft()]
        if not worker.free:
            return None
        return self._waiting.popleft() if self._waiting else next(new, None)

    # -- results ------------------------------------------------------------------------------------------

    def _next_answered(self) -> _WorkerHandle:
        """Wait until a worker has answered its first call, and return that worker."""
        heads = {worker.calls[0][0]: worker for worker in self._workers if worker.calls}
        ready, _ = self.ray.wait(list(heads), num_returns=1, timeout=self.request.patience)
        if not ready:
            raise ClusterError(self._stall_message())
        return heads[ready[0]]

    def _receive(self, worker: _WorkerHandle) -> Iterator[tuple[Any, Any]]:
        """Yield the jobs and results of a worker's first call, or replace the worker if its process ended."""
        errors, (answer, jobs) = self.ray.exceptions, worker.calls[0]
        try:
            results = self.ray.get(answer)
        except errors.RayTaskError as error:
            raise getattr(error, "cause", None) or ClusterError(f"a worker failed: {error}") from None
        except errors.RayError as error:  # its process ended, or its result was lost with its node
            yield from self._replace(worker, _brief(error))
            return
        self._failed_starts = 0
        worker.calls.popleft()
        yield from zip((one.job for one in jobs), results or [], strict=True)

    def _replace(self, worker: _WorkerHandle, reason: str) -> Iterator[tuple[Any, Any]]:
        """Replace a worker that ended; queue its jobs to be retried one by one, and yield those out of tries."""
        jobs = [one for _, held in worker.calls for one in held]
        self._workers.remove(worker)
        self.ray.kill(worker.actor)
        if not jobs:
            self._count_failed_start(reason)
        if len(jobs) == 1:
            jobs[0].deaths += 1
        for one in jobs:
            one.suspect = True
            if one.deaths < TRIES:
                self._suspects.append(one)
            else:
                yield one.job, FailedJob(f"{TRIES} worker processes ended while they held only this image: {reason}")
        self.listener.note(f"a worker process ended and is replaced: {reason}")
        self._workers.append(_WorkerHandle(self._actor()))
        self._prepare(self._workers[-1])

    def _count_failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= _FAILED_STARTS:
            raise ClusterError(f"{_FAILED_STARTS} workers in a row ended before they finished anything: {reason}")

    def _stall_message(self) -> str:
        running = [str(one.job) for worker in self._workers for _, jobs in worker.calls for one in jobs]
        named = ", ".join(running[:5]) + (f" and {len(running) - 5} more" if len(running) > 5 else "")
        waiting = sum(any(not jobs for _, jobs in worker.calls) for worker in self._workers)
        free = self.ray.available_resources()
        return (
            f"no image was finished for {self.request.patience:,.0f} seconds. In progress: {named or 'none'}; "
            f"{waiting} of {len(self._workers)} workers wait for room in the cluster or load their network; free are "
            f"{free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU. Finished images are kept; run the same "
            "command again to continue, raise --patience, or look at the images in progress"
        )


def _brief(error: BaseException) -> str:
    """Return the line of Ray's report of a death that states the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = (line for line in lines for word in ("exit detail", "low on memory", "node") if word in line.lower())
    line = next(chain(telling, lines), type(error).__name__)
    # guesses follow the detail
    return re.split(r"\.? (?:Some common causes|There are some potential)", line.split("exit detail: ")[-1])[0][:200]
