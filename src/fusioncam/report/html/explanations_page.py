"""A folder of `fusioncam explain` as a report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusioncam.data.images import open_image
from fusioncam.errors import ImageError, ResultsError
from fusioncam.report.html.data_uris import as_uri, heat_uri, side_for
from fusioncam.report.html.page_model import (
    FAILURES,
    LINES,
    Failure,
    Gallery,
    GalleryItem,
    OverlayLayer,
    ReportPage,
    counted,
    lines,
)
from fusioncam.report.html.trust import Card, card_of
from fusioncam.report.html.writer import write
from fusioncam.report.tables.model import Cell, Page, Table
from fusioncam.visualization import uncovered

FACTS = "explanations.json"
COST = "Passes and seconds are what a heatmap took beyond what it shared with those before it."


@dataclass(frozen=True)
class StoredExplanation:
    """What ``explanations.json`` says of one heatmap; ``overlay`` and ``map`` are names of files beside it."""

    source: str
    method: str
    layer: str
    class_name: str
    probability: float
    gains: dict[str, float]
    passes: int
    partial: int
    seconds: float
    overlay: str
    map: str
    check: Card | None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> StoredExplanation:
        """Read the facts; a name that says a way through folders is cut to its end."""
        overlay, heatmap = (Path(name).name for name in facts["files"][-2:])
        return cls(
            source=str(facts["image"]),
            method=str(facts["method"]),
            layer=str(facts["layer"]),
            class_name=str(facts["class_name"]),
            probability=float(facts["probability"]),
            gains={str(name): float(gain) for name, gain in facts["gains"].items()},
            passes=int(facts["passes"]),
            partial=int(facts["partial_passes"]),
            seconds=float(facts["seconds"]),
            overlay=overlay,
            map=heatmap,
            check=card_of(facts["check"]) if facts.get("check") else None,
        )

    @property
    def name(self) -> str:
        """The image's file name."""
        return Path(self.source).name

    @property
    def title(self) -> str:
        """The class and its probability."""
        return f"{self.class_name} {self.probability:.1%}"

    @property
    def cost(self) -> str:
        """What the heatmap took."""
        partial = f" and {self.partial:,} partial" if self.partial else ""
        return f"{self.passes:,}{partial} {'pass' if self.passes + self.partial == 1 else 'passes'}"

    @property
    def gained(self) -> str:
        """What the maps of a fusion gained."""
        return ", ".join(f"{name} {gain:+.3f}" for name, gain in self.gains.items()).replace("-", "\N{MINUS SIGN}")

    @property
    def line(self) -> str:
        """What is said below the image."""
        gains = f" · gains {self.gained}" if self.gains else ""
        return f"{self.layer} · {self.cost} · {self.seconds:.3g} s{gains}"


@dataclass(frozen=True)
class Explained:
    """All of ``explanations.json``."""

    model: str
    preprocessing: dict[str, Any]
    versions: dict[str, Any]
    told: tuple[StoredExplanation, ...]
    failures: tuple[Failure, ...]

    @cached_property
    def images(self) -> list[list[StoredExplanation]]:
        """The heatmaps of each image; one that was asked for twice is two."""
        groups: list[list[StoredExplanation]] = []
        for one in self.told:
            known = {(other.class_name, other.method) for other in groups[-1]} if groups else set()
            if not groups or groups[-1][0].source != one.source or (one.class_name, one.method) in known:
                groups.append([])
            groups[-1].append(one)
        return groups

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods in their order."""
        return tuple(dict.fromkeys(one.method for one in self.told))


def read_explained(folder: Path) -> Explained:
    """Read a folder's ``explanations.json``, or raise :class:`ResultsError`."""
    path = folder / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        told = tuple(map(StoredExplanation.of, facts["explanations"]))
        failures = tuple(Failure(str(one["image"]), str(one["error"])) for one in facts["failures"])
        return Explained(str(facts["model"]), dict(facts["preprocessing"]), dict(facts["versions"]), told, failures)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResultsError(
            f"{path} cannot be read, it is torn or of another version: {type(error).__name__}: {error}"
        ) from error


def write_explained(folder: Path, path: Path) -> Path:
    """Write the report of a folder of explanations."""
    return write(sheet_of(folder, read_explained(folder)), path)


def sheet_of(folder: Path, run: Explained) -> ReportPage:
    """Make the report of what a folder holds."""
    count, maps = len(run.images), len(run.told)
    lead = f"{counted(count, 'image')}, {counted(maps, 'heatmap')} of {run.model}"
    notes = [f"The table lists the first {LINES:,} of {maps:,} heatmaps."] if maps > LINES else []
    if len(run.failures) > FAILURES:
        notes.append(f"The first {FAILURES:,} of {len(run.failures):,} failures are listed.")
    gallery = Gallery(count, (), run.methods)
    gallery.made = shown(folder, run.images, gallery.gone)
    return ReportPage(
        title="What the model looked at",
        lead=f"{lead}, by {', '.join(run.methods)}." if run.methods else f"{lead}.",
        gallery=gallery if count else None,
        tables=(listing(run.told[:LINES]),) if maps else (),
        failures=run.failures[:FAILURES],
        setting=(
            ("Run", (("model", run.model), ("layers", ", ".join(sorted({one.layer for one in run.told}))))),
            ("Preprocessing", lines(run.preprocessing)),
            ("Versions", lines(run.versions)),
        ),
        notes=tuple(notes),
        listing=True,
    )


def listing(told: Sequence[StoredExplanation]) -> Page:
    """Make the table of heatmaps."""
    fused, checked = any(one.gains for one in told), any(one.check for one in told)
    header = (
        "image", "class", "probability", "method", *["trust"] * checked, *["gains"] * fused, "layer", "passes",
        *["partial passes"] * any(one.partial for one in told), "seconds",
    )  # fmt: skip

    def cells(one: StoredExplanation) -> tuple[Cell, ...]:
        texts = {
            "class": one.class_name,
            "probability": f"{one.probability:.1%}",
            "method": one.method,
            "trust": one.check.signed if one.check else "",
            "gains": one.gained,
            "layer": one.layer,
            "passes": f"{one.passes:,}",
            "partial passes": f"{one.partial:,}",
            "seconds": f"{one.seconds:.3g}",
        }
        return tuple(Cell(texts[name]) for name in header[1:])

    table = Table("Heatmaps", "heatmaps", header, tuple((one.name, cells(one)) for one in told), (), (COST,))
    return Page("heatmaps", "Heatmaps", (table,), (), ())


def shown(folder: Path, images: Sequence[Sequence[StoredExplanation]], gone: list[str]) -> Iterator[GalleryItem]:
    """Give the images with their heatmaps; what is no longer in the folder is added to ``gone``."""
    side = side_for(len(images))
    for told in images:
        yield image_of(folder, told, side, gone)


def image_of(folder: Path, told: Sequence[StoredExplanation], side: int, gone: list[str]) -> GalleryItem:
    """Make one image; it is computed back from an overlay, so that the source is not asked for."""
    titles = list(dict.fromkeys(one.title for one in told))
    image, size, layers = "", (1, 1), []
    for one in told:
        heatmap = read_map(folder / one.map)
        if heatmap is None:
            gone.append(one.map)
            continue
        if not image:
            try:
                overlay = open_image(folder / one.overlay)
                image, size = as_uri(uncovered(overlay, heatmap), side), overlay.size
            except ImageError:
                gone.append(one.overlay)
                size = heatmap.shape[1], heatmap.shape[0]
        layers.append(OverlayLayer(one.method, titles.index(one.title), heat_uri(heatmap), one.line, one.check))
    first = told[0]
    about = "" if first.source == first.name else first.source
    return GalleryItem(first.name, size, image, tuple(titles), tuple(layers), about)


def read_map(path: Path) -> NDArray[np.float32] | None:
    """Read a saved heatmap ``(H, W)``; None where there is none."""
    try:
        heatmap = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = heatmap.ndim == 2 and heatmap.size and heatmap.dtype.kind == "f" and np.isfinite(heatmap).all()
    return heatmap.astype(np.float32) if fits else None
