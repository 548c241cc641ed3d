"""Many passes, well done: in chunks, side by side, counted, and with less at once where memory ends."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

import torch
from torch import Tensor

from fusioncam.errors import FusionCamWarning
from fusioncam.inference.costs import record_passes

Score = Callable[[Tensor], Tensor]


@dataclass
class ChunkSizeTuner:
    """How many jobs a worker takes at once: the first of ``sizes``, until a sweep is long enough to try them all.

    What is tried are jobs that have to be done anyway. A later size must be faster by more than the noise of a
    clock. ``seconds`` holds the best time a job, by size.
    """

    sizes: Sequence[int]
    seconds: dict[int, float] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The best size known."""
        if len(self.seconds) < len(self.sizes):
            return self.sizes[0]
        return min(self.sizes, key=lambda size: self.seconds[size] * (1 if size == self.sizes[0] else 1.05))

    @property
    def best(self) -> float | None:
        """Seconds a job at the best size; None before it was measured."""
        return self.seconds.get(self.size)

    def schedule(self, jobs: int, workers: int) -> Iterator[tuple[int, slice, bool]]:
        """Divide so many jobs into stretches of one size: where it is tried one to set up, and one to be timed."""
        start = 0
        if len(self.sizes) > len(self.seconds) and jobs >= 8 * workers * sum(self.sizes):
            for size in self.sizes:
                for rounds in (1, 3):
                    stop = start + rounds * workers * size
                    yield size, slice(start, stop), rounds > 1
                    start = stop
        yield self.size, slice(start, jobs), False

    def record_time(self, size: int, seconds: float) -> None:
        """Remember how long a job took."""
        self.seconds[size] = min(seconds, self.seconds.get(size, seconds))

    def cap(self, size: int) -> None:
        """Take no more than so many from now on."""
        self.sizes = list(dict.fromkeys(min(size, one) for one in self.sizes))
        self.seconds = {}


def score_in_batches(
    scorers: Sequence[Score], jobs: Tensor, pace: ChunkSizeTuner, *, partial: bool = False
) -> Tensor:
    """Score all jobs ``(J, ...)``: a scorer gives ``(B,)`` for ``B`` jobs, several work side by side.

    ``partial`` jobs start at the layer and are counted as such. Out of memory halves what is taken at once, with
    a warning, and goes on: nothing is scored twice.
    """
    record_passes(planned=len(jobs))
    scores, done = torch.empty(0, device=jobs.device), 0
    with _thread_pool(scorers, pace) as crew:
        for size, which, timed in pace.schedule(len(jobs), len(scorers)):
            began, some = time.perf_counter(), jobs[which]
            for part in crew(_parts(some, size)):
                if not done:
                    scores = part.new_empty(len(jobs))
                # the parts themselves, kept among large buffers that come and go, would hold these apart
                scores[done : done + len(part)] = part
                done += len(part)
                record_passes(**{"partial" if partial else "passes": len(part)})
            if timed:
                pace.record_time(size, (time.perf_counter() - began) / len(some))
    return scores


@contextmanager
def _thread_pool(
    scorers: Sequence[Score], pace: ChunkSizeTuner
) -> Iterator[Callable[[Iterable[Tensor]], Iterator[Tensor]]]:
    """Give what scores parts of jobs in order: here, or in as many threads as there are scorers."""
    if len(scorers) == 1:
        yield lambda parts: (_score_with_oom_backoff(scorers[0], part, pace) for part in parts)
        return
    idle: SimpleQueue[Score] = SimpleQueue()
    for scorer in scorers:
        idle.put(scorer)

    def work(part: Tensor) -> Tensor:
        scorer = idle.get()
        try:
            return _score_with_oom_backoff(scorer, part, pace)
        finally:
            idle.put(scorer)

    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(len(scorers), "sweep", _one_of_many, (max(1, threads // len(scorers)),))
    try:
        yield lambda parts: pool.map(work, parts)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # a thread's own number is also kept as that of threads to come


def _one_of_many(threads: int) -> None:
    """Make this thread one of several on the processor: gradients and threads are its own setting."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)


def _score_with_oom_backoff(score: Score, jobs: Tensor, pace: ChunkSizeTuner) -> Tensor:
    """Score jobs, by halves where memory ends."""
    if len(jobs) <= max(pace.sizes):
        try:
            return score(jobs)
        except torch.OutOfMemoryError:
            if len(jobs) == 1:
                raise
            half = len(jobs) // 2
            warnings.warn(f"out of memory: going on with {half} at a time", FusionCamWarning, stacklevel=2)
            pace.cap(half)
    return torch.cat([_score_with_oom_backoff(score, part, pace) for part in _parts(jobs, max(pace.sizes))])


def _parts(jobs: Tensor, size: int) -> list[Tensor]:
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]
