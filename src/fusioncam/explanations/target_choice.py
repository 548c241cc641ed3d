"""The target of each image of a call: one for all, one for each, or the image's label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fusioncam.data.datasets.class_mapping import network_classes, read_csv_rows
from fusioncam.errors import DatasetError, TargetError
from fusioncam.explanations.class_selection import ImageTarget, are_weights
from fusioncam.explanations.items import Item

LABEL = "label"  # the target that stands for the label of each image
_PATH_COLUMNS, _LABEL_COLUMNS = ("path", "image", "file", "filename"), ("label", "target", "class")


class TargetChoice:
    """The target of each image.

    ``target`` is the target of all images; a sequence with one for each; ``"label"``, the label in a DataLoader's
    batch or the name of the image's folder; or ``"FILE.csv"``, a table with the columns ``path`` and ``label``, or
    another column as in ``"FILE.csv:diagnosis"``. ``labels`` are the class names.
    """

    def __init__(self, target: object, labels: Sequence[str] | None) -> None:
        self._target: Any = target
        self._labels = labels
        self._each = _one_for_each(target)
        self._table = _read_table(target) if isinstance(target, str | Path) else None
        self._by_label = isinstance(target, str) and target == LABEL and LABEL not in (labels or ())

    @property
    def is_common(self) -> bool:
        """Whether all images have the same target."""
        return self._each is None and self._table is None and not self._by_label

    def of(self, item: Item) -> ImageTarget:
        """Return the target of an image; raise :class:`DatasetError` for an image without a known label."""
        target: ImageTarget = self._target
        if self._each is not None:
            if item.number >= len(self._each):
                raise TargetError(f"{len(self._each)} targets for more images: give one for each image")
            target = self._each[item.number]
        elif self._table is not None:
            target = self._class_named(self._table.label_of(item.name), item.name)
        elif self._by_label:
            target = self._label_of(item)
        return target

    def counted(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items; raise :class:`TargetError` at the end if some targets have no image."""
        count = 0
        for item in items:
            count += 1
            yield item
        if self._each is not None and count < len(self._each):
            raise TargetError(f"{len(self._each)} targets for {count} images: give one for each image")

    def _label_of(self, item: Item) -> ImageTarget:
        if item.label is not None:
            label = item.label.item() if isinstance(item.label, Tensor | np.generic) else item.label
            return self._class_named(label, item.name) if isinstance(label, str) else label  # type: ignore[return-value]
        folder = Path(item.name).parent.name
        if item.is_input or not folder:
            raise DatasetError(f"{item.name} has no label: put it into a folder of its class, or name a class")
        return self._class_named(folder, item.name)

    def _class_named(self, name: str, image: str) -> int:
        if name.isdecimal():
            return int(name)
        found = network_classes(None, self._labels).match_names([name])
        if name not in found:
            raise DatasetError(f"{image}: its label '{name}' is no class of the network: give class names by labels")
        return found[name]


class _Table:
    """The labels of images by their paths, which are relative to the folder of the table, or by their file names."""

    def __init__(self, path: Path, labels: Mapping[str, str]) -> None:
        self._path, self._labels = path, dict(labels)
        self._resolved = {(path.parent / file).resolve(): label for file, label in labels.items()}

    def label_of(self, image: str) -> str:
        label = self._resolved.get(Path(image).resolve(), self._labels.get(Path(image).name, ""))
        if not label:
            raise DatasetError(f"{image}: {self._path} has no label for it")
        return label


def _one_for_each(target: object) -> Sequence[Any] | None:
    """Return the targets if there is one for each image, None for a common one."""
    if isinstance(target, np.ndarray | Tensor):
        several = target.ndim > 0 if not are_weights(target) else target.ndim == 2 and len(target) > 1
        return list(target) if several else None
    return target if isinstance(target, (list, tuple)) and not are_weights(target) else None


def _read_table(target: str | Path) -> _Table | None:
    """Return the table of a target ``FILE.csv`` or ``FILE.csv:COLUMN``, None for other targets."""
    text = str(target)
    file, _, column = text.partition(".csv:") if ".csv:" in text else (text.removesuffix(".csv"), "", "")
    if not text.endswith(".csv") and not column:
        return None
    path = Path(f"{file}.csv")
    rows = list(read_csv_rows(path))
    header = [cell.lower() for cell in rows[0][1]] if rows else []
    paths = _column(path, header, _PATH_COLUMNS)
    labels = _column(path, header, (column.lower(),) if column else _LABEL_COLUMNS)
    short = next((location for location, row in rows[1:] if len(row) <= max(paths, labels)), None)
    if short is not None:
        raise DatasetError(f"{short}: expected {len(header)} cells, as the header has")
    return _Table(path, {row[paths]: row[labels] for _, row in rows[1:]})


def _column(path: Path, header: Sequence[str], names: Sequence[str]) -> int:
    found = [header.index(name) for name in names if name in header]
    if not found:
        raise DatasetError(
            f"{path}: expected a header with a column '{names[0]}', got {', '.join(header) or 'an empty file'}"
        )
    return found[0]
