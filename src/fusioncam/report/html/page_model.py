"""What a report is made of, before it is HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fusioncam.report.html.trust import Card
from fusioncam.report.tables.model import Page

# so much opens in a browser in under three seconds, on a phone too
IMAGES = 1000
ROOM = 32 * 2**20  # letters of images and heatmaps
LINES = 1000  # of a table of heatmaps
FAILURES = 200


@dataclass(frozen=True)
class OverlayLayer:
    """A method's heatmap of one class of an image as a data URI, and what is told of it.

    ``group`` is the place of the class among the image's.
    """

    method: str
    group: int
    heat: str
    told: str = ""
    check: Card | None = None


@dataclass(frozen=True)
class GalleryItem:
    """An image as a data URI, "" where it cannot be had, its classes and heatmaps; ``about`` says more of it."""

    name: str
    size: tuple[int, int]
    image: str
    classes: tuple[str, ...]
    layers: tuple[OverlayLayer, ...]
    about: str = ""

    @property
    def words(self) -> str:
        """What a search looks through."""
        return " ".join((self.name, *self.classes, self.about)).lower()

    @property
    def room(self) -> int:
        """How many letters its pixels take."""
        return len(self.image) + sum(len(one.heat) for one in self.layers)


@dataclass
class Gallery:
    """Images that are made as they are asked for, until the limits of a report are reached.

    ``gone`` are the files that were found missing meanwhile, ``notes`` what else is to be known.
    """

    total: int
    made: Iterable[GalleryItem]
    methods: tuple[str, ...]
    shown: int = 0
    gone: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[GalleryItem]:
        """Give what fits into a report."""
        room = 0
        for one in self.made:
            room += one.room
            if self.shown == IMAGES or (room > ROOM and self.shown):
                break
            self.shown += 1
            yield one

    @property
    def remarks(self) -> list[str]:
        """Say what is not shown, once all that is was given."""
        missing = (
            f"{counted(len(self.gone), 'file')} cannot be shown, the first: {self.gone[0]}." if self.gone else ""
        )
        return [one for one in (self._left_out, missing, *self.notes) if one]

    @property
    def _left_out(self) -> str:
        if self.shown == self.total:
            return ""
        return (
            f"This file shows the first {self.shown:,} of {self.total:,} images: it holds at most {IMAGES:,} "
            f"images and {ROOM // 2**20} MiB of pixels. The others are in the folder."
        )


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG."""

    name: str
    svg: str


@dataclass(frozen=True)
class Failure:
    """What went wrong, and with what."""

    about: str
    error: str


@dataclass(frozen=True)
class ReportPage:
    """A whole report. ``listing`` says that its tables list images, which a search narrows."""

    title: str
    lead: str
    gallery: Gallery | None
    tables: tuple[Page, ...]
    failures: tuple[Failure, ...]
    setting: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    drawings: tuple[Drawing, ...] = ()
    notes: tuple[str, ...] = ()
    listing: bool = False


def counted(count: int, word: str) -> str:
    """Write a count with its noun.

    >>> counted(1, "image"), counted(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def plain(value: object) -> str:
    """Write a setting in a line.

    >>> plain([224, 224]), plain(None), plain(True), plain({"a": 1})
    ('224, 224', 'none', 'true', 'a 1')
    """
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def lines(facts: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Give names and values as text."""
    return tuple((name.replace("_", " "), plain(value)) for name, value in facts.items())
