"""Tables of images: a CSV of paths and labels, and a folder of Hugging Face's `datasets`."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from fusioncam.data.datasets.annotations import Box
from fusioncam.data.datasets.class_mapping import Network, Numbers, rows_of
from fusioncam.data.datasets.folders import labelled
from fusioncam.data.datasets.sample import Sample, Samples
from fusioncam.errors import DatasetError
from fusioncam.utils.optional import extra

CORNERS = ("x0", "y0", "x1", "y1")
COLUMNS = ("path", "label", *CORNERS)


# -- CSV -------------------------------------------------------------------------------------------------------


def table(path: Path, network: Network, split: str | None = None) -> Samples:
    """Read a CSV of path,label or path,label,x0,y0,x1,y1, with or without a line of these names.

    Paths are relative to the file. A label is a class index, a name of a class, a WordNet id or a category of the
    class map; nothing means that it is unknown. Rows of the same image and label are boxes of one sample.
    """
    path = path if path.is_file() else only_table(path)
    found: dict[tuple[str, str], list[Box]] = defaultdict(list)
    places: dict[str, str] = {}
    for place, cells in _cells(path):
        file, label = cells["path"], cells.get("label", "")
        if not (path.parent / file).is_file():
            raise DatasetError(f"{place}: no such file: {path.parent / file}")
        places.setdefault(label, place)
        found[file, label].extend(_boxes(cells, place))
    if not found:
        raise DatasetError(f"{path}: no line has path,label")
    numbers = _numbers(places, network, path)
    keys = [key for key in found if not key[1] or key[1] in numbers]
    often = Counter(file for file, _ in keys)
    names = [file if often[file] == 1 else f"{file}#{label}" for file, label in keys]

    def make(index: int) -> Sample:
        file, label = keys[index]
        known = labelled(names[index], path.parent / file, numbers[label], label) if label else None
        return replace(known or Sample(names[index], path.parent / file), boxes=tuple(found[file, label]))

    return Samples(f"the table {path.name}, {len(often):,} images", names, make)


def only_table(root: Path) -> Path:
    """Give the one CSV in a folder whose first line names path and label."""
    tables = [one for one in sorted(root.glob("*.csv")) if _is_table(one)]
    if len(tables) != 1:
        raise DatasetError(f"{root}: {len(tables)} files *.csv begin with path,label: give the file itself")
    return tables[0]


def has_table(root: Path) -> bool:
    """Say whether a folder has a CSV whose first line names path and label."""
    return any(map(_is_table, root.glob("*.csv")))


def _is_table(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            first = file.readline(200).decode("utf-8-sig", errors="replace")
    except OSError:
        return False
    return first.lower().replace(" ", "").startswith("path,label")


def _cells(path: Path) -> Iterable[tuple[str, dict[str, str]]]:
    """Give the rows by the names of their columns, each behind its place."""
    columns: tuple[str, ...] = COLUMNS
    for number, (place, row) in enumerate(rows_of(path)):
        names = tuple(cell.lower() for cell in row)
        if number == 0 and "path" in names:
            columns = names
            if unknown := set(columns) - set(COLUMNS):
                raise DatasetError(f"{place}: the columns are {', '.join(COLUMNS)}, got {', '.join(sorted(unknown))}")
            continue
        fits = len(row) in (1, 2, len(COLUMNS)) if columns == COLUMNS else len(row) == len(columns)
        if not fits or not row[columns.index("path")]:
            raise DatasetError(f"{place}: expected {','.join(columns)}, got {','.join(row)!r}")
        yield place, dict(zip(columns, row, strict=False))


def _boxes(cells: Mapping[str, str], place: str) -> list[Box]:
    given = [cells.get(one, "") for one in CORNERS]
    if not any(given):
        return []
    try:
        x0, y0, x1, y1 = map(float, given)
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not (all(map(math.isfinite, (x0, y0, x1, y1))) and x0 < x1 and y0 < y1):
        raise DatasetError(f"{place}: a box is x0,y0,x1,y1 with x0 < x1 and y0 < y1, got {','.join(given)!r}")
    return [(x0, y0, x1, y1)]


def _numbers(places: Mapping[str, str], network: Network, path: Path) -> Numbers:
    """Give the class indices of each label, of which the place of its first row is known."""
    names = [one for one in places if one and not one.lstrip("-").isdecimal()]
    numbers = dict(network.numbers(names, str(path), ordered=False)) if names else {}
    for label in places.keys() - set(names) - {""}:
        if int(label) < 0 or (network.classes is not None and int(label) >= network.classes):
            limit = "" if network.classes is None else f" of {network.classes} classes"
            raise DatasetError(f"{places[label]}: class {label}{limit}: indices count from 0")
        numbers[label] = (int(label),)
    return numbers


# -- Hugging Face ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """An image in a folder of Hugging Face's `datasets`: calling it opens it."""

    folder: str
    split: str | None
    column: str
    index: int

    def __call__(self) -> Image.Image:
        """Give the image."""
        image = _loaded(self.folder, self.split).select_columns([self.column])[self.index][self.column]
        if not isinstance(image, Image.Image):
            raise OSError(f"row {self.index} of column '{self.column}' has no image")
        return image


def hugging_face(root: Path, network: Network, split: str | None = None) -> Samples:
    """Read what ``Dataset.save_to_disk`` wrote: the column of images, and that of class labels if there is one.

    ``split`` names one of several; None takes "validation", "val" or "test", or the only one.
    """
    split = _split(root, split)
    data = _loaded(str(root), split)
    images = [name for name, feature in data.features.items() if type(feature).__name__ == "Image"]
    if len(images) != 1:
        raise DatasetError(f"{root}: one column of images is needed, got {images or list(data.features)}")
    labels, indices = _labels(root, data, network)
    names = [f"{split or 'data'}/{index:08}" for index in range(len(data))]
    kept = [one for one, label in enumerate(labels) if label is None or label in indices]

    def make(index: int) -> Sample:
        place = kept[index]
        image, label = Row(str(root), split, images[0], place), labels[place]
        if label is None:
            return Sample(names[place], image)
        return replace(labelled(names[place], Path(), indices[label], label), image=image)

    kind = f"a Hugging Face data set of {len(kept):,} images" + (f" ({split})" if split else "")
    return Samples(kind, [names[one] for one in kept], make)


@cache
def _loaded(folder: str, split: str | None) -> Any:
    library = extra("data", "datasets", "data sets of Hugging Face's `datasets`")
    try:
        data = library.load_from_disk(folder)
    except Exception as error:  # arrow's, fsspec's and json's
        raise DatasetError(f"cannot read {folder}: {type(error).__name__}: {error}") from None
    return data if split is None else data[split]


def _split(root: Path, split: str | None) -> str | None:
    data = _loaded(str(root), None)
    if not isinstance(data, dict):
        return None
    fitting = [one for one in ([split] if split else ["validation", "val", "test", *data]) if one in data]
    if not fitting or (split is None and len(data) > 1 and fitting[0] not in ("validation", "val", "test")):
        raise DatasetError(f"{root}: which of the splits {', '.join(data)}?")
    return fitting[0]


def _labels(root: Path, data: Any, network: Network) -> tuple[list[str | None], Numbers]:
    """Give each row's category, and the class indices of the categories."""
    column = next((name for name, feature in data.features.items() if type(feature).__name__ == "ClassLabel"), None)
    column = column or next((name for name in ("label", "labels") if name in data.features), None)
    if column is None:
        return [None] * len(data), {}
    values = list(data.select_columns([column])[column])
    names = getattr(data.features[column], "names", None)
    if names is not None:
        categories = [None if one is None or one < 0 else names[one] for one in values]
        return categories, network.numbers(names, str(root))
    texts = [None if one is None else str(one) for one in values]
    places = {one: f"{root}, row {row}" for row, one in reversed(list(enumerate(texts))) if one is not None}
    return texts, _numbers(places, network, root)
