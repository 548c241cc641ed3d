"""Data sets that are a CSV of image paths, labels and boxes."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from fusioncam.data.datasets.annotations import Box
from fusioncam.data.datasets.class_mapping import NetworkClasses, read_csv_rows
from fusioncam.data.datasets.folders import labelled_sample
from fusioncam.data.datasets.sample import Sample, Samples
from fusioncam.errors import DatasetError, cut, shown

CORNERS = ("x0", "y0", "x1", "y1")
COLUMNS = ("path", "label", *CORNERS)


def csv_table(path: Path, network: NetworkClasses, split: str | None = None) -> Samples:
    """Read a CSV of path,label or path,label,x0,y0,x1,y1, with or without a header of these names.

    Paths are relative to the file. A label is a class index, a class name, a WordNet id or a category of the class
    map; an empty label is unknown. Rows with the same image and label are boxes of one sample.
    """
    path = path if path.is_file() else _only_table(path)
    boxes: dict[tuple[str, str], list[Box]] = defaultdict(list)
    locations: dict[str, str] = {}
    for location, cells in _read_cells(path):
        file, label = cells["path"], cells.get("label", "")
        if not os.path.isfile(path.parent / file):  # noqa: PTH113 # pathlib raises errors
            raise DatasetError(f"{location}: no such file: {cut(str(path.parent / file))}")
        locations.setdefault(label, location)
        boxes[file, label].extend(_read_box(cells, location))
    if not boxes:
        raise DatasetError(f"{path}: expected lines of path,label, found none")
    class_indices = network.label_indices(locations, path)
    keys = [(file, label) for file, label in boxes if not label or label in class_indices]
    samples_per_file = Counter(file for file, _ in keys)
    names = [file if samples_per_file[file] == 1 else f"{file}#{label}" for file, label in keys]

    def make(index: int) -> Sample:
        file, label = keys[index]
        name, image = names[index], path.parent / file
        sample = labelled_sample(name, image, class_indices[label], label) if label else Sample(name, image)
        return replace(sample, boxes=tuple(boxes[file, label]))

    return Samples(f"the table {path.name}, {len(samples_per_file):,} images", names, make)


def has_csv_table(root: Path) -> bool:
    """Return whether a folder has a CSV whose first line begins with path,label."""
    return any(map(_is_table, root.glob("*.csv")))


def _only_table(root: Path) -> Path:
    tables = [path for path in sorted(root.glob("*.csv")) if _is_table(path)]
    if len(tables) != 1:
        raise DatasetError(f"{root}: {len(tables)} files *.csv begin with path,label: give the file itself")
    return tables[0]


def _is_table(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.readline(200).decode("utf-8-sig", errors="replace")
    except OSError:
        return False
    return first.lower().replace(" ", "").startswith("path,label")


def _read_cells(path: Path) -> Iterable[tuple[str, dict[str, str]]]:
    """Yield ``(location, cells by column name)`` for each row."""
    columns: tuple[str, ...] = COLUMNS
    for number, (location, row) in enumerate(read_csv_rows(path)):
        header = tuple(cell.lower() for cell in row)
        if number == 0 and "path" in header:
            columns = header
            if unknown := set(columns) - set(COLUMNS):
                got = cut(", ".join(sorted(unknown)))
                raise DatasetError(f"{location}: the columns must be among {', '.join(COLUMNS)}, got {got}")
            continue
        fits = len(row) in (1, 2, len(COLUMNS)) if columns == COLUMNS else len(row) == len(columns)
        if not fits or not row[columns.index("path")]:
            raise DatasetError(f"{location}: expected {','.join(columns)}, got {shown(','.join(row))}")
        yield location, dict(zip(columns, row, strict=False))


def _read_box(cells: Mapping[str, str], location: str) -> list[Box]:
    given = [cells.get(corner, "") for corner in CORNERS]
    if not any(given):
        return []
    try:
        x0, y0, x1, y1 = map(float, given)
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
        raise DatasetError(
            f"{location}: a box must be x0,y0,x1,y1 with x0 < x1 and y0 < y1, got {shown(','.join(given))}"
        )
    return [(x0, y0, x1, y1)]
