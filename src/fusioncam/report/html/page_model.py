"""The content of a report page, before it becomes HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fusioncam.report.tables.model import Page
from fusioncam.trust.rendering import CardView

# a page within these limits opens in a browser in under three seconds, also on a phone
MAX_IMAGES = 1000
MAX_PIXEL_CHARACTERS = 32 * 2**20  # of the data URIs of images and heatmaps
MAX_TABLE_ROWS = 1000
MAX_FAILURES = 200


@dataclass(frozen=True)
class OverlayLayer:
    """A method's heatmap of one class of an image as a data URI, with its caption and trust card.

    ``class_index`` is the position of the class among those of the image.
    """

    method: str
    class_index: int
    heatmap: str
    caption: str = ""
    trust_card: CardView | None = None


@dataclass(frozen=True)
class GalleryItem:
    """An image as a data URI, with its classes and heatmaps.

    ``image`` is "" if the image cannot be opened. ``details``, such as its path, distinguish images of the same name.
    """

    name: str
    size: tuple[int, int]
    image: str
    classes: tuple[str, ...]
    layers: tuple[OverlayLayer, ...]
    details: str = ""

    @property
    def search_text(self) -> str:
        """The text that a search looks through."""
        return " ".join((self.name, *self.classes, self.details)).lower()

    @property
    def pixel_characters(self) -> int:
        """The number of characters of its data URIs."""
        return len(self.image) + sum(len(layer.heatmap) for layer in self.layers)


@dataclass
class Gallery:
    """Images that are rendered one at a time while the page is written, up to the limits of a page.

    ``missing`` collects the files that turn out to be missing, ``notes`` are further remarks.
    """

    total: int
    items: Iterable[GalleryItem]
    methods: tuple[str, ...]
    shown: int = 0
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[GalleryItem]:
        """Yield the images that fit into a page, at least one."""
        characters = 0
        for item in self.items:
            characters += item.pixel_characters
            if self.shown == MAX_IMAGES or (characters > MAX_PIXEL_CHARACTERS and self.shown):
                break
            self.shown += 1
            yield item

    @property
    def remarks(self) -> list[str]:
        """What is not shown; complete once all images have been yielded."""
        missing = (
            f"{count_of(len(self.missing), 'file')} cannot be shown, the first: {self.missing[0]}."
            if self.missing
            else ""
        )
        return [remark for remark in (self._left_out, missing, *self.notes) if remark]

    @property
    def _left_out(self) -> str:
        if self.shown == self.total:
            return ""
        return (
            f"This file shows the first {self.shown:,} of {self.total:,} images: it holds at most {MAX_IMAGES:,} "
            f"images and {MAX_PIXEL_CHARACTERS // 2**20} MiB of pixels. The others are in the folder."
        )


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG."""

    name: str
    svg: str


@dataclass(frozen=True)
class Failure:
    """An error, and the image, model, method or metric it belongs to."""

    subject: str
    error: str


Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReportPage:
    """A whole page. ``settings`` are named lists of facts.

    ``tables_list_images`` is set if each row of a table belongs to an image, so that a search also filters rows.
    """

    title: str
    lead: str
    gallery: Gallery | None
    tables: tuple[Page, ...]
    failures: tuple[Failure, ...]
    settings: tuple[tuple[str, Facts], ...]
    drawings: tuple[Drawing, ...] = ()
    notes: tuple[str, ...] = ()
    tables_list_images: bool = False


def count_of(count: int, noun: str) -> str:
    """Write a count with its noun.

    >>> count_of(1, "image"), count_of(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def failure_notes(failures: int) -> list[str]:
    """Return a note if there are more failures than a page lists."""
    return [f"The first {MAX_FAILURES:,} of {failures:,} failures are listed."] if failures > MAX_FAILURES else []


def format_fact(value: object) -> str:
    """Write a value in one line.

    >>> format_fact([224, 224]), format_fact(None), format_fact(True), format_fact({"a": 1})
    ('224, 224', 'none', 'true', 'a 1')
    """
    if isinstance(value, dict):
        return ", ".join(f"{name} {format_fact(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(format_fact, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def format_facts(facts: dict[str, Any]) -> Facts:
    """Return names and values as text."""
    return tuple((name.replace("_", " "), format_fact(value)) for name, value in facts.items())
