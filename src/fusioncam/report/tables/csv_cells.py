"""Texts in CSV files, which a spreadsheet must not take for formulas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# spreadsheets skip spaces before a formula; the last four characters are full-width forms of the first four
_FORMULA = re.compile("'*[\\s\x00-\x1f]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r]")


def escape_cell(value: object) -> object:
    """Return a text that would be a formula with an apostrophe in front, and everything else as it is.

    >>> escape_cell("=1+1"), escape_cell("-0.5"), escape_cell(-0.5), escape_cell("grad-cam")
    ("'=1+1", "'-0.5", -0.5, 'grad-cam')
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unescape_cell(value: object) -> object:
    """Return the text that :func:`escape_cell` was called with.

    >>> [unescape_cell(escape_cell(text)) for text in ("=1+1", "'=1+1", "it's")]
    ['=1+1', "'=1+1", "it's"]
    """
    escaped = isinstance(value, str) and value.startswith("'") and _FORMULA.match(value)
    return str(value)[1:] if escaped else value


def escape_records(records: Iterable[Mapping[str, Any]]) -> list[dict[object, object]]:
    """Return the lines of a CSV file with all texts escaped, also the names of columns."""
    return [{escape_cell(name): escape_cell(value) for name, value in record.items()} for record in records]
