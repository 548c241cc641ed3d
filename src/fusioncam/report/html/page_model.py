"""The content of a report page, before it becomes HTML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fusioncam.report.html.colours import COLOUR_MAPS, ColourTable, colour_tables
from fusioncam.report.html.outlines import Outlines
from fusioncam.report.method_names import base_name
from fusioncam.report.tables.model import Page
from fusioncam.trust.rendering import CardView

# a page within these limits opens in a browser in under three seconds, also on a phone
MAX_IMAGES = 1000
MAX_PIXEL_CHARACTERS = 32 * 2**20  # of the data URIs of images and heatmaps
MAX_TABLE_ROWS = 1000
MAX_FAILURES = 200


@dataclass(frozen=True)
class Measure:
    """A number that images can be sorted by.

    ``higher_is_better`` is None where neither side is better. ``of_methods`` is set if two methods can be compared by
    it, image by image.
    """

    name: str
    higher_is_better: bool | None = None
    of_methods: bool = False


@dataclass(frozen=True)
class OverlayLayer:
    """A method's heatmap of one class of an image as a data URI, with its caption and trust card.

    ``class_index`` is the position of the class among those of the image. ``outlines`` are those of the heatmap.
    ``values`` are numbers by the names of measures.
    """

    method: str
    class_index: int
    heatmap: str
    outlines: Outlines
    caption: str = ""
    trust_card: CardView | None = None
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GalleryItem:
    """An image as a data URI, with its classes and heatmaps.

    ``image`` is "" if the image cannot be opened. ``details``, such as its path, distinguish images of the same name.
    ``class_names`` are the ``classes`` without what is added to them, such as probabilities.
    Of a volume, ``slices`` are the numbers of those that its images show one below the other, ``size`` is that of
    each, and ``first`` is the position of the one that is shown first.
    """

    name: str
    size: tuple[int, int]
    image: str
    classes: tuple[str, ...]
    layers: tuple[OverlayLayer, ...]
    details: str = ""
    class_names: tuple[str, ...] = ()
    model: str = ""
    slices: tuple[int, ...] = ()
    first: int = 0

    @property
    def search_text(self) -> str:
        """The text that a search looks through."""
        return " ".join((self.name, *self.classes, self.details)).lower()

    def facts(self, measures: Iterable[Measure]) -> dict[str, Any]:
        """Return what the page's script filters and sorts by, ready for JSON; values that are missing are null."""
        names, measures = self.class_names or self.classes, tuple(measures)
        layers = [
            {
                "method": layer.method,
                "className": names[layer.class_index],
                "level": layer.trust_card.level if layer.trust_card else "",
                "values": [layer.values.get(measure.name) for measure in measures],
            }
            for layer in self.layers
        ]
        return {"name": self.name, "model": self.model, "layers": layers}

    @property
    def pixel_characters(self) -> int:
        """The number of characters of its data URIs and outlines."""
        return len(self.image) + sum(len(layer.heatmap) + sum(map(len, layer.outlines)) for layer in self.layers)


@dataclass
class Gallery:
    """Images that are rendered one at a time while the page is written, up to the limits of a page.

    ``selected`` is the method whose heatmaps are shown first. ``classes``, ``levels`` and ``models`` are what images
    can be filtered by. ``missing`` collects the files that turn out to be missing, ``notes`` are further remarks.
    """

    total: int
    items: Iterable[GalleryItem]
    methods: tuple[str, ...]
    selected: str = ""
    measures: tuple[Measure, ...] = ()
    classes: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
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
    def measures_json(self) -> str:
        """The measures as the page's script reads them."""
        return json.dumps([asdict(measure) for measure in self.measures])

    @property
    def compares_methods(self) -> bool:
        """Whether two methods can be compared image by image."""
        return len(self.methods) > 1 and any(measure.of_methods for measure in self.measures)

    @property
    def colour_tables(self) -> list[ColourTable]:
        """The tables of the colours of heatmaps."""
        return colour_tables()

    @property
    def colour_maps(self) -> tuple[str, ...]:
        """The names of the colour maps."""
        return COLOUR_MAPS

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


@dataclass(frozen=True)
class RowLink:
    """What a row of a table belongs to: an image, by its position in the gallery, a method, a class and a level."""

    item: int
    method: str
    class_name: str
    level: str = ""


@dataclass(frozen=True)
class CurveSet:
    """The mean curves of one metric by method: ``x`` ``(T,)``, and a tuple ``(T,)`` for each method.

    The ``highlighted`` methods have a colour.
    """

    title: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    means: dict[str, tuple[float, ...]]
    highlighted: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What the page's script draws."""
        return asdict(self)


Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReportPage:
    """A whole page. ``settings`` are named lists of facts.

    ``row_links`` has an entry for each row of the first table if its rows belong to images, so that filters also
    apply to them and a click opens the image.
    """

    title: str
    lead: str
    gallery: Gallery | None
    tables: tuple[Page, ...]
    failures: tuple[Failure, ...]
    settings: tuple[tuple[str, Facts], ...]
    drawings: tuple[Drawing, ...] = ()
    notes: tuple[str, ...] = ()
    row_links: tuple[RowLink, ...] = ()
    curves: tuple[CurveSet, ...] = ()

    @property
    def has_charts(self) -> bool:
        """Whether the page's script draws charts."""
        return bool(self.curves or (self.gallery and self.gallery.compares_methods))


def preferred_method(methods: Iterable[str], reference: str | None = None) -> str:
    """Return the method to show first: the reference, else Fusion-CAM or its first variant, else the first.

    >>> preferred_method(["grad-cam", "fusion-cam:multiscale", "fusion-cam"]), preferred_method(["grad-cam", "rise"])
    ('fusion-cam', 'grad-cam')
    """
    names = list(methods)
    variants = [name for name in names if base_name(name) == "fusion-cam"]
    plain = [name for name in variants if name == "fusion-cam"]
    return next(iter([*([reference] if reference in names else []), *plain, *variants, *names]), "")


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
