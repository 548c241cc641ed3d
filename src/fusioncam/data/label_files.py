"""The forms of files of class names: one per line, with indices or WordNet ids, CSV and JSON."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fusioncam.errors import TargetError

_LEADING = re.compile(r"(?P<index>\d{1,9})\s*(?P<separator>[,;:=|\t)]|\.?\s)\s*(?P<name>\S.*)")
_TRAILING = re.compile(r"(?P<name>\S.*?)\s*(?P<separator>[,;:=|\t])\s*(?P<index>\d{1,9})")
_SYNSET = re.compile(r"n\d{8}[\s,;:]+(\S.*)")
_ITEM = re.compile(r"-\s+(\S.*)")
_NAME_COLUMNS = ("name", "label", "class", "class_name", "classname", "category", "description")
_NAME_KEYS = ("id2label", "label2id", "names", "classes", "labels", "class_names", "categories")


def parse_labels(text: str, suffix: str = "") -> tuple[str, ...]:
    """Return the class names in a text, in the order of the network's outputs.

    Indices before or after the names that are 0 to n - 1 in any order are those of the classes. Raises
    :class:`TargetError`, which names the form, for one that cannot be read without guessing.

    >>> parse_labels("1: dog\\n0: cat"), parse_labels('["cat", "dog"]')
    (('cat', 'dog'), ('cat', 'dog'))
    """
    stripped = text.strip()
    if re.match(r"[\[{]\s*[\[{\d\"']|\[\s*\]|\{\s*\}", stripped):  # unlike "[background]", a name
        return _from_json(_decoded(stripped))
    if suffix == ".json":
        raise TargetError("it is not valid JSON")
    if re.match(r"item\s*\{|<\?|<!|<\w+[^>]*>\s*\n", stripped):
        raise TargetError("label maps of protobuf and XML are not read: write one name per line")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _from_table(lines) or _from_lines(lines)


# -- lines -----------------------------------------------------------------------------------------------------


def _from_lines(lines: Sequence[str]) -> tuple[str, ...]:
    for pattern in (_LEADING, _TRAILING):
        found = [match for match in map(pattern.fullmatch, lines) if match]
        pairs = [(int(match["index"]), match["name"]) for match in found]
        if lines and len(found) == len(lines):
            is_count = [index for index, _ in pairs] == list(range(1, len(pairs) + 1))
            # "3 musketeers" is a name, "3, musketeers" is not
            if _are_indices(pairs) or is_count or any(match["separator"].strip() for match in found):
                return _in_order(pairs)
    return _without(_ITEM, _without(_SYNSET, lines))


def _are_indices(pairs: Sequence[tuple[int, Any]]) -> bool:
    return sorted(index for index, _ in pairs) == list(range(len(pairs)))


def _in_order(pairs: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    """Return the names by their indices; raise :class:`TargetError` for indices that are not 0 to n - 1."""
    if not _are_indices(pairs):
        first = ", ".join(str(index) for index, _ in pairs[:5])
        raise TargetError(f"its {len(pairs)} indices must be 0 to {len(pairs) - 1}, each once, got {first}, ...")
    return _without(_SYNSET, [name.strip().strip("\"'") for _, name in sorted(pairs)])


def _without(prefix: re.Pattern[str], names: Sequence[str]) -> tuple[str, ...]:
    """Remove a prefix that all names have."""
    rests = [match[1] for match in map(prefix.fullmatch, names) if match]
    return tuple(rests if len(rests) == len(names) else names)


# -- tables ----------------------------------------------------------------------------------------------------


def _from_table(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the names in a table with a header and a column of indices, () if it is none."""
    delimiter = next((one for one in "\t;,:" if lines and one in lines[0]), None)
    if delimiter is None or len(lines) < 2:
        return ()
    header, *rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    width = len(header)
    if any(cell.strip().isdigit() for cell in header) or any(len(row) < min(width, 2) for row in rows):
        return ()
    columns = [[row[column].strip() for row in rows if column < len(row)] for column in range(width)]
    indexed = next((n for n, column in enumerate(columns) if len(column) == len(rows) and _all_digits(column)), None)
    if indexed is None or width < 2:
        return ()
    names = _name_column([cell.strip().casefold() for cell in header], indexed)
    return _in_order([(int(columns[indexed][n]), name) for n, name in enumerate(columns[names])])


def _all_digits(cells: Sequence[str]) -> bool:
    return all(cell.isdecimal() and len(cell) < 10 for cell in cells)


def _name_column(header: Sequence[str], indexed: int) -> int:
    others = [column for column in range(len(header)) if column != indexed]
    named = [column for column in others if header[column] in _NAME_COLUMNS]
    if len(named or others) != 1:
        raise TargetError(f"it is a CSV with the header {', '.join(header)}: call the column of the names 'name'")
    return (named or others)[0]


# -- JSON ------------------------------------------------------------------------------------------------------


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)  # lists of ImageNet's names are often written by Python
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        raise TargetError("it looks like JSON, but is not valid JSON") from None


def _from_json(stored: Any) -> tuple[str, ...]:
    if isinstance(stored, Mapping):
        key = next((key for key in _NAME_KEYS if isinstance(stored.get(key), list | dict)), None)
        if key is not None:
            return _from_json(stored[key])
        pairs = [_pair(key, value) for key, value in stored.items()]
    else:
        pairs = [_record(index, value) for index, value in enumerate(stored if isinstance(stored, list) else [])]
    if not pairs or any(pair is None for pair in pairs):
        raise TargetError('its JSON must be a list of names, {"index": "name"} or {"name": index}')
    return _in_order([pair for pair in pairs if pair is not None])


def _record(index: int, value: Any) -> tuple[int, str] | None:
    """Return the index and the name of an entry of a list, such as ``{"id": 0, "name": "cat"}``."""
    if isinstance(value, dict):
        numbers = [one for key, one in value.items() if str(key).casefold() in ("id", "index")]
        names = [one for key, one in value.items() if str(key).casefold() in _NAME_COLUMNS]
        return _pair(numbers[0] if numbers else index, names[0]) if names else None
    return _pair(index, value)


def _pair(key: Any, value: Any) -> tuple[int, str] | None:
    """Return the index and the name of two values in either order; Keras stores a WordNet id before the name."""
    if isinstance(value, list | tuple) and len(value) == 2:
        value = value[1]
    for index, name in ((key, value), (value, key)):
        if isinstance(name, str) and not isinstance(index, bool) and re.fullmatch(r"\d{1,9}", str(index)):
            return int(index), name
    return None
