"""The tables of the page of an audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fusioncam.report.tables.model import Cell, Table
from fusioncam.utils.text import minus

MISSING = "\N{EN DASH}"
Write = Callable[[Any], str]


def share(value: float | None) -> str:
    """Write a share as percent.

    >>> share(0.123), share(None) == MISSING
    ('12.3%', True)
    """
    return MISSING if value is None else minus(f"{value:.1%}")


def number(value: float | None) -> str:
    """Write a number between -1 and 1.

    >>> number(0.5)
    '0.50'
    """
    return MISSING if value is None else minus(f"{value:.2f}")


def count(value: int | None) -> str:
    """Write a count."""
    return MISSING if value is None else f"{value:,}"


def _sizes(values: Sequence[int]) -> str:
    return " + ".join(map(str, values))


# header, key and form of each column
_CLASS_COLUMNS: tuple[tuple[str, str, Write], ...] = (
    ("images", "images", count),
    ("right", "share_right", share),
    ("probability", "probability", share),
    ("on object", "on_object", share),
    ("on object, right", "on_object_right", share),
    ("on object, wrong", "on_object_wrong", share),
    ("border", "border", share),
    ("corner", "corner", share),
    ("text", "text", share),
    ("text, area", "text_area", share),
    ("spread", "spread", number),
    ("clusters", "clusters", _sizes),
    ("right like wrong", "similarity_right_wrong", number),
    ("reliance", "reliance", share),
    ("low trust", "low_trust", share),
)
_CHANGED_COLUMNS: tuple[tuple[str, str, Write], ...] = (
    ("images", "images", count),
    ("similarity", "similarity", number),
    ("changed", "changed", count),
    ("mended", "mended", count),
    ("broken", "broken", count),
    ("on object", "on_object", share),
    ("on object, other", "on_object_other", share),
)
_NOTES = (
    "Right: share of the predictions of this class that are right. Probability, on object, border and corner: means.",
    "Corner: the corner that has the most heat, a quarter of each side. Border: a tenth of each side.",
    "Text: share of the heat in regions that look like lines of text. Text, area: the share of the pixels there.",
    "Spread: 1 minus the mean correlation of the heatmaps with their mean. Clusters: images of each.",
    "Right like wrong: correlation of the mean heat of right and of wrong predictions.",
    "Reliance: what removal of the highlighted fifth of an image takes from the probability, more than removal of "
    "equally large regions elsewhere, as a share of the probability. Low trust: images with less than 5 %.",
)
_CHANGED_NOTES = (
    "Similarity: mean correlation of the heatmaps of images with the same decision. Changed: images whose decision "
    "changed. Mended: wrong before, right now. Broken: right before, wrong now.",
)


def class_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of the classes; columns without any value are left out."""
    return _table("Classes", rows, _CLASS_COLUMNS, _NOTES)


def changed_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of the differences between two networks."""
    return _table("Differences by class", rows, _CHANGED_COLUMNS, _CHANGED_NOTES)


def _table(
    title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str, Write]], notes: tuple[str, ...]
) -> Table:
    used = [(header, key, write) for header, key, write in columns if any(row[key] is not None for row in rows)]
    body = tuple((str(row["label"]), tuple(Cell(write(row[key])) for _, key, write in used)) for row in rows)
    return Table(title, title.lower(), ("class", *(header for header, _, _ in used)), body, (), notes)
