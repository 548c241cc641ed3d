"""How far a benchmark is, and what its table looks like so far, on the terminal while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fusioncam.benchmark.results_store import Means, Row
from fusioncam.benchmark.runner import ProgressListener
from fusioncam.inference.costs import count_passes
from fusioncam.inference.counters import PassCounter
from fusioncam.utils.text import printable


class ProgressBar(ProgressListener):
    """A bar of images, and a table of the means of this run, by model, method and metric."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._console = Console(stderr=True)
        told = TextColumn("images, {task.fields[rows]:,} rows, {task.fields[failures]:,} failed,")
        left = (Rate(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._bar = Progress(BarColumn(), MofNCompleteColumn(), told, *left, console=self._console)
        self._task = self._bar.add_task("", total=None, rows=0, failures=0)
        self._live = Live(self._bar, console=self._console, refresh_per_second=4, transient=True)
        self.means = Means()
        self._told = ""
        self.seen: set[tuple[str, str]] = set()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while the block runs, on a terminal, unless it is to be quiet."""
        if self.quiet or not self._console.is_terminal:
            yield
            return
        with self._live:
            yield

    def found(self, data: str, kind: str) -> None:
        """Say what the data was taken for, once for several models that take it for the same."""
        told, self._told = self._told, f"{data}: {kind}"
        if not self.quiet and told != self._told:
            self.note(self._told)

    def begin(self, images: int, done: int, rows: int) -> None:
        """Say where an earlier run was stopped."""
        if done and not self.quiet:
            self.note(f"going on: {done} of {images} images are done")
        # what an earlier run did tells nothing of the time left
        self._bar.reset(self._task, total=images, completed=done, rows=rows, failures=0)

    def at(self, model: str, image: str) -> None:
        """Name the image in hand."""
        self._bar.update(self._task, description=printable(f"{model}: {image}"))

    def took(self, rows: Sequence[Row]) -> None:
        """Count the rows and let the means move."""
        new = {(row["model"], row["image"]) for row in rows} - self.seen
        self.seen |= new
        self.means.add(rows)
        so_far = self._bar.tasks[0].fields
        failures = so_far["failures"] + sum(row["error"] is not None for row in rows)
        self._bar.update(self._task, advance=len(new), rows=so_far["rows"] + len(rows), failures=failures)
        if self._live.is_started:
            self._live.update(Group(table_of(self.means), self._bar))

    def note(self, text: str) -> None:
        """Say a line, above the bar where there is one."""
        if self._live.is_started:
            self._console.print(Text(text))
        else:
            print(text, file=sys.stderr)


def table_of(means: Means) -> Table:
    """Show means, a line for each model and method."""
    found = means.found()
    metrics = list(dict.fromkeys(metric for one in found.values() for metric in one))
    several = len({model for model, _ in found}) > 1
    table = Table(*["model"] * several, "method", *metrics)
    for (model, method), one in found.items():
        cells = [f"{one[metric]:.3f}" if metric in one else "" for metric in metrics]
        table.add_row(*map(Text, [*[model] * several, method, *cells]))  # names are text, not markup
    return table


_FEW = 50  # with fewer passes in sight it cannot be told how far an image is


class Rate(ProgressColumn):
    """Images a second of late."""

    def render(self, task: Task) -> Text:
        """Show it, where something is done already."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} a second")


class _Bar:
    """A progress bar of images that also moves with the passes of the image in hand."""

    def __init__(self, images: int, *, hidden: bool) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        left = (TextColumn("images, left"), TimeRemainingColumn())
        self._bar = Progress(*columns, *left, console=Console(stderr=True), disable=hidden)
        self._task = self._bar.add_task("starting", total=images)
        self._meter = PassCounter()
        self._done, self._seen, self._planned = 0, 0, 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._bar, count_passes(self._move) as self._meter:
            yield
            self._bar.update(self._task, completed=self._done)

    def each(self, images: list[Path]) -> Iterator[Path]:
        for self._done, image in enumerate(images):
            self._seen, self._planned = self._meter.passes + self._meter.partial, self._meter.planned
            yield image
        self._done = len(images)

    def _move(self, meter: PassCounter) -> None:
        planned = meter.planned - self._planned
        part = (meter.passes + meter.partial - self._seen) / planned if planned >= _FEW else 0
        self._bar.update(self._task, description=f"{meter.passes:,} passes", completed=self._done + part)
