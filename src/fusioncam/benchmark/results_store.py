"""Rows of values, kept so that nothing is lost: one line of JSON an image as they come, Parquet in the end.

A line is whole or it is not there: it is brought to the disk before the next image begins, and what a killed run
left of one is not read, and is written over.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from fusioncam.errors import OutputError, ResultsError
from fusioncam.utils.files import atomic_write
from fusioncam.utils.optional import extra

Row = dict[str, Any]
Key = tuple[str, str]

# what all rows of a line have in common
SHARED = ("model", "layer", "image", "target", "label", "versions")
COLUMNS = {
    "model": "string",
    "layer": "string",
    "image": "string",
    "target": "int64",
    "label": "int64",
    "method": "string",
    "metric": "string",
    "value": "float64",
    "curve": "list<float64>",
    "protocol": "string",
    "family": "string",
    "higher_is_better": "bool",
    "shares_objective": "bool",
    "seconds": "float64",
    "passes": "float64",
    "partial_passes": "float64",
    "metric_seconds": "float64",
    "error": "string",
    "versions": "string",
}
_ROW_GROUP = 20_000


class Journal:
    """The lines of a run: for each model and image one, or several where the run was extended or tried again.

    ``done`` says which (method, metric) each (model, image) has values of.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[Key, frozenset[Key]] = defaultdict(frozenset)
        self._places: dict[Key, list[int]] = defaultdict(list)
        self._known: dict[frozenset[Key], frozenset[Key]] = {}
        self._end = 0
        self._read()

    def append(self, rows: Sequence[Row]) -> None:
        """Write the rows of one image; raise :class:`OutputError` if they cannot be, and leave no part of them."""
        line = (
            json.dumps(_folded(rows), allow_nan=False, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
        )
        try:
            _write(self.path, line, self._end)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}. What was written before is kept: with room "
                "for more, the same command goes on"
            ) from error
        self._note(rows, self._end, len(line))

    def rows(self, model: str, image: str) -> list[Row]:
        """Give the rows of an image that hold."""
        if (model, image) not in self._places:
            return []
        with self.path.open("rb") as file:
            return merged(self._line(file, place) for place in self._places[model, image])

    def images(self) -> list[Key]:
        """List the models and images that there are rows of."""
        return list(self._places)

    def _line(self, file: Any, place: int) -> list[Row]:
        file.seek(place)
        return _unfolded(json.loads(file.readline()))

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    rows = _unfolded(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ResultsError(f"line {number} of {self.path} is damaged: {error}") from error
                self._note(rows, self._end, len(line))

    def _note(self, rows: Sequence[Row], place: int, length: int) -> None:
        key = rows[0]["model"], rows[0]["image"]
        measured = frozenset((row["method"], row["metric"]) for row in rows if row["error"] is None)
        done = self.done[key] | measured
        # nearly all images have the same: one set serves them
        self.done[key] = self._known.setdefault(done, done)
        self._places[key].append(place)
        self._end = place + length


def merged(lines: Iterable[Sequence[Row]]) -> list[Row]:
    """Give the rows that hold of one image's lines: later ones replace those of the same method and metric.

    A line is a new try at all that it speaks of, so that earlier errors about that are no more.
    """
    rows: dict[Key, Row] = {}
    for line in lines:
        tried = {"", *(row["method"] for row in line)}
        rows = {key: row for key, row in rows.items() if row["metric"] or row["method"] not in tried}
        rows |= {(row["method"], row["metric"]): row for row in line}
    return list(rows.values())


def _folded(rows: Sequence[Row]) -> Row:
    shared = {name: rows[0][name] for name in SHARED}
    return shared | {"rows": [{k: v for k, v in row.items() if k not in SHARED} for row in rows]}


def _unfolded(line: Row) -> list[Row]:
    shared = {name: line[name] for name in SHARED}
    rows = [{name: (shared | row)[name] for name in COLUMNS} for row in line["rows"]]
    if not rows:
        raise ValueError("a line without rows")
    return rows


def _write(path: Path, line: bytes, end: int) -> None:
    with path.open("r+b" if path.exists() else "wb", buffering=0) as file:
        file.truncate(end)
        file.seek(end)
        left = memoryview(line)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


class Means:
    """Means of values as they come, by model and method, and metric."""

    def __init__(self) -> None:
        self._sums: dict[Key, dict[str, tuple[float, int]]] = defaultdict(dict)

    def add(self, rows: Iterable[Row]) -> None:
        """Take the values that there are."""
        for row in rows:
            if row["value"] is not None:
                sums = self._sums[row["model"], row["method"]]
                total, count = sums.get(row["metric"], (0.0, 0))
                sums[row["metric"]] = total + row["value"], count + 1

    def found(self) -> dict[Key, dict[str, float]]:
        """Give the means so far."""
        return {
            key: {metric: total / count for metric, (total, count) in sums.items()}
            for key, sums in self._sums.items()
        }


# -- the final form --------------------------------------------------------------------------------------------


def parquet() -> Any:
    """Give pyarrow with its Parquet, or say how to get it."""
    extra("benchmark", "pyarrow.parquet", "a benchmark's rows")
    return extra("benchmark", "pyarrow", "a benchmark's rows")


def write_parquet(rows: Iterable[Row], path: Path) -> int:
    """Write rows as Parquet with the types of ``COLUMNS``, and give how many; few of them are in memory at once."""
    arrow = parquet()
    types = {"string": arrow.string(), "int64": arrow.int64(), "float64": arrow.float64(), "bool": arrow.bool_()}
    types["list<float64>"] = arrow.list_(arrow.float64())
    schema = arrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    remaining, count = iter(rows), 0
    with atomic_write(path) as file, arrow.parquet.ParquetWriter(file, schema) as writer:
        for some in iter(lambda: list(islice(remaining, _ROW_GROUP)), []):
            plain = [{name: _plain(value) for name, value in row.items()} for row in some]
            writer.write_table(arrow.Table.from_pylist(plain, schema))
            count += len(some)
    return count


def _plain(value: Any) -> Any:
    """Give a text without the bytes of file names that are none; Parquet has no place for them."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def in_order(
    journal: Journal, images: Iterable[Key], methods: Sequence[str], metrics: Sequence[str]
) -> Iterator[Row]:
    """Give the rows that are asked for in the order of the names, whatever order they were made in; errors too."""
    method_at, metric_at = ({name: place for place, name in enumerate(("", *names))} for names in (methods, metrics))

    def place(row: Row) -> tuple[int, int]:
        return method_at[row["method"]], metric_at[row["metric"]]

    for key in images:
        asked = [row for row in journal.rows(*key) if row["method"] in method_at and row["metric"] in metric_at]
        yield from sorted(asked, key=place)
