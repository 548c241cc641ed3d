"""From the categories of a data set to the class indices of the network."""

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
from fusioncam.errors import DatasetError, TargetError, cut, shown, suggestion

_INDEX = re.compile(r"-?[0-9]{1,9}")  # a number of more digits is a name
# for each category, the indices of the network's classes that count as it
ClassIndices = Mapping[str, tuple[int, ...]]
ClassMap = Mapping[str, int | Sequence[int]] | str | Path


@dataclass(frozen=True)
class NetworkClasses:
    """The classes of the network as far as they are known: their number, their names, and the user's class map."""

    classes: int | None = None
    labels: tuple[str, ...] | None = None
    class_map: ClassIndices = field(default_factory=dict)

    def class_indices(self, names: Sequence[str], source: str, *, ordered: bool = True) -> ClassIndices:
        """Return the class indices of the categories of a data set.

        A class map that has some of the categories decides, and the other categories are left out. Otherwise the
        categories must be WordNet ids of ImageNet or class names, or, where ``ordered``, as many as the network has
        classes: these are matched by position. ``source`` names the data set in errors.

        Raises :class:`DatasetError` if some categories match in none of these ways.
        """
        if mapped := {name: self.class_map[name] for name in names if name in self.class_map}:
            return mapped
        found = self.match_names(names)
        if len(found) == len(names):
            return {name: (index,) for name, index in found.items()}
        if ordered and self._match_by_position(names, found):
            return {name: (index,) for index, name in enumerate(names)}
        missing = [name for name in names if name not in found]
        count = "" if self.classes is None else f", which has {self.classes}"
        raise DatasetError(
            f"{source}: {len(missing)} of {len(names)} categories are not classes of the network "
            f"({_first_names(missing)}){count}: give a class map, a CSV of class index,category"
        )

    def label_indices(self, labels: Mapping[str, str], source: Path) -> ClassIndices:
        """Return the class indices of labels that are class indices, categories or empty (unknown).

        ``labels`` maps each label to the location where it first occurs, for errors.
        """
        names = [label for label in labels if label and not _INDEX.fullmatch(label)]
        indices = dict(self.class_indices(names, str(source), ordered=False)) if names else {}
        for label in labels.keys() - set(names) - {""}:
            if int(label) < 0 or (self.classes is not None and int(label) >= self.classes):
                limit = "" if self.classes is None else f" of {self.classes} classes"
                raise DatasetError(f"{labels[label]}: there is no class {label}{limit}; indices start at 0")
            indices[label] = (int(label),)
        return indices

    def match_names(self, names: Iterable[str]) -> dict[str, int]:
        """Return the class index of each category that is a WordNet id of ImageNet or a class name."""
        synsets = synset_indices() if self.classes in (None, 1000) else {}
        exact = {label.casefold(): index for index, label in enumerate(self.labels or ())}
        indices = ((name, synsets.get(name, exact.get(name.casefold(), self._synonym(name)))) for name in names)
        return {name: index for name, index in indices if index is not None}

    def _synonym(self, name: str) -> int | None:
        try:
            return find_class(name.replace("_", " "), self.labels or ())
        except TargetError:
            return None

    def _match_by_position(self, names: Sequence[str], found: Mapping[str, int]) -> bool:
        """Return whether there is one name per class and no name that matches a class at another position."""
        consistent = all(index == found.get(name, index) for index, name in enumerate(names))
        return consistent and len(names) == (len(names) if self.classes is None else self.classes)


def network_classes(
    classes: int | None = None, labels: Sequence[str] | None = None, class_map: ClassMap | None = None
) -> NetworkClasses:
    """Return what is known of the network's classes; raise :class:`DatasetError` for a bad class map."""
    classes = len(labels) if classes is None and labels is not None else classes
    mapped = {} if class_map is None else _read_class_map(class_map)
    for name, indices in mapped.items():
        if not indices or min(indices) < 0 or (classes is not None and max(indices) >= classes):
            limit = "" if classes is None else f" of {classes} classes"
            raise DatasetError(
                f"the class map must have indices{limit} for '{cut(name)}', got {shown(list(indices))}"
            )
    return NetworkClasses(classes, None if labels is None else tuple(labels), mapped)


@cache
def synset_indices() -> dict[str, int]:
    """Return the class index of each of the 1,000 WordNet ids of ImageNet."""
    return {name: index for index, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}


def is_synset(name: str) -> bool:
    """Return whether a name has the form of a WordNet id, such as n02123045."""
    return re.fullmatch(r"n\d{8}", name) is not None


def read_csv_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(location, cells)`` for each row of a CSV that is not empty; the location is for error messages."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield f"{path}, line {reader.line_num}", [cell.strip() for cell in row]
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text: {error}") from None
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from None


def _read_class_map(class_map: ClassMap) -> dict[str, tuple[int, ...]]:
    if isinstance(class_map, Mapping):
        return {
            name: (indices,) if isinstance(indices, int) else tuple(indices) for name, indices in class_map.items()
        }
    found: dict[str, list[int]] = defaultdict(list)
    for number, (location, row) in enumerate(read_csv_rows(Path(class_map))):
        is_header = number == 0
        if len(row) != 2 or not (_INDEX.fullmatch(row[0]) or is_header):
            raise DatasetError(f"{location}: expected class index,category, got {shown(','.join(row))}")
        if _INDEX.fullmatch(row[0]):
            found[row[1]].append(int(row[0]))
    if not found:
        raise DatasetError(f"{class_map}: expected lines of class index,category, found none")
    return {name: tuple(dict.fromkeys(indices)) for name, indices in found.items()}


def _first_names(names: Iterable[str]) -> str:
    return suggestion("", map(cut, names), limit=5).removeprefix("choose from ")
