"""How far a bulk run is, for all workers in one place: images a second, time left, failures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from fusioncam.bulk.parquet import Row
from fusioncam.bulk.runner import BulkListener
from fusioncam.cli.progress import Rate


class BulkProgressBar(BulkListener):
    """A bar of images on the terminal, unless it is to be quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._console = Console(stderr=True)
        told = (TextColumn("images, {task.fields[failures]:,} failed,"), Rate(), TextColumn("left"))
        columns = (BarColumn(), MofNCompleteColumn(), *told, TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True, disable=quiet)
        self._task = self._bar.add_task("", total=None, failures=0)
        self._total = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while the block runs, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with self._bar:
            yield

    def begin(self, images: int) -> None:
        """Take the number of images."""
        self._total = images
        self._bar.reset(self._task, total=images, failures=0)

    def known(self, images: int) -> None:
        """Leave out what an earlier run did: it tells nothing of the time left."""
        self._total -= images
        self._bar.update(self._task, total=self._total)

    def took(self, rows: list[Row]) -> None:
        """Count an image."""
        failures = self._bar.tasks[0].fields["failures"] + any(row.get("error") for row in rows)
        self._bar.update(self._task, advance=1, failures=failures)

    def note(self, text: str) -> None:
        """Say a line, above the bar where there is one."""
        if self._bar.live.is_started:
            self._console.print(Text(text))
        elif not self.quiet:
            print(text, file=sys.stderr)
