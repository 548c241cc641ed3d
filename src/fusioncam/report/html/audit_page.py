"""The page of an audit: suspected shortcuts, classes and images, to filter, sort and click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusioncam.audit.files import ClassRow, StoredAudit, SuspectRow, read_audit
from fusioncam.audit.heat import EVEN
from fusioncam.audit.wording import heat, removal
from fusioncam.report.html.audit_images import CHANGED, MEASURES, THUMBNAILS, PageImages, value_of
from fusioncam.report.html.audit_tables import changed_table, class_table, number, share
from fusioncam.report.html.colours import ColourTable, colour_tables
from fusioncam.report.html.data_uris import heatmap_uri
from fusioncam.report.html.page_model import Facts, count_of, format_facts
from fusioncam.report.html.writer import write_template
from fusioncam.report.tables.model import Table

_SCRIPT = ("templates/base.js", "templates/tables.js", "templates/audit.js")
_STYLES = ("templates/report.css", "templates/audit.css")
_FINER = 8  # pixels of a drawn map for each cell


@dataclass(frozen=True)
class AuditPage:
    """The content of the page, from what the audit has stored."""

    stored: StoredAudit
    images: PageImages

    @property
    def model(self) -> str:
        """The name of the network."""
        return str(self.stored["facts"].get("model"))

    @property
    def lead(self) -> str:
        """The audit in a sentence or two."""
        known = [row["right"] for row in self.stored["images"] if row["right"] is not None]
        right = f" {sum(known) / len(known):.0%} of the predictions are right." if known else ""
        confirmed = len(self.suspects) - len(self.rejected)
        tested = f" {confirmed} of {count_of(len(self.suspects), 'suspected shortcut')} confirmed."
        classes = f"{len(self.classes):,} class{'es' * (len(self.classes) != 1)}"
        return f"{count_of(len(self.stored['images']), 'image')}, {classes}.{right}{tested if self.suspects else ''}"

    @property
    def classes(self) -> list[ClassRow]:
        """The classes, those with most images first."""
        return sorted(self.stored["classes"], key=lambda row: -row["images"])

    @property
    def suspects(self) -> list[SuspectRow]:
        """The suspects in their order."""
        return self.stored["suspects"]

    @property
    def rejected(self) -> list[SuspectRow]:
        """The suspects that the test does not confirm."""
        return [row for row in self.suspects if not row["confirmed"]]

    @property
    def class_table(self) -> Table:
        """The numbers of the classes."""
        return class_table(self.classes)

    @property
    def changed_table(self) -> Table | None:
        """The differences between two networks, if there are two."""
        return None if self.stored["against"] is None else changed_table(self.stored["against"]["classes"])

    @property
    def changed(self) -> Sequence[Mapping[str, Any]]:
        """The images whose decision changed, at most ``CHANGED``."""
        return [] if self.stored["against"] is None else self.stored["against"]["changed"][:CHANGED]

    @property
    def measures(self) -> dict[str, str]:
        """What images can be sorted by, with the attribute of each."""
        rows = self.stored["images"]
        known = {name: key for name, key in MEASURES.items() if any(value_of(row, key) is not None for row in rows)}
        return {name: key.replace("_", "-") for name, key in known.items()}

    @property
    def colour_tables(self) -> list[ColourTable]:
        """The colours of heatmaps."""
        return colour_tables()

    @property
    def settings(self) -> list[tuple[str, Facts]]:
        """The settings of the run."""
        plan = {name: value for name, value in self.stored["plan"].items() if value is not None}
        versions = self.stored["facts"].get("versions")
        even = {"heat at the border": share(EVEN["border"]), "heat in a corner": share(EVEN["corner"])}
        return [
            ("Audit", format_facts(plan | {"kind of data": self.stored["kind"]})),
            ("Heat spread evenly would be", format_facts(even)),
            ("Versions", format_facts(versions if isinstance(versions, dict) else {})),
        ]


def write_audit_page(folder: Path, path: Path) -> Path:
    """Write the page of the audit in a folder.

    Raises :class:`ResultsError` if its files cannot be read.
    """
    stored = read_audit(folder)
    words = {"heat": heat, "removal": removal, "share": share, "number": number, "thumbnails": THUMBNAILS}
    maps = {"map_uri": map_uri, "difference_uri": difference_uri, "outline": outline}
    page = AuditPage(stored, PageImages(stored, folder))
    return write_template("audit.html", (_SCRIPT,), _STYLES, path, page=page, **words, **maps)


# -- maps of classes -------------------------------------------------------------------------------------------------


def map_uri(cells: Sequence[Sequence[float]]) -> str:
    """Return a map of heat as a data URI, its largest value as 1."""
    values = np.asarray(cells, np.float32)
    return heatmap_uri(_smooth(values / max(float(values.max()), 1e-9)))


def difference_uri(cells: Sequence[Sequence[float]]) -> str:
    """Return a map of differences as a data URI; 0 is the middle."""
    values = np.asarray(cells, np.float32)
    return heatmap_uri(_smooth(0.5 + 0.5 * values / max(float(np.abs(values).max()), 1e-9)))


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    size = (values.shape[1] * _FINER, values.shape[0] * _FINER)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))


def outline(region: Sequence[Sequence[float]]) -> str:
    """Return the edges of a region's cells as the path of an SVG whose unit is a cell.

    >>> outline([[1]])
    'M0 0h1M0 1h1M0 0v1M1 0v1'
    """
    cells = np.pad(np.asarray(region) > 0, 1)
    rows, columns = np.nonzero(cells[:-1, 1:-1] != cells[1:, 1:-1]), np.nonzero(cells[1:-1, :-1] != cells[1:-1, 1:])
    across = [f"M{x} {y}h1" for y, x in zip(*rows, strict=True)]
    return "".join(across + [f"M{x} {y}v1" for y, x in zip(*columns, strict=True)])
