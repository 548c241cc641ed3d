"""Jobs, the set-up of a worker, and the worker that is this process.

Each worker calls the set-up once and receives the function that does the jobs: ``work(jobs)`` returns their results
in order. :class:`LocalWorkers` and :class:`fusioncam.distributed.ray_pool.Pool` have the same ``run``, so that
callers need not know where jobs run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

from fusioncam.errors import require_count

T = TypeVar("T")
Work = Callable[[Sequence[Any]], Sequence[Any]]
SetUp = Callable[[], Work]


@dataclass(frozen=True)
class FailedJob:
    """Stands for the result of a job that ended its worker's process in every try."""

    reason: str


class Workers(Protocol):
    """Anything that runs jobs."""

    @property
    def is_remote(self) -> bool:
        """Whether jobs run in other processes, which share no memory with this one."""
        ...

    def run(self, set_up: SetUp, jobs: Iterable[T]) -> Iterator[tuple[T, Any]]:
        """Yield each job once, with its result or with :class:`FailedJob`, in any order."""
        ...


@dataclass(frozen=True)
class LocalWorkers:
    """One worker: this process."""

    batch_size: int = 1
    is_remote: bool = False

    def __post_init__(self) -> None:
        require_count("batch_size", self.batch_size)

    def run(self, set_up: SetUp, jobs: Iterable[T]) -> Iterator[tuple[T, Any]]:
        """Yield each job with its result, in order; without jobs the set-up is not called."""
        work = None
        for batch in batches(jobs, self.batch_size):
            work = work or set_up()
            yield from zip(batch, work(batch), strict=True)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items, the last one possibly shorter; items are consumed lazily.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    remaining = iter(items)
    return iter(lambda: list(islice(remaining, size)), [])
