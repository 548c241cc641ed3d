"""The report of a folder of ``fusioncam explain --bulk``: the page of ``explain``, of its first images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from PIL import Image

from fusioncam.bulk.parquet import StoredHeatmap, read_failures, read_heatmaps
from fusioncam.bulk.plan import MANIFEST
from fusioncam.data.images import open_image
from fusioncam.errors import ImageError, ResultsError
from fusioncam.report.html.data_uris import image_side, image_uri
from fusioncam.report.html.explanations_page import make_gallery, make_layers, make_page
from fusioncam.report.html.page_model import MAX_FAILURES, MAX_IMAGES, Failure, GalleryItem, count_of
from fusioncam.report.html.stored_explanations import StoredExplanation, StoredRun
from fusioncam.report.html.writer import write_page
from fusioncam.utils.stored_files import JSON_OBJECT, read_stored
from fusioncam.utils.text import short_label

COST = "Passes and seconds are those beyond what the earlier methods of the same image had already computed."
NOT_FETCHED = "Images at URLs are not fetched: only their heatmaps are shown."


def is_bulk(folder: Path) -> bool:
    """Return whether a folder holds heatmaps in bulk."""
    return (folder / MANIFEST).is_file() and any(folder.glob("part-*.parquet"))


def write_bulk_page(folder: Path, path: Path) -> Path:
    """Write the report of a folder of heatmaps in bulk, of as many images as a page shows.

    Raises :class:`ResultsError` for a shard or a manifest that cannot be read.
    """
    bulk = read_bulk(folder)
    gallery = make_gallery(bulk.run)
    gallery.total = bulk.total
    gallery.items = bulk.gallery_items(gallery.missing)
    gallery.notes += [NOT_FETCHED] * any("://" in image for image in bulk.images)
    page = make_page(bulk.run, gallery, COST)
    lead = f"{count_of(bulk.total, 'image')} of {bulk.run.model}, by {', '.join(bulk.run.methods)}."
    return write_page(replace(page, lead=lead), path)


@dataclass(frozen=True)
class BulkRun:
    """The first images of a folder with their heatmaps, and the number of all its images."""

    run: StoredRun
    images: Mapping[str, Sequence[StoredHeatmap]] = field(repr=False)
    total: int

    def gallery_items(self, missing: list[str]) -> Iterator[GalleryItem]:
        """Yield the images; those that cannot be opened are added to ``missing``."""
        side = image_side(len(self.images))
        for explanations, stored in zip(self.run.images, self.images.values(), strict=True):
            yield _gallery_item(explanations, stored, side, missing)


def read_bulk(folder: Path) -> BulkRun:
    """Read the first images of a folder, with their heatmaps as grids, and its failures."""
    facts = read_stored(folder / MANIFEST, JSON_OBJECT) or {}
    groups = groupby(read_heatmaps(folder), key=lambda heatmap: heatmap.image)
    images = {name: list(found) for name, found in islice(groups, MAX_IMAGES)}
    failures = [Failure(image, error) for image, error in islice(read_failures(folder), MAX_FAILURES + 1)]
    try:
        run = StoredRun(
            model=str(facts["model"]),
            preprocessing=dict(facts["preprocessing"]),
            versions=dict(facts["versions"]),
            explanations=tuple(_explanation(one) for found in images.values() for one in found),
            failures=tuple(failures),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{folder / MANIFEST} is damaged: run the same command again, which writes it") from error
    total = facts.get("images")
    return BulkRun(run, images, max(total if isinstance(total, int) else 0, len(images)))


def _explanation(stored: StoredHeatmap) -> StoredExplanation:
    facts: dict[str, Any] = stored.facts
    return StoredExplanation(
        source=stored.image,
        method=stored.method,
        layer=facts["layer"],
        class_name=short_label(stored.label, stored.target),
        probability=stored.probability,
        gains=facts["gains"],
        passes=facts["passes"],
        partial_passes=facts["partial_passes"],
        seconds=facts["seconds"],
        shared=0,
        overlay="",
        heatmap="",
        trust_card=None,
    )


def _gallery_item(
    explanations: Sequence[StoredExplanation], stored: Sequence[StoredHeatmap], side: int, missing: list[str]
) -> GalleryItem:
    names = {explanation.title: explanation.class_name for explanation in explanations}
    heatmaps = [one.heatmap.numpy() for one in stored]
    view = _view(stored[0], missing)
    first = explanations[0]
    return GalleryItem(
        name=first.name,
        size=view.size if view else heatmaps[0].shape[::-1],
        image=image_uri(view, side) if view else "",
        classes=tuple(names),
        layers=tuple(make_layers(list(zip(explanations, heatmaps, strict=True)), list(names))),
        details="" if first.source == first.name else first.source,
        class_names=tuple(names.values()),
    )


def _view(stored: StoredHeatmap, missing: list[str]) -> Image.Image | None:
    """Return the part of the image that the network received, None if the image cannot be opened."""
    if "://" in stored.image:
        return None
    try:
        left, top, right, bottom = map(round, stored.window)
        return open_image(stored.image).crop((left, top, right, bottom))
    except ImageError:
        missing.append(stored.image)
        return None
