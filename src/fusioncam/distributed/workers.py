"""What is to be done, and who does it: jobs, a worker's set-up, and workers in this process.

A set-up is called once by each worker and gives what does the jobs: ``work(jobs)`` gives what each came to, in order.
``LocalWorkers`` and the pool of :mod:`fusioncam.distributed.ray_pool` have the same ``run``, so that who has jobs need not know where
they are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Work = Callable[[Sequence[Any]], Sequence[Any]]
SetUp = Callable[[], Work]


@dataclass(frozen=True)
class FailedJob:
    """What became of a job that ended its worker's process each time that it was tried."""

    reason: str


class Workers(Protocol):
    """Whoever does jobs. ``is_remote`` says that it does them in other processes, which share no memory with this one."""

    @property
    def is_remote(self) -> bool:
        """Whether set-up and jobs are sent elsewhere."""
        ...

    def run(self, set_up: SetUp, jobs: Iterable[T]) -> Iterator[tuple[T, Any]]:
        """Give each job once, with what it came to or with :class:`FailedJob`, in any order."""
        ...


@dataclass(frozen=True)
class LocalWorkers:
    """The one worker that is this process."""

    batch_size: int = 1
    is_remote: bool = False

    def run(self, set_up: SetUp, jobs: Iterable[T]) -> Iterator[tuple[T, Any]]:
        """Give each job with what it came to, in order; nothing is set up where there are none."""
        work = None
        for batch in batches(jobs, self.batch_size):
            work = work or set_up()
            yield from zip(batch, work(batch), strict=True)


def batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Give so many at a time, the last ones fewer, each when it is asked for.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    remaining = iter(things)
    return iter(lambda: list(islice(remaining, size)), [])
