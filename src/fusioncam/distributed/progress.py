"""The one protocol by which a long run reports its progress.

Library code never prints and draws no progress bar: it calls a listener that the caller passes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlannedTime:
    """The work that a run begins with: images, full passes of each, and the seconds of one pass.

    ``complete`` is False if there are more passes, whose number is not known.
    """

    images: int
    passes: int
    pass_seconds: float
    complete: bool = True

    @property
    def seconds(self) -> float:
        """The time of the run.

        >>> PlannedTime(images=54, passes=1000, pass_seconds=0.01).seconds
        540.0
        """
        return self.images * self.passes * self.pass_seconds


class ProgressListener:
    """Receives the progress of a run. Every method does nothing here: override those that you need."""

    def dataset_found(self, data: str, kind: str) -> None:
        """Receive the location of the data and the kind of data set that it was recognised as."""

    def started(self, total: int, done: int = 0, rows: int = 0) -> None:
        """Receive the number of images, how many an earlier run finished, and how many rows these have.

        With several models an image counts once for each of them.
        """

    def planned(self, plan: Callable[[], PlannedTime | None]) -> None:
        """Receive, of each network and before its first image, how long the images that are left will take.

        ``plan`` times some passes when it is called; it returns None if that is not known.
        """

    def job_started(self, name: str) -> None:
        """Receive the name of the image or group of images that is processed now."""

    def rows_finished(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Receive new rows, all of one image or of one group of images; a row of a failure has an ``error``."""

    def note(self, text: str) -> None:
        """Receive a message that the user should read."""
