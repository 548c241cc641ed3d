"""The report of a folder of ``fusioncam explain``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusioncam.data.images import open_image
from fusioncam.errors import ImageError
from fusioncam.report.html.data_uris import heatmap_uri, image_side, image_uri
from fusioncam.report.html.disagreement import DISAGREEMENT, disagreement
from fusioncam.report.html.outlines import outlines_of
from fusioncam.report.html.page_model import (
    MAX_FAILURES,
    MAX_TABLE_ROWS,
    Gallery,
    GalleryItem,
    Measure,
    OverlayLayer,
    ReportPage,
    RowLink,
    count_of,
    failure_notes,
    format_facts,
    preferred_method,
)
from fusioncam.report.html.stored_explanations import (
    StoredExplanation,
    StoredRun,
    StoredVolume,
    read_explanations,
    read_heatmap,
)
from fusioncam.report.html.writer import write_page
from fusioncam.report.tables.model import Cell, Page, Table
from fusioncam.trust.rendering import MARKS, level_with_mark
from fusioncam.visualization import remove_overlay

TRUST = "trust"
LEVELS = ("poor", "mixed", "good")

COST = (
    "Passes and seconds are those of a method that runs alone. Shared passes are those among them that an earlier "
    "heatmap of the same image had already made, so that they were not repeated."
)


def write_explanations_page(folder: Path, path: Path) -> Path:
    """Write the report of a folder of explanations."""
    return write_page(explanations_page(folder, read_explanations(folder)), path)


def explanations_page(folder: Path, run: StoredRun) -> ReportPage:
    """Make the page of a folder of explanations."""
    gallery = make_gallery(run)
    gallery.items = _gallery_items(folder, run.images, gallery.missing)
    return make_page(run, gallery)


def make_page(run: StoredRun, gallery: Gallery, cost: str = COST) -> ReportPage:
    """Make the page of a run with this gallery; ``cost`` says what passes and seconds are."""
    images, heatmaps = len(run.images), len(run.explanations)
    lead = f"{count_of(images, 'image')}, {count_of(heatmaps, 'heatmap')} of {run.model}"
    notes = (
        [f"The table lists the first {MAX_TABLE_ROWS:,} of {heatmaps:,} heatmaps."]
        if heatmaps > MAX_TABLE_ROWS
        else []
    )
    layers = ", ".join(sorted({explanation.layer for explanation in run.explanations}))
    return ReportPage(
        title="Explanations",
        lead=f"{lead}, by {', '.join(run.methods)}." if run.methods else f"{lead}.",
        gallery=gallery if images else None,
        tables=(heatmaps_page(run.explanations[:MAX_TABLE_ROWS], cost),) if heatmaps else (),
        failures=run.failures[:MAX_FAILURES],
        settings=(
            ("Run", (("model", run.model), ("layers", layers))),
            ("Preprocessing", format_facts(run.preprocessing)),
            ("Versions", format_facts(run.versions)),
        ),
        notes=(*notes, *failure_notes(len(run.failures))),
        row_links=tuple(_row_links(run))[:MAX_TABLE_ROWS],
    )


def _row_links(run: StoredRun) -> Iterator[RowLink]:
    for item, explanations in enumerate(run.images):
        for one in explanations:
            yield RowLink(item, one.method, one.class_name, one.level)


def heatmaps_page(explanations: Sequence[StoredExplanation], cost: str = COST) -> Page:
    """Make the table of heatmaps; columns without any value are left out."""
    columns = [
        "class",
        "probability",
        "method",
        *(["trust"] if any(explanation.trust_card for explanation in explanations) else []),
        *(["gains"] if any(explanation.gains for explanation in explanations) else []),
        "layer",
        "passes",
        *(["partial passes"] if any(explanation.partial_passes for explanation in explanations) else []),
        *(["shared passes"] if any(explanation.shared > 0 for explanation in explanations) else []),
        "seconds",
    ]
    rows = tuple(
        (explanation.name, tuple(Cell(_texts(explanation)[name]) for name in columns)) for explanation in explanations
    )
    table = Table("Heatmaps", "heatmaps", ("image", *columns), rows, (), (cost,))
    return Page("heatmaps", "Heatmaps", (table,), (), ())


def _texts(explanation: StoredExplanation) -> dict[str, str]:
    """Return the text of every column of the table of heatmaps."""
    card = explanation.trust_card
    return {
        "class": explanation.class_name,
        "probability": f"{explanation.probability:.1%}",
        "method": explanation.method,
        "trust": level_with_mark(card.level) if card else "",
        "gains": explanation.gains_text,
        "layer": explanation.layer,
        "passes": f"{explanation.passes:,}",
        "partial passes": f"{explanation.partial_passes:,}",
        "shared passes": f"{max(0, explanation.shared):,}",
        "seconds": f"{explanation.seconds:.3g}",
    }


# -- images ----------------------------------------------------------------------------------------------------


def make_gallery(run: StoredRun) -> Gallery:
    """Make the gallery of a run, without its images."""
    return Gallery(
        total=len(run.images),
        items=(),
        methods=run.methods,
        selected=preferred_method(run.methods),
        measures=_measures(run),
        classes=tuple(sorted({one.class_name for one in run.explanations})),
        levels=tuple(level for level in MARKS if any(one.level == level for one in run.explanations)),
    )


def _measures(run: StoredRun) -> tuple[Measure, ...]:
    trust = [Measure(TRUST, higher_is_better=True)] if any(one.trust_card for one in run.explanations) else []
    several = [Measure(DISAGREEMENT)] if len(run.methods) > 1 else []
    return (*trust, *several, Measure("probability"))


def _gallery_items(
    folder: Path, images: Sequence[Sequence[StoredExplanation]], missing: list[str]
) -> Iterator[GalleryItem]:
    side = image_side(len(images))
    for explanations in images:
        yield gallery_item(folder, explanations, side, missing)


def gallery_item(
    folder: Path, explanations: Sequence[StoredExplanation], side: int, missing: list[str]
) -> GalleryItem:
    """Make one image with its heatmaps; files that are not in the folder are added to ``missing``.

    The file that was explained is not needed.
    """
    names = {explanation.title: explanation.class_name for explanation in explanations}
    if explanations[0].volume is not None:
        return _volume_item(folder, explanations, explanations[0].volume, names, missing)
    image, size = "", (1, 1)
    found: list[tuple[StoredExplanation, NDArray[np.float32]]] = []
    for explanation in explanations:
        heatmap = read_heatmap(folder / explanation.heatmap)
        if heatmap is None:
            missing.append(explanation.heatmap)
            continue
        if not image:
            image, size = _image(folder, explanation, heatmap, side, missing)
        found.append((explanation, heatmap))
    first = explanations[0]
    layers = tuple(make_layers(found, list(names)))
    return GalleryItem(first.name, size, image, tuple(names), layers, first.details, tuple(names.values()))


def _volume_item(
    folder: Path,
    explanations: Sequence[StoredExplanation],
    volume: StoredVolume,
    names: Mapping[str, str],
    missing: list[str],
) -> GalleryItem:
    """Make the slices of one volume with their heatmaps; the slice with the highest heatmap is shown first."""
    found: list[tuple[StoredExplanation, NDArray[np.float32]]] = []
    hottest = 0
    for explanation in explanations:
        heatmaps = volume.heatmaps(folder / explanation.heatmap)
        if heatmaps is None:
            missing.append(explanation.heatmap)
            continue
        hottest = hottest if found else int(np.argmax([one.max() for one in heatmaps]))
        found.append((explanation, np.concatenate(heatmaps)))
    first, numbers = explanations[0], tuple(index + 1 for index in volume.slices.indices)
    strip = volume.strip(folder / first.view) if found else None
    missing += [first.view] * bool(found and strip is None)
    layers = tuple(make_layers(found, list(names), len(numbers)))
    return GalleryItem(
        first.name,
        volume.slices.size,
        image_uri(strip, max(strip.size)) if strip else "",
        tuple(names),
        layers,
        first.details,
        tuple(names.values()),
        slices=numbers,
        first=hottest,
    )


def _image(
    folder: Path, explanation: StoredExplanation, heatmap: NDArray[np.float32], side: int, missing: list[str]
) -> tuple[str, tuple[int, int]]:
    """Return the data URI of the image below the heatmap, "" if its file cannot be opened, and the size.

    Runs of earlier versions have no file of the image: it is recovered from the overlay.
    """
    name = explanation.view or explanation.overlay
    try:
        opened = open_image(folder / name)
    except ImageError:
        missing.append(name)
        height, width = heatmap.shape
        return "", (width, height)
    return image_uri(opened if explanation.view else remove_overlay(opened, heatmap), side), opened.size


def make_layers(
    found: Sequence[tuple[StoredExplanation, NDArray[np.float32]]], titles: Sequence[str], slices: int = 1
) -> Iterator[OverlayLayer]:
    """Yield the layers of an image from its explanations and heatmaps, class by class."""
    for title in titles:
        of_class = [(explanation, heatmap) for explanation, heatmap in found if explanation.title == title]
        difference = disagreement(heatmap for _, heatmap in of_class)
        for explanation, heatmap in of_class:
            yield OverlayLayer(
                method=explanation.method,
                class_index=titles.index(title),
                heatmap=heatmap_uri(heatmap, slices),
                outlines=outlines_of(heatmap, slices),
                caption=explanation.caption,
                trust_card=explanation.trust_card,
                values=_values(explanation, difference),
            )


def _values(explanation: StoredExplanation, difference: float | None) -> dict[str, float]:
    """Return what the images are sorted by; an unknown level has no value."""
    values = {"probability": explanation.probability}
    if explanation.level in LEVELS:
        values[TRUST] = float(LEVELS.index(explanation.level))
    return values if difference is None else values | {DISAGREEMENT: difference}
