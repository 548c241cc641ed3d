"""Progress bars on the terminal: of a benchmark, of a bulk run and of `fusioncam explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

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
from rich.table import Column, Table
from rich.text import Text

from fusioncam.benchmark.results_store import Means
from fusioncam.cli.output import cell, duration, print_note
from fusioncam.distributed.progress import PlannedTime, ProgressListener
from fusioncam.inference.costs import count_passes
from fusioncam.inference.counters import PassCounter
from fusioncam.utils.text import printable, printable_lines

_FEWEST_PLANNED = 50  # with fewer planned passes, the progress within an image cannot be estimated
LONG = 60  # seconds that a run may take before its length is announced
Rows = Sequence[Mapping[str, Any]]


class Rate(ProgressColumn):
    """Images per second, measured over the last ones."""

    def render(self, task: Task) -> Text:
        """Show the rate, or nothing before the first image is finished."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} per second")


class ProgressBar(ProgressListener):
    """Base of the terminal progress bars: prints notes, above the bar while it is displayed."""

    def __init__(self, *columns: ProgressColumn, quiet: bool = False, transient: bool = True, **fields: Any) -> None:
        self.quiet = quiet
        self._console = Console(stderr=True)
        self._bar = Progress(*columns, console=self._console, transient=transient)
        self._task = self._bar.add_task("", total=None, **fields)

    @contextmanager
    def displayed(self) -> Iterator[None]:
        """Display the bar while the block runs, if stderr is a terminal and ``quiet`` is not set."""
        if self.quiet or not self._console.is_terminal:
            yield
            return
        with self._display():
            yield

    def _display(self) -> AbstractContextManager[object]:
        return self._bar

    @property
    def _is_displayed(self) -> bool:
        return self._bar.live.is_started

    def planned(self, plan: Callable[[], PlannedTime | None]) -> None:
        """Print how long the run will take if that is long, unless ``quiet`` is set."""
        if not self.quiet and (planned := plan()) and planned.seconds > LONG:
            self.note(planned_text(planned))

    def note(self, text: str) -> None:
        """Print a line."""
        if self._is_displayed:
            self._console.print(Text(printable_lines(text)))
        else:
            print_note(text)


class BenchmarkProgressBar(ProgressBar):
    """A bar of images above which a table shows the means so far, by model, method and metric."""

    def __init__(self, *, quiet: bool = False) -> None:
        counts = TextColumn("images, {task.fields[rows]:,} rows, {task.fields[failures]:,} failed,")
        # in narrow terminals the bar and the name are short, so that the numbers are whole
        bar = BarColumn(None, table_column=Column(ratio=1))
        name = TextColumn("{task.description}", markup=False, table_column=Column(ratio=2, no_wrap=True))
        left = (Rate(), TextColumn("left"), TimeRemainingColumn(), name)
        super().__init__(bar, MofNCompleteColumn(), counts, *left, quiet=quiet, rows=0, failures=0)
        self._bar.expand = True
        self._live = Live(self._bar, console=self._console, refresh_per_second=4, transient=True)
        self.means = Means()
        self._dataset = ""
        self._finished: set[tuple[str, str]] = set()

    def _display(self) -> AbstractContextManager[object]:
        return self._live

    @property
    def _is_displayed(self) -> bool:
        return self._live.is_started

    def dataset_found(self, data: str, kind: str) -> None:
        """Print the kind of the data set, once for several models that recognise the same kind."""
        previous, self._dataset = self._dataset, f"{data}: {kind}"
        if not self.quiet and previous != self._dataset:
            self.note(self._dataset)

    def started(self, total: int, done: int = 0, rows: int = 0) -> None:
        """Start the bar after the images that an earlier run finished."""
        if done and not self.quiet:
            self.note(f"continuing: {done} of {total} images are finished")
        self._bar.reset(self._task, total=total, completed=done, rows=rows, failures=0)

    def job_started(self, name: str) -> None:
        """Show the name of the image."""
        self._bar.update(self._task, description=printable(name))

    def rows_finished(self, rows: Rows) -> None:
        """Count images, rows and failures, and update the means."""
        new = {(row["model"], row["image"]) for row in rows} - self._finished
        self._finished |= new
        self.means.add([dict(row) for row in rows])
        so_far = self._bar.tasks[0].fields
        failures = so_far["failures"] + sum(row["error"] is not None for row in rows)
        self._bar.update(self._task, advance=len(new), rows=so_far["rows"] + len(rows), failures=failures)
        if self._is_displayed:
            self._live.update(Group(means_table(self.means), self._bar))


class BulkProgressBar(ProgressBar):
    """A bar of images for all workers of a bulk run, with their rate and the number of failures."""

    def __init__(self, *, quiet: bool = False) -> None:
        counts = TextColumn("images, {task.fields[failures]:,} failed,")
        left = (Rate(), TextColumn("left"), TimeRemainingColumn())
        super().__init__(BarColumn(), MofNCompleteColumn(), counts, *left, quiet=quiet, failures=0)

    def started(self, total: int, done: int = 0, rows: int = 0) -> None:
        """Start a bar of the images that remain: finished ones would distort the estimate of the time left."""
        self._bar.reset(self._task, total=total - done, failures=0)

    def rows_finished(self, rows: Rows) -> None:
        """Count an image."""
        failures = self._bar.tasks[0].fields["failures"] + any(row.get("error") for row in rows)
        self._bar.update(self._task, advance=1, failures=failures)

    def note(self, text: str) -> None:
        """Print a line, unless ``quiet`` is set."""
        if not self.quiet:
            super().note(text)


class AuditProgressBar(BulkProgressBar):
    """The bar of a bulk run, which starts again for each part of an audit."""

    def dataset_found(self, data: str, kind: str) -> None:
        """Print the kind of the data set."""
        self.note(f"{data}: {kind}")


class ClipProgressBar(ProgressBar):
    """A bar of the frames of one clip, with their rate; it starts again for each part of the work."""

    def __init__(self, *, quiet: bool = False) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        super().__init__(
            *columns, TextColumn("frames,"), Rate(), TextColumn("left"), TimeRemainingColumn(), quiet=quiet
        )

    def start(self, name: str) -> None:
        """Count the frames of the next part of the work from 0."""
        self._bar.reset(self._task, total=None, description=printable(name))

    def advance(self, done: int, total: int) -> None:
        """Show how many frames are finished, of a number that is 0 if it is not known."""
        self._bar.update(self._task, completed=done, total=max(done, total) if total else None)


class ExplainProgressBar(ProgressBar):
    """A bar of images that also advances with the forward passes of the current image."""

    def __init__(self, *, quiet: bool = False) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        super().__init__(*columns, TextColumn("images, left"), TimeRemainingColumn(), quiet=quiet, transient=False)
        self._counter = PassCounter()
        self._images = 0
        self._passes_before, self._planned_before = 0, 0

    @contextmanager
    def displayed(self) -> Iterator[None]:
        """Display the bar and count passes while the block runs."""
        with super().displayed(), count_passes(self._advance) as self._counter:
            yield
            self._bar.update(self._task, completed=self._images)

    def started(self, total: int, done: int = 0, rows: int = 0) -> None:
        """Set the number of images."""
        self._bar.reset(self._task, total=total, description="starting")

    def job_started(self, name: str) -> None:
        """Start the next image."""
        self._images += 1
        self._passes_before = self._counter.passes + self._counter.partial
        self._planned_before = self._counter.planned

    def _advance(self, counter: PassCounter) -> None:
        planned = counter.planned - self._planned_before
        passes = counter.passes + counter.partial - self._passes_before
        part = passes / planned if planned >= _FEWEST_PLANNED else 0
        completed = max(0, self._images - 1) + part
        self._bar.update(self._task, description=f"{counter.passes:,} passes", completed=completed)


def planned_text(planned: PlannedTime) -> str:
    """Return how long a run will take, and of what.

    >>> planned_text(PlannedTime(images=54, passes=1285, pass_seconds=0.01))
    'about 12 min: 54 images of 1,285 passes, 10 ms each'
    >>> planned_text(PlannedTime(images=1, passes=7000, pass_seconds=0.1, complete=False))
    'at least 12 min: 1 image of 7,000 passes, 100 ms each'
    """
    images = f"{planned.images:,} image{'s' * (planned.images != 1)}"
    about = "about" if planned.complete else "at least"
    each = f"{1000 * planned.pass_seconds:,.{1 if planned.pass_seconds < 0.01 else 0}f} ms"
    return f"{about} {duration(planned.seconds)}: {images} of {planned.passes:,} passes, {each} each"


def means_table(means: Means) -> Table:
    """Return a table of the means with a row for each model and method; one model needs no column."""
    found = means.found()
    metrics = list(dict.fromkeys(metric for values in found.values() for metric in values))
    several = len({model for model, _ in found}) > 1
    table = Table(*["model"] * several, "method", *map(printable, metrics))
    for (model, method), values in found.items():
        cells = [f"{values[metric]:.3f}" if metric in values else "" for metric in metrics]
        table.add_row(*map(cell, [*[model] * several, method, *cells]))
    return table
