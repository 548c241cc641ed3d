"""Data sets that Hugging Face's `datasets` saved to a folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from fusioncam.data.datasets.class_mapping import ClassIndices, NetworkClasses
from fusioncam.data.datasets.folders import labelled_sample
from fusioncam.data.datasets.sample import Sample, Samples
from fusioncam.errors import DatasetError
from fusioncam.utils.optional import extra

_VALIDATION_SPLITS = ("validation", "val", "test")


@dataclass(frozen=True)
class ImageCell:
    """An image in one cell of a data set; a call opens it."""

    folder: str
    split: str | None
    column: str
    row: int

    def __call__(self) -> Image.Image:
        """Return the image; raise :class:`OSError` if the cell has none."""
        image = _load(self.folder, self.split).select_columns([self.column])[self.row][self.column]
        if not isinstance(image, Image.Image):
            raise OSError(f"row {self.row} of column '{self.column}' has no image")
        return image


def hugging_face(root: Path, network: NetworkClasses, split: str | None = None) -> Samples:
    """Read the output of ``Dataset.save_to_disk``: its column of images, and its column of class labels if any.

    ``split`` names one of several splits; None takes "validation", "val" or "test", or the only one.
    """
    split = _choose_split(root, split)
    data = _load(str(root), split)
    columns = [name for name, feature in data.features.items() if type(feature).__name__ == "Image"]
    if len(columns) != 1:
        raise DatasetError(f"{root}: expected one column of images, got {columns or list(data.features)}")
    labels, class_indices = _read_labels(root, data, network)
    names = [f"{split or 'data'}/{row:08}" for row in range(len(data))]
    kept = [row for row, label in enumerate(labels) if label is None or label in class_indices]

    def make(index: int) -> Sample:
        row = kept[index]
        image, label = ImageCell(str(root), split, columns[0], row), labels[row]
        if label is None:
            return Sample(names[row], image)
        return replace(labelled_sample(names[row], Path(), class_indices[label], label), image=image)

    kind = f"a Hugging Face data set of {len(kept):,} images" + (f" ({split})" if split else "")
    return Samples(kind, [names[row] for row in kept], make)


@lru_cache(maxsize=4)
def _load(folder: str, split: str | None) -> Any:
    library = extra("data", "datasets", "data sets of Hugging Face's `datasets`")
    try:
        data = library.load_from_disk(folder)
    except Exception as error:  # errors of arrow, fsspec and json
        raise DatasetError(f"cannot read {folder}: {type(error).__name__}: {error}") from None
    return data if split is None else data[split]


def _choose_split(root: Path, split: str | None) -> str | None:
    data = _load(str(root), None)
    if not isinstance(data, dict):
        return None
    candidates = [name for name in ([split] if split else [*_VALIDATION_SPLITS, *data]) if name in data]
    if not candidates or (split is None and len(data) > 1 and candidates[0] not in _VALIDATION_SPLITS):
        raise DatasetError(f"{root}: which split? Choose from {', '.join(data)}")
    return candidates[0]


def _read_labels(root: Path, data: Any, network: NetworkClasses) -> tuple[list[str | None], ClassIndices]:
    """Return the category of each row, and the class indices of the categories."""
    column = next((name for name, feature in data.features.items() if type(feature).__name__ == "ClassLabel"), None)
    column = column or next((name for name in ("label", "labels") if name in data.features), None)
    if column is None:
        return [None] * len(data), {}
    values = list(data.select_columns([column])[column])
    names = getattr(data.features[column], "names", None)
    if names is not None:
        categories = [None if value is None or value < 0 else names[value] for value in values]
        return categories, network.class_indices(names, str(root))
    texts = [None if value is None else str(value) for value in values]
    # reversed, so that the first row of each label is kept
    locations = {text: f"{root}, row {row}" for row, text in reversed(list(enumerate(texts))) if text is not None}
    return texts, network.label_indices(locations, root)
