"""Rows of a benchmark: their columns, their order and means, and the Parquet file of a finished run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from fusioncam.benchmark.journal import Journal
from fusioncam.utils.files import atomic_write
from fusioncam.utils.optional import extra
from fusioncam.utils.stored_files import COLUMNS, Key, Row

_ROW_GROUP = 20_000


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
    with atomic_write(path, durable=True) as file, arrow.parquet.ParquetWriter(file, schema) as writer:
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
