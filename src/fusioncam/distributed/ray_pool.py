"""Workers on a Ray cluster: actors that are handed few jobs at a time, and whose deaths cost no job and no row.

Ray places the actors, starts and ends their processes, carries jobs and results, and tells of deaths. What is done
here is what it leaves open: which job was in hand when a process ended, and how often that one is tried again. Ray
Data's actor pools try a batch again for ever or give up the whole run, and need processors of their own to read with;
these need none besides those of the actors.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from fusioncam.distributed.workers import FailedJob, SetUp, T, Work, batches
from fusioncam.errors import ClusterError

TRIES = 3  # of a job that was alone in hand when its worker's process ended
_AHEAD = 2  # batches that a worker has, so that it never waits for the next one
_STILLBORN = 3  # workers in a row that end before they have done anything


@dataclass(frozen=True)
class Request:
    """What is asked of a cluster.

    ``workers`` is how many (None: as many as it has room for), ``cpus`` the processor cores and threads of each and
    ``gpus`` its GPUs, of which several workers may share one (0.5). ``batch_size`` is how many jobs a worker is
    handed at once, ``patience`` after how many seconds in which no job was done a run is given up.
    """

    workers: int | None = None
    cpus: int = 1
    gpus: float = 0
    batch_size: int = 1
    patience: float = 1800

    def __post_init__(self) -> None:
        counts = {
            "workers": 1 if self.workers is None else self.workers,
            "cpus": self.cpus,
            "batch_size": self.batch_size,
        }
        for name, value in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ClusterError(f"{name} is a whole number above 0, got {value!r}")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ClusterError(f"a worker has a share of a GPU, one or several whole ones, got {self.gpus!r}")
        if not self.patience > 0:
            raise ClusterError(f"patience is a number of seconds above 0, got {self.patience!r}")


class _Worker:
    """The inside of an actor: sets up what it is told to, and does jobs."""

    def __init__(self, threads: int, gpus: float, folder: str, paths: Sequence[str]) -> None:
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a GPU that was not asked for belongs to others
        torch.set_num_threads(threads)
        _match_driver_environment(folder, paths)
        self._work: Work | None = None

    def set_up(self, set_up: SetUp) -> None:
        self._work = None  # the old network goes before the new one comes
        self._work = set_up()

    def work(self, jobs: Sequence[Any]) -> list[Any]:
        assert self._work is not None
        return list(self._work(jobs))


def _match_driver_environment(folder: str, paths: Sequence[str]) -> None:
    """Find the user's own modules and files as the driver does, where they are there."""
    import sys

    sys.path += [one for one in paths if one not in sys.path]
    if Path(folder).is_dir():
        os.chdir(folder)


@dataclass
class _PendingJob:
    """A job, whether a worker ended that had it in hand, and how many while they had no other."""

    job: Any
    suspect: bool = False
    ended: int = 0


@dataclass(eq=False)
class _WorkerHandle:
    """A worker as seen from here: the calls that it has not answered, in order; those that set up have no jobs."""

    actor: Any
    calls: deque[tuple[Any, list[_PendingJob]]] = field(default_factory=deque)

    @property
    def free(self) -> bool:
        """Whether it has set up, less to do than it may have ahead, and no suspect, which is tried alone."""
        return len(self.calls) < _AHEAD and all(jobs and not jobs[0].suspect for _, jobs in self.calls)


@dataclass
class Pool:
    """Workers of one cluster; ``ray`` is the module, connected to it, and ``note`` hears of what goes wrong."""

    ray: Any
    request: Request
    note: Callable[[str], None]
    is_remote: bool = True
    _hands: list[_WorkerHandle] = field(default_factory=list)
    _stillborn: int = 0
    _set_up: Any = None
    _waiting: deque[list[_PendingJob]] = field(default_factory=deque)
    _suspects: deque[_PendingJob] = field(default_factory=deque)

    def run(self, set_up: SetUp, jobs: Iterable[T]) -> Iterator[tuple[T, Any]]:
        """Give each job once, with what it came to or with :class:`FailedJob`, as they are done.

        What a set-up or a job raises is raised here. Raises :class:`ClusterError` where nothing goes on.
        """
        new = ([_PendingJob(job) for job in batch] for batch in batches(jobs, self.request.batch_size))
        first = next(new, None)
        if first is None:
            return
        self._waiting.append(first)
        self._hire(set_up)
        while self._hand_out(new):
            yield from self._settled(self._next())

    def close(self) -> None:
        """Let all workers go."""
        for hand in self._hands:
            self.ray.kill(hand.actor)
        self._hands.clear()

    # -- hands --------------------------------------------------------------------------------------------

    def _hire(self, set_up: SetUp) -> None:
        """Have as many workers as were asked for, all set up for what comes."""
        self._set_up = self.ray.put(set_up)
        missing = (self.request.workers or 1) - len(self._hands)
        self._hands += [_WorkerHandle(self._actor()) for _ in range(missing)]
        for hand in self._hands:
            self._prepare(hand)

    def _actor(self) -> Any:
        import sys

        resources = {"num_cpus": self.request.cpus, "num_gpus": self.request.gpus}
        kind = self.ray.remote(_Worker).options(**resources, max_restarts=0, scheduling_strategy="SPREAD")
        return kind.remote(self.request.cpus, self.request.gpus, str(Path.cwd()), sys.path)

    def _prepare(self, hand: _WorkerHandle) -> None:
        hand.calls.append((hand.actor.set_up.remote(self._set_up), []))

    def _hand_out(self, new: Iterator[list[_PendingJob]]) -> bool:
        """Give work to all who are free, what is tried again first; say whether any is in hand or to be done."""
        for _ in range(_AHEAD):
            for hand in self._hands:
                if jobs := self._more(hand, new):
                    hand.calls.append((hand.actor.work.remote([one.job for one in jobs]), jobs))
        if any(jobs for hand in self._hands for _, jobs in hand.calls):
            return True
        if not self._waiting:  # nobody is set up yet
            self._waiting.extend(islice(new, 1))
        return bool(self._waiting or self._suspects)

    def _more(self, hand: _WorkerHandle, new: Iterator[list[_PendingJob]]) -> list[_PendingJob] | None:
        """Give what a worker is to do next; suspects come first, to those who have nothing else in hand.

        An answer may be lost with the process that gave it: only of a job that is alone in hand it is sure that the
        process ended at it.
        """
        if self._suspects:
            return None if hand.calls else [self._suspects.popleft()]
        if not hand.free:
            return None
        return self._waiting.popleft() if self._waiting else next(new, None)

    # -- answers ------------------------------------------------------------------------------------------

    def _next(self) -> _WorkerHandle:
        """Wait until some worker has answered its first call, and say whose."""
        heads = {hand.calls[0][0]: hand for hand in self._hands if hand.calls}
        ready, _ = self.ray.wait(list(heads), num_returns=1, timeout=self.request.patience)
        if not ready:
            raise ClusterError(self._stalled())
        return heads[ready[0]]

    def _settled(self, hand: _WorkerHandle) -> Iterator[tuple[Any, Any]]:
        errors, (answer, jobs) = self.ray.exceptions, hand.calls[0]
        try:
            found = self.ray.get(answer)
        except errors.RayTaskError as error:
            raise getattr(error, "cause", None) or ClusterError(f"a worker failed: {error}") from None
        except errors.RayError as error:  # its process ended, or what it gave went down with its node
            yield from self._ended(hand, _brief(error))
            return
        self._stillborn = 0
        hand.calls.popleft()
        yield from zip((one.job for one in jobs), found or [], strict=True)

    def _ended(self, hand: _WorkerHandle, why: str) -> Iterator[tuple[Any, Any]]:
        """Put another worker in the place of one that ended; what was in its hand is tried again, one by one."""
        suspects = [one for _, jobs in hand.calls for one in jobs]
        self._hands.remove(hand)
        self.ray.kill(hand.actor)
        if not suspects:
            self._count_stillborn(why)
        if len(suspects) == 1:
            suspects[0].ended += 1
        for one in suspects:
            one.suspect = True
            if one.ended < TRIES:
                self._suspects.append(one)
            else:
                yield one.job, FailedJob(f"{TRIES} workers' processes ended with this image alone in hand: {why}")
        self.note(f"a worker's process ended, another takes its place: {why}")
        self._hands.append(_WorkerHandle(self._actor()))
        self._prepare(self._hands[-1])

    def _count_stillborn(self, why: str) -> None:
        self._stillborn += 1
        if self._stillborn >= _STILLBORN:
            raise ClusterError(f"{_STILLBORN} workers in a row ended before they had done anything: {why}")

    def _stalled(self) -> str:
        in_hand = [str(one.job) for hand in self._hands for _, jobs in hand.calls for one in jobs]
        named = ", ".join(in_hand[:5]) + (f" and {len(in_hand) - 5} more" if len(in_hand) > 5 else "")
        waiting = sum(any(not jobs for _, jobs in hand.calls) for hand in self._hands)
        free = self.ray.available_resources()
        return (
            f"no image was done for {self.request.patience:,.0f} seconds. In hand: {named or 'none'}; "
            f"{waiting} of {len(self._hands)} workers wait for room in the cluster or load their network; free are "
            f"{free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU. What was done is kept and the same command "
            "goes on: give it more --patience, or look at what is in hand"
        )


def _brief(error: BaseException) -> str:
    """Take of what Ray tells of a death the line that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = (line for line in lines for word in ("exit detail", "low on memory", "node") if word in line.lower())
    line = next(chain(telling, lines), type(error).__name__)
    # behind the detail follow guesses
    return re.split(r"\.? (?:Some common causes|There are some potential)", line.split("exit detail: ")[-1])[0][:200]
