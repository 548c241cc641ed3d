"""Storage of rows: a journal with one line of JSON per image during a run, and Parquet at the end.

Each line is flushed to the disk before the next image begins. The incomplete last line of a killed run is ignored,
and overwritten by the next line.
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

# the columns with the same value in all rows of a line
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
    """The lines of a run: one per model and image, or several if the run was extended or images were tried again.

    ``done`` maps each (model, image) to the (method, metric) pairs that have been measured.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[Key, frozenset[Key]] = defaultdict(frozenset)
        self._offsets: dict[Key, list[int]] = defaultdict(list)
        self._shared_sets: dict[frozenset[Key], frozenset[Key]] = {}
        self._end = 0
        self._read()

    def append(self, rows: Sequence[Row]) -> None:
        """Write the rows of one image; raise :class:`OutputError`, and leave no part of them, if that fails."""
        text = json.dumps(_as_line(rows), allow_nan=False, ensure_ascii=False)
        line = text.encode(errors="backslashreplace") + b"\n"
        try:
            _write(self.path, line, self._end)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}. The rows written before are kept: free "
                "some space, and the same command continues"
            ) from error
        self._add(rows, self._end, len(line))

    def rows(self, model: str, image: str) -> list[Row]:
        """Return the current rows of an image."""
        if (model, image) not in self._offsets:
            return []
        with self.path.open("rb") as file:
            return merge_lines(self._read_line(file, offset) for offset in self._offsets[model, image])

    def images(self) -> list[Key]:
        """Return the (model, image) pairs that have rows."""
        return list(self._offsets)

    def _read_line(self, file: Any, offset: int) -> list[Row]:
        file.seek(offset)
        return _as_rows(json.loads(file.readline()))

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    rows = _as_rows(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ResultsError(f"line {number} of {self.path} is damaged: {error}") from error
                self._add(rows, self._end, len(line))

    def _add(self, rows: Sequence[Row], offset: int, length: int) -> None:
        key = rows[0]["model"], rows[0]["image"]
        measured = frozenset((row["method"], row["metric"]) for row in rows if row["error"] is None)
        done = self.done[key] | measured
        # nearly all images have the same pairs: sharing one set saves memory
        self.done[key] = self._shared_sets.setdefault(done, done)
        self._offsets[key].append(offset)
        self._end = offset + length


def merge_lines(lines: Iterable[Sequence[Row]]) -> list[Row]:
    """Return the current rows of an image's lines: later rows replace those of the same method and metric.

    A later line also removes earlier errors of the image and of the methods that it has, which were tried again.
    """
    rows: dict[Key, Row] = {}
    for line in lines:
        tried = {"", *(row["method"] for row in line)}
        rows = {key: row for key, row in rows.items() if row["metric"] or row["method"] not in tried}
        rows |= {(row["method"], row["metric"]): row for row in line}
    return list(rows.values())


def _as_line(rows: Sequence[Row]) -> Row:
    """Store the shared columns once."""
    shared = {name: rows[0][name] for name in SHARED}
    return shared | {"rows": [{k: v for k, v in row.items() if k not in SHARED} for row in rows]}


def _as_rows(line: Row) -> list[Row]:
    """Invert :func:`_as_line`."""
    shared = {name: line[name] for name in SHARED}
    rows = [{name: (shared | row)[name] for name in COLUMNS} for row in line["rows"]]
    if not rows:
        raise ValueError("the line has no rows")
    return rows


def _write(path: Path, line: bytes, end: int) -> None:
    with path.open("r+b" if path.exists() else "wb", buffering=0) as file:
        file.truncate(end)
        file.seek(end)
        remaining = memoryview(line)
        while remaining:
            remaining = remaining[file.write(remaining) :]
        os.fsync(file.fileno())


class Means:
    """Running means of values by model, method and metric."""

    def __init__(self) -> None:
        self._sums: dict[Key, dict[str, tuple[float, int]]] = defaultdict(dict)

    def add(self, rows: Iterable[Row]) -> None:
        """Add the values of the rows; rows without a value are skipped."""
        for row in rows:
            if row["value"] is not None:
                sums = self._sums[row["model"], row["method"]]
                total, count = sums.get(row["metric"], (0.0, 0))
                sums[row["metric"]] = total + row["value"], count + 1

    def found(self) -> dict[Key, dict[str, float]]:
        """Return the mean of each metric by (model, method)."""
        return {
            key: {metric: total / count for metric, (total, count) in sums.items()}
            for key, sums in self._sums.items()
        }


# -- Parquet ---------------------------------------------------------------------------------------------------


def require_pyarrow() -> Any:
    """Return pyarrow with its Parquet module; raise :class:`MissingExtraError` if it is not installed."""
    extra("benchmark", "pyarrow.parquet", "the rows of benchmarks")
    return extra("benchmark", "pyarrow", "the rows of benchmarks")


def write_parquet(rows: Iterable[Row], path: Path) -> int:
    """Write rows as Parquet with the types of ``COLUMNS``, and return their number.

    At most ``_ROW_GROUP`` rows are in memory at once.
    """
    arrow = require_pyarrow()
    types = {"string": arrow.string(), "int64": arrow.int64(), "float64": arrow.float64(), "bool": arrow.bool_()}
    types["list<float64>"] = arrow.list_(arrow.float64())
    schema = arrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    remaining, count = iter(rows), 0
    with atomic_write(path) as file, arrow.parquet.ParquetWriter(file, schema) as writer:
        for group in iter(lambda: list(islice(remaining, _ROW_GROUP)), []):
            encodable = [{name: _encodable(value) for name, value in row.items()} for row in group]
            writer.write_table(arrow.Table.from_pylist(encodable, schema))
            count += len(group)
    return count


def _encodable(value: Any) -> Any:
    """Escape bytes of file names that are not UTF-8, which Parquet cannot store."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def ordered_rows(
    journal: Journal, images: Iterable[Key], methods: Sequence[str], metrics: Sequence[str]
) -> Iterator[Row]:
    """Yield the rows of these methods and metrics in the order of the names, and the rows of errors."""
    # errors of an image or a method have "" for the method or metric, and come first
    method_order, metric_order = ({name: n for n, name in enumerate(("", *names))} for names in (methods, metrics))

    def position(row: Row) -> tuple[int, int]:
        return method_order[row["method"]], metric_order[row["metric"]]

    for key in images:
        rows = journal.rows(*key)
        selected = [row for row in rows if row["method"] in method_order and row["metric"] in metric_order]
        yield from sorted(selected, key=position)
