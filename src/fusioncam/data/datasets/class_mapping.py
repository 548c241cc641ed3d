"""The categories of a data set -> class indices of the network."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from timm.data import ImageNetInfo

from fusioncam.data.labels import find_class
from fusioncam.errors import DatasetError, TargetError, suggestion

# the indices of the network's classes that count as a category
Numbers = Mapping[str, tuple[int, ...]]
ClassMap = Mapping[str, int | Sequence[int]] | str | Path


@dataclass(frozen=True)
class Network:
    """What is known of the network whose classes are asked for: their number, their names, and a map to them."""

    classes: int | None = None
    labels: tuple[str, ...] | None = None
    class_map: Numbers = field(default_factory=dict)

    def numbers(self, names: Sequence[str], where: str, *, ordered: bool = True) -> Numbers:
        """Give the class indices of each of the data set's categories.

        By the class map, if it has any of them, those that it has; by ImageNet's WordNet ids; by the class names; or,
        of as many ``ordered`` categories as the network has classes, by their order. Raises :class:`DatasetError`
        where none of that tells them all.
        """
        if mapped := {name: self.class_map[name] for name in names if name in self.class_map}:
            return mapped
        found = self.found(names)
        if len(found) == len(names):
            return {name: (index,) for name, index in found.items()}
        if ordered and self._by_order(names, found):
            return {name: (index,) for index, name in enumerate(names)}
        missing = [name for name in names if name not in found]
        raise DatasetError(
            f"{where}: {len(missing)} of {len(names)} categories are no classes of the network "
            f"({_some(missing)}){'' if self.classes is None else f', which has {self.classes}'}: give a class map, a "
            "CSV of class index,category"
        )

    def found(self, names: Iterable[str]) -> dict[str, int]:
        """Give the indices of the categories that are WordNet ids of ImageNet's or names of the network's classes."""
        synsets = synset_indices() if self.classes in (None, 1000) else {}
        exact = {label.casefold(): index for index, label in enumerate(self.labels or ())}
        indices = ((name, synsets.get(name, exact.get(name.casefold(), self._synonym(name)))) for name in names)
        return {name: index for name, index in indices if index is not None}

    def _synonym(self, name: str) -> int | None:
        try:
            return find_class(name.replace("_", " "), self.labels or ())
        except TargetError:
            return None

    def _by_order(self, names: Sequence[str], found: Mapping[str, int]) -> bool:
        """Say whether the order of the names is that of the classes: nothing is against it."""
        order = all(index == found.get(name, index) for index, name in enumerate(names))
        return order and len(names) == (len(names) if self.classes is None else self.classes)


def described(
    classes: int | None = None, labels: Sequence[str] | None = None, class_map: ClassMap | None = None
) -> Network:
    """Put together what is known of the network's classes, and check it."""
    classes = len(labels) if classes is None and labels is not None else classes
    mapped = {} if class_map is None else _as_map(class_map)
    for name, indices in mapped.items():
        if not indices or min(indices) < 0 or (classes is not None and max(indices) >= classes):
            limit = "" if classes is None else f" of {classes} classes"
            raise DatasetError(f"the class map has {list(indices)} for '{name}': indices{limit} are expected")
    return Network(classes, None if labels is None else tuple(labels), mapped)


@cache
def synset_indices() -> dict[str, int]:
    """Give the class index of each of ImageNet's 1,000 WordNet ids."""
    return {name: index for index, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}


def is_synset(name: str) -> bool:
    """Say whether a name has the form of a WordNet id."""
    return re.fullmatch(r"n\d{8}", name) is not None


def rows_of(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Give the rows of a CSV that are not empty, each behind the words for its place."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield f"{path}, line {reader.line_num}", [cell.strip() for cell in row]
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is no UTF-8 text: {error}") from None
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from None


def _as_map(class_map: ClassMap) -> dict[str, tuple[int, ...]]:
    if isinstance(class_map, Mapping):
        return {name: (one,) if isinstance(one, int) else tuple(one) for name, one in class_map.items()}
    found: dict[str, list[int]] = defaultdict(list)
    for number, (place, row) in enumerate(rows_of(Path(class_map))):
        if len(row) != 2 or not (re.fullmatch(r"\d+", row[0]) or number == 0):
            raise DatasetError(f"{place}: expected class index,category, got {','.join(row)!r}")
        if row[0].isdecimal():
            found[row[1]].append(int(row[0]))
    if not found:
        raise DatasetError(f"{class_map}: no line says class index,category")
    return {name: tuple(dict.fromkeys(indices)) for name, indices in found.items()}


def _some(names: Iterable[str]) -> str:
    return suggestion("", names, limit=5).removeprefix("choose from ")
