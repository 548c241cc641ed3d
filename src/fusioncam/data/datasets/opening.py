"""Data sets on disk -> samples: images with their classes, boxes and masks, opened when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusioncam.data.datasets.class_mapping import ClassMap, Network, described
from fusioncam.data.datasets.coco import coco, instance_files
from fusioncam.data.datasets.folders import class_folders, has_class_folders, images
from fusioncam.data.datasets.sample import Samples
from fusioncam.data.datasets.tables import has_table, hugging_face, table
from fusioncam.data.datasets.xml import has_imagenet_files, imagenet, voc
from fusioncam.errors import DatasetError, require_known


@dataclass(frozen=True)
class Kind:
    """A kind of data set: what it is told by, in words and by looking, and what reads it."""

    sign: str
    fits: Callable[[Path, Network], bool]
    read: Callable[[Path, Network, str | None], Samples]


# asked in this order: the first that fits is taken
KINDS = {
    "hugging-face": Kind(
        "dataset_info.json or dataset_dict.json, as Hugging Face's save_to_disk writes",
        lambda path, _: any((path / one).is_file() for one in ("dataset_info.json", "dataset_dict.json")),
        hugging_face,
    ),
    "voc": Kind(
        "the folders JPEGImages and Annotations of Pascal VOC",
        lambda path, _: (path / "JPEGImages").is_dir() and (path / "Annotations").is_dir(),
        voc,
    ),
    "coco": Kind(
        "instances*.json of COCO, in the folder or in annotations/, or the file itself",
        lambda path, _: path.suffix.lower() == ".json" if path.is_file() else bool(instance_files(path)),
        coco,
    ),
    "csv": Kind(
        "a CSV that begins with path,label, or any CSV file itself",
        lambda path, _: path.suffix.lower() == ".csv" if path.is_file() else has_table(path),
        table,
    ),
    "imagenet": Kind("XML files, as those of ImageNet", lambda path, _: has_imagenet_files(path), imagenet),
    "image-folder": Kind("a folder for each class of the network, of images", has_class_folders, class_folders),
    "images": Kind("images at any depth", lambda path, _: path.is_dir(), images),
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
    """Find out what a folder or file is, and give its samples; no image is opened.

    ``kind`` is one of ``KINDS``; None takes the first that fits. ``split`` chooses among several parts. ``labels``
    and ``classes`` are the network's class names and their number, ``class_map`` says which class indices count as
    which category, as a mapping or a CSV of class index,category.

    Raises :class:`DatasetError` for what is no data set, and for categories that are no classes.
    """
    path, known = Path(path), described(classes, labels, class_map)
    if not path.exists():
        raise DatasetError(f"{path}: no such file or folder")
    if kind is not None:
        require_known("kind of data set", kind, KINDS)
    found = kind or next((name for name, one in KINDS.items() if _fits(one, path, known)), None)
    samples = KINDS[found].read(path, known, split) if found is not None else None
    if not samples:
        got = "a file of another kind" if samples is None else samples.kind
        raise DatasetError(
            f"{path}: nothing to explain in it, it is {got}. A data set has, in this order: "
            f"{'; '.join(one.sign for one in KINDS.values())}"
        )
    return samples


def _fits(kind: Kind, path: Path, known: Network) -> bool:
    try:
        return kind.fits(path, known)
    except NotADirectoryError:
        return False
