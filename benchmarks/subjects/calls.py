"""Measure the cost of passing images to workers on a local Ray that do nothing, by images per call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import figures
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.ray_connection import ray_pool
from fusioncam.distributed.ray_pool import Request
from harness import Subject, timed
from meta import say

WORKERS, FIRST = 2, 10


class NotePrinter(ProgressListener):
    """A listener that prints the notes of a run."""

    def note(self, text):
        """Print the note."""
        say(text)


class Idle:
    """The set-up of a worker that does nothing."""

    def __call__(self, jobs):
        """Return the jobs."""
        return jobs


@dataclass(frozen=True)
class Calls(Subject):
    """Milliseconds per image over ``jobs`` images, after a few that warm up."""

    name: ClassVar[str] = "calls"
    what: ClassVar[str] = f"passing images to {WORKERS} workers on a local Ray that do nothing"

    batch_sizes: tuple[int, ...] = (1, 4, 16, 64)
    jobs: int = 4000
    repeats: int = 5

    def planned(self):
        """Return the number of rows."""
        return self.repeats * len(self.batch_sizes)

    def rows(self):
        """Yield the measurements."""
        for size in self.batch_sizes:
            for repeat, seconds in enumerate(handing_on(self.jobs, size, self.repeats), start=1):
                say(f"{self.name}: {size} at once, {repeat} of {self.repeats}: {1000 * seconds:.4f} ms")
                yield {"image": f"repeat {repeat}", "batch_size": size, "seconds": seconds}

    def figures(self, rows):
        """Return the figures of each batch size."""
        by_size = {
            size: [1000 * row["seconds"] for row in rows if row["batch_size"] == size] for size in self.batch_sizes
        }
        return [
            figures.figure(f"passing an image to a worker, {size} at once", values, "ms")
            for size, values in by_size.items()
        ]


def handing_on(jobs, batch_size=1, repeats=1):
    """Yield the seconds per job of each repeat, for jobs that do nothing, after a few that warm up."""
    with ray_pool(request=Request(workers=WORKERS, batch_size=batch_size), listener=NotePrinter()) as pool:
        list(pool.run(Idle, range(FIRST * batch_size)))
        for _ in range(repeats):
            yield timed(lambda: list(pool.run(Idle, range(jobs))))[0] / jobs
