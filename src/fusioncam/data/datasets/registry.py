"""The kinds of data sets that can be read, and :func:`open_dataset`, which detects the kind and reads the samples."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusioncam.data.datasets.class_mapping import ClassMap, NetworkClasses, network_classes
from fusioncam.data.datasets.coco import coco, instance_files
from fusioncam.data.datasets.csv_table import csv_table, has_csv_table
from fusioncam.data.datasets.folders import class_folders, has_class_folders, image_folder
from fusioncam.data.datasets.hugging_face import hugging_face
from fusioncam.data.datasets.sample import Samples
from fusioncam.data.datasets.xml import has_imagenet_files, imagenet, voc
from fusioncam.errors import DatasetError, require_known


@dataclass(frozen=True)
class DatasetKind:
    """A kind of data set: a description for messages, a test whether a path is of this kind, and its reader."""

    description: str
    matches: Callable[[Path, NetworkClasses], bool]
    read: Callable[[Path, NetworkClasses, str | None], Samples]


# the order matters: the first kind that matches is used
KINDS = {
    "hugging-face": DatasetKind(
        "dataset_info.json or dataset_dict.json, as written by Hugging Face's save_to_disk",
        lambda path, _: any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")),
        hugging_face,
    ),
    "voc": DatasetKind(
        "the folders JPEGImages and Annotations of Pascal VOC",
        lambda path, _: (path / "JPEGImages").is_dir() and (path / "Annotations").is_dir(),
        voc,
    ),
    "coco": DatasetKind(
        "instances*.json of COCO, in the folder or in annotations/, or the file itself",
        lambda path, _: path.suffix.lower() == ".json" if path.is_file() else bool(instance_files(path)),
        coco,
    ),
    "csv": DatasetKind(
        "a CSV that begins with path,label, or any CSV file itself",
        lambda path, _: path.suffix.lower() == ".csv" if path.is_file() else has_csv_table(path),
        csv_table,
    ),
    "imagenet": DatasetKind("XML files as in ImageNet", lambda path, _: has_imagenet_files(path), imagenet),
    "image-folder": DatasetKind("a folder of images for each class of the network", has_class_folders, class_folders),
    "images": DatasetKind("images at any depth", lambda path, _: path.is_dir(), image_folder),
}


def open_dataset(
    path: str | Path,
    *,
    kind: str | None = None,
    split: str | None = None,
    class_map: ClassMap | None = None,
    labels: Sequence[str] | None = None,
    classes: int | None = None,
) -> Samples:
    """Return the samples of the data set in a folder or file; no image is opened.

    ``kind`` is one of ``KINDS``; None takes the first that matches. ``split`` selects one of several parts.
    ``labels`` and ``classes`` are the network's class names and their number. ``class_map`` maps categories to class
    indices, as a mapping or a CSV of class index,category.

    Raises :class:`DatasetError` for a path that is not a data set and for categories that are not classes of the
    network, and :class:`UnknownNameError` for an unknown kind.
    """
    path, network = Path(path), network_classes(classes, labels, class_map)
    if not os.path.exists(path):  # noqa: PTH110 # pathlib raises an error for folders that may not be entered
        raise DatasetError(f"{path}: no such file or folder")
    if kind is not None:
        require_known("kind of data set", kind, KINDS)
    found = kind or next((name for name, candidate in KINDS.items() if _matches(candidate, path, network)), None)
    samples = KINDS[found].read(path, network, split) if found is not None else None
    if not samples:
        actual = "a file of another kind" if samples is None else samples.kind
        raise DatasetError(
            f"{path}: no images to explain, it is {actual}. A data set is one of: "
            f"{'; '.join(candidate.description for candidate in KINDS.values())}"
        )
    return samples


def _matches(kind: DatasetKind, path: Path, network: NetworkClasses) -> bool:
    try:
        return kind.matches(path, network)
    except OSError:  # a file, or a folder that cannot be read
        return False
