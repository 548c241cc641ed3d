"""The images of the page of an audit, opened and rendered one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fusioncam.audit.files import ImageRow, StoredAudit
from fusioncam.audit.images import AuditImages
from fusioncam.audit.plan import HEATMAPS, AuditPlan
from fusioncam.bulk.parquet import read_heatmaps
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import FusionCamError, ResultsError
from fusioncam.report.html.audit_tables import share
from fusioncam.report.html.data_uris import heatmap_uri, image_side, image_uri
from fusioncam.report.html.page_model import MAX_IMAGES, MAX_PIXEL_CHARACTERS, Facts, count_of

THUMBNAILS = 12  # images of a suspect that the page shows
CHANGED = 60  # images whose decision changed that the page shows
# what images are sorted by, with the column of each
MEASURES = {
    "probability": "probability",
    "heat on the object": "on_object",
    "heat at the border": "border",
    "heat in a corner": "corner",
    "heat in text": "text",
    "reliance": "reliance",
    "typicality": "typicality",
}
_DECISIONS = {True: "right", False: "wrong", None: "unknown"}


def value_of(row: Mapping[str, Any], key: str) -> float | None:
    """Return the value of a measure of an image."""
    value: float | None = row[key]
    return value


@dataclass(frozen=True)
class AuditImage:
    """An image of the page: its row, and its pixels and heatmap as data URIs."""

    row: ImageRow
    size: tuple[int, int]
    image: str
    heatmap: str

    @property
    def decision(self) -> str:
        """Whether the prediction is right, wrong or unknown."""
        return _DECISIONS[self.row["right"]]

    @property
    def name(self) -> str:
        """Its name without folders."""
        return Path(self.row["image"]).name

    @property
    def caption(self) -> str:
        """The class, its probability, and the true classes if the prediction is wrong."""
        truth = f", labelled {', '.join(self.row['categories'])}" if self.row["right"] is False else ""
        return f"{self.row['label']}, {self.row['probability']:.0%}{truth}"

    @property
    def facts(self) -> Facts:
        """Its numbers as text."""
        return tuple((name, share(value_of(self.row, key))) for name, key in MEASURES.items())

    @property
    def keys(self) -> dict[str, float | None]:
        """What the page sorts and filters by, by the name of the attribute."""
        return {key.replace("_", "-"): value_of(self.row, key) for key in MEASURES.values()}


@dataclass
class PageImages:
    """The images that fit into a page, those first that suspects, the comparison or classes name.

    ``remarks`` are complete once all images have been yielded.
    """

    stored: StoredAudit
    folder: Path
    missing: int = 0
    shown: int = 0

    def __iter__(self) -> Iterator[AuditImage]:
        """Yield the images in the order of the data set."""
        rows = {row["image"]: row for row in self.stored["images"]}
        chosen = set([name for name in dict.fromkeys(chain(self._named(), rows)) if name in rows][:MAX_IMAGES])
        source, side, characters = _reopened(self.stored), image_side(len(chosen)), 0
        for found in read_heatmaps(self.folder / HEATMAPS):
            if found.image in chosen and characters < MAX_PIXEL_CHARACTERS:
                uri, size = self._pixels(source, found.image, side)
                one = AuditImage(rows[found.image], size or found.size[::-1], uri, heatmap_uri(found.heatmap.numpy()))
                characters += len(one.image) + len(one.heatmap)
                self.shown += 1
                yield one

    def _named(self) -> Iterator[str]:
        for suspect in self.stored["suspects"]:
            yield from suspect["images"][:THUMBNAILS]
        if self.stored["against"] is not None:
            yield from (row["image"] for row in self.stored["against"]["changed"][:CHANGED])
        for row in self.stored["classes"]:
            yield from (*row["typical"], *row["odd"])

    def _pixels(self, source: AuditImages | None, name: str, side: int) -> tuple[str, tuple[int, int] | None]:
        """Return what the network saw of an image as a data URI, and its size; "" if it cannot be opened."""
        try:
            if source is None:
                raise ResultsError("the data set cannot be opened")
            preprocessing = source.preprocessing
            view = preprocessing.view(source.by_name[name].image.open(preprocessing.channels))
        except (FusionCamError, KeyError, OSError):
            self.missing += 1
            return "", None
        return image_uri(view, side), view.size

    @property
    def remarks(self) -> list[str]:
        """What is not shown."""
        total = len(self.stored["images"])
        left_out = f"This page shows {self.shown:,} of {total:,} images; the numbers of all are in images.csv."
        lost = f"{count_of(self.missing, 'image')} cannot be opened any more; only heatmaps are shown."
        return [*[left_out] * (self.shown < total), *[lost] * (self.missing > 0)]


def _reopened(stored: StoredAudit) -> AuditImages | None:
    """Open the data set again; None if that fails, so that the page has heatmaps only."""
    facts: Any = stored["facts"].get("preprocessing")
    plan: Any = stored["plan"]
    try:
        settings: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
        network = Preprocessing(**settings), stored["labels"], stored["classes_of_model"]
        return AuditImages.reopened(AuditPlan(**plan), *network)
    except (FusionCamError, AttributeError, TypeError, OSError):
        return None
