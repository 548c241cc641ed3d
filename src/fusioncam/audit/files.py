"""The files of an audit: ``audit.json``, which its page is made of, and tables of its numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue, TypeAdapter
from typing_extensions import TypedDict

from fusioncam.errors import ResultsError
from fusioncam.utils.files import to_json, write_file
from fusioncam.utils.stored_files import Count, Number, read_stored

FILE = "audit.json"
SCHEMA_VERSION = 1
# columns of audit.json that the tables leave out: maps and examples
_NESTED = ("mean", "deviation", "region", "difference", "typical", "odd", "examples")

_Cells = Annotated[list[list[Number]], Field(min_length=1)]
_Share = Number | None


class ImageRow(TypedDict):
    """The record of an image, see :class:`fusioncam.audit.records.Record`."""

    image: str
    target: Count
    label: str
    probability: Number
    categories: list[str]
    right: bool | None
    border: Number
    corner: Number
    on_object: _Share
    object_area: _Share
    text: _Share
    text_area: _Share
    typicality: Number
    cluster: Count
    reliance: _Share
    low_trust: bool | None


class ClassRow(TypedDict):
    """The summary of a class, see :func:`fusioncam.audit.classes.summarise`."""

    target: Count
    label: str
    images: Count
    right: Count | None
    wrong: Count | None
    share_right: _Share
    on_object_right: _Share
    on_object_wrong: _Share
    similarity_right_wrong: _Share
    probability: Number
    border: Number
    corner: Number
    on_object: _Share
    object_area: _Share
    text: _Share
    text_area: _Share
    reliance: _Share
    low_trust: _Share
    spread: Number
    clusters: list[Count]
    typical: list[str]
    odd: list[str]
    mean: _Cells
    deviation: _Cells


class SuspectRow(TypedDict):
    """A suspect with its test, see :mod:`fusioncam.audit.suspects`."""

    kind: str
    target: Count
    label: str
    place: str
    images: list[str]
    share: Number
    usual: Number
    area: Number
    region: _Cells
    mean: _Cells
    wrong: Count
    tested: Count
    whole: Number
    without: Number
    elsewhere: Number
    below: Number
    effect: Number
    confirmed: bool
    score: Number


class ChangedClass(TypedDict):
    """How the heat of a class differs between two networks, see :func:`fusioncam.audit.comparison.compare`."""

    target: Count
    label: str
    images: Count
    changed: Count
    mended: Count
    broken: Count
    similarity: _Share
    on_object: _Share
    on_object_other: _Share
    difference: _Cells | None
    examples: list[str]


class ChangedImage(TypedDict):
    """An image on which two networks decide differently."""

    image: str
    target: Count
    label: str
    probability: Number
    right: bool | None
    target_other: Count
    label_other: str
    probability_other: Number
    right_other: bool | None
    similarity: _Share


class ComparisonRows(TypedDict):
    """Two networks on the same images."""

    model: str
    images: Count
    classes: list[ChangedClass]
    changed: list[ChangedImage]


class StoredAudit(TypedDict):
    """The content of ``audit.json``; ``facts`` are the network, its preprocessing and the versions of packages."""

    schema_version: int
    kind: str
    plan: dict[str, JsonValue]
    facts: dict[str, JsonValue]
    classes_of_model: Count | None
    labels: list[str] | None
    notes: list[str]
    classes: list[ClassRow]
    suspects: list[SuspectRow]
    images: list[ImageRow]
    against: ComparisonRows | None


_SCHEMA: TypeAdapter[StoredAudit] = TypeAdapter(StoredAudit)


def write_audit(out: Path, content: Mapping[str, Any]) -> list[Path]:
    """Write ``audit.json`` and its tables as CSV, and return their paths."""
    tables = {"classes": content["classes"], "suspects": content["suspects"], "images": content["images"]}
    if content["against"] is not None:
        tables |= {"changed-classes": content["against"]["classes"], "changed-images": content["against"]["changed"]}
    paths = [write_file(out / f"{name}.csv", as_csv(rows)) for name, rows in tables.items() if rows]
    return [write_file(out / FILE, to_json(dict(content))), *paths]


def read_audit(out: str | Path) -> StoredAudit:
    """Read the ``audit.json`` of an audit.

    Args:
        out: the folder that ``fusioncam audit`` wrote to.

    Returns:
        A dictionary: ``"classes"``, ``"suspects"`` and ``"images"`` are lists of rows, ``"plan"`` is what was
        audited.

    Raises:
        ResultsError: if the file is missing or damaged.

    Examples:
        ```python
        from fusioncam.audit import AuditPlan, audit, read_audit

        audit(AuditPlan("photos/", method="grad-cam"), "audit/")
        {row["label"]: row["images"] for row in read_audit("audit/")["classes"]}
        ```
    """
    found = read_stored(Path(out) / FILE, _SCHEMA)
    if found is None:
        raise ResultsError(f"{out} has no {FILE}: pass the folder that `fusioncam audit` wrote to")
    return found


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV in UTF-8; lists of texts are joined by semicolons, and lists of images are counted."""
    names = [name for name in rows[0] if name not in _NESTED]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(name, row[name]) for name in names] for row in rows)
    return text.getvalue().encode(errors="backslashreplace")


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return len(value) if name == "images" else ";".join(map(str, value))
    return "" if value is None else value
