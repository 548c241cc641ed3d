"""Score many inputs in batches: in parallel, counted, and with smaller batches when memory runs out."""

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

# from jobs (B, ...) to scores (B,)
Scorer = Callable[[Tensor], Tensor]


@dataclass
class ChunkSizeTuner:
    """Choose the batch size of a worker: the first of ``sizes``, until there are enough jobs to time all of them.

    The sizes are timed on jobs that have to be scored anyway. A later size must be faster by more than the noise of
    the clock. ``seconds`` maps each size to its best time per job.
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
        """Seconds per job at the best size; None before it is timed."""
        return self.seconds.get(self.size)

    def schedule(self, jobs: int, workers: int) -> Iterator[tuple[int, slice, bool]]:
        """Yield the batch size, the jobs and whether to time them.

        A size that is timed gets two ranges of jobs: one that sets things up, and one that is timed.
        """
        start = 0
        if len(self.sizes) > len(self.seconds) and jobs >= 8 * workers * sum(self.sizes):
            for size in self.sizes:
                for rounds in (1, 3):
                    stop = start + rounds * workers * size
                    yield size, slice(start, stop), rounds > 1
                    start = stop
        yield self.size, slice(start, jobs), False

    def record_time(self, size: int, seconds: float) -> None:
        """Store the time per job at this size."""
        self.seconds[size] = min(seconds, self.seconds.get(size, seconds))

    def at_most(self, size: int) -> ChunkSizeTuner:
        """Return a tuner of batches of the best size, or of ``size`` if that is smaller."""
        return ChunkSizeTuner((min(self.size, size),))

    def cap(self, size: int) -> None:
        """Use no larger batches from now on."""
        self.sizes = list(dict.fromkeys(min(size, known) for known in self.sizes))
        self.seconds = {}


def score_in_batches(
    scorers: Sequence[Scorer], jobs: Tensor, tuner: ChunkSizeTuner, *, partial: bool = False
) -> Tensor:
    """Return the scores ``(J,)`` of jobs ``(J, ...)``; several scorers run in parallel, each in a thread.

    ``partial`` jobs start at the layer and are counted as such. When memory runs out the batch size is halved, with a
    warning, and no job is scored twice.
    """
    record_passes(planned=len(jobs))
    scores, done = torch.empty(0, device=jobs.device), 0
    with _thread_pool(scorers, tuner) as score_batches:
        for size, selected, timed in tuner.schedule(len(jobs), len(scorers)):
            start, some = time.perf_counter(), jobs[selected]
            for values in score_batches(_split(some, size)):
                if not done:
                    scores = values.new_empty(len(jobs))
                # copied: small tensors kept between large buffers would fragment the memory
                scores[done : done + len(values)] = values
                done += len(values)
                record_passes(**{"partial" if partial else "passes": len(values)})
            if timed:
                tuner.record_time(size, (time.perf_counter() - start) / len(some))
    return scores


@contextmanager
def _thread_pool(
    scorers: Sequence[Scorer], tuner: ChunkSizeTuner
) -> Iterator[Callable[[Iterable[Tensor]], Iterator[Tensor]]]:
    """Yield a function that scores batches in order: in this thread, or in one thread per scorer."""
    if len(scorers) == 1:
        yield lambda batches: (_score_with_oom_backoff(scorers[0], batch, tuner) for batch in batches)
        return
    idle: SimpleQueue[Scorer] = SimpleQueue()
    for scorer in scorers:
        idle.put(scorer)

    def score(batch: Tensor) -> Tensor:
        scorer = idle.get()
        try:
            return _score_with_oom_backoff(scorer, batch, tuner)
        finally:
            idle.put(scorer)

    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(len(scorers), "batching", _start_worker, (max(1, threads // len(scorers)),))
    try:
        yield lambda batches: pool.map(score, batches)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # torch also uses a thread's number of threads for later threads


def _start_worker(threads: int) -> None:
    """Set the number of threads and the grad mode, which torch keeps per thread."""
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)


def _score_with_oom_backoff(score: Scorer, jobs: Tensor, tuner: ChunkSizeTuner) -> Tensor:
    """Score jobs, in halves when memory runs out."""
    if len(jobs) <= max(tuner.sizes):
        try:
            return score(jobs)
        except torch.OutOfMemoryError:
            if len(jobs) == 1:
                raise
            half = len(jobs) // 2
            warnings.warn(f"out of memory: continuing with batches of {half}", FusionCamWarning, stacklevel=2)
            tuner.cap(half)
    return torch.cat([_score_with_oom_backoff(score, batch, tuner) for batch in _split(jobs, max(tuner.sizes))])


def _split(jobs: Tensor, size: int) -> list[Tensor]:
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]
