"""Data sets that are folders of images, with or without one folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fusioncam.data.datasets.class_mapping import NetworkClasses
from fusioncam.data.datasets.sample import Sample, Samples, name_of
from fusioncam.data.image_files import walk_images
from fusioncam.errors import DatasetError


def images_in(folder: Path) -> list[Path]:
    """Return the images below a folder, sorted by name; the order is the same on every machine.

    A folder that cannot be read takes the position of its images, and raises its error when it is opened as an image.
    """
    found = [path for path, _ in walk_images(folder)] if folder.is_dir() else []
    return sorted(found, key=lambda path: name_of(path, folder))


def image_folder(root: Path, network: NetworkClasses, split: str | None = None) -> Samples:
    """Read the images at any depth of a folder; their classes are unknown."""
    paths = images_in(root)
    names = [name_of(path, root) for path in paths]
    kind = f"a folder of {len(paths):,} images, classes unknown"
    return Samples(kind, names, lambda index: Sample(names[index], paths[index]))


def class_folders(root: Path, network: NetworkClasses, split: str | None = None) -> Samples:
    """Read an ImageFolder: images at any depth of folders that are named after their class."""
    paths = images_in(root)
    names = [name_of(path, root) for path in paths]
    categories = [name.partition("/")[0] for name in names]
    loose = next((name for name, path in zip(names, paths, strict=True) if "/" not in name and path.is_file()), None)
    if loose is not None:
        raise DatasetError(f"{root}: '{loose}' lies next to the class folders: move it into one of them")
    class_indices = network.class_indices(sorted(set(categories)), str(root))
    kept = [index for index, category in enumerate(categories) if category in class_indices]

    def make(index: int) -> Sample:
        n = kept[index]
        return labelled_sample(names[n], paths[n], class_indices[categories[n]], categories[n])

    kind = f"an ImageFolder of {len(kept):,} images in {len(class_indices):,} class folders"
    return Samples(kind, [names[n] for n in kept], make)


def has_class_folders(root: Path, network: NetworkClasses) -> bool:
    """Return whether the direct subfolders are named after classes.

    Half of the names are enough, so that :func:`class_folders` reports the others as an error.
    """
    names = (name for name in os.listdir(root) if not name.startswith("."))  # noqa: PTH208
    folders = sorted(name for name in names if os.path.isdir(root / name))  # noqa: PTH112 # pathlib raises errors
    known = network.class_map.keys() | network.match_names(folders).keys()
    return bool(folders) and (2 * len(known & set(folders)) >= len(folders) or len(folders) == network.classes)


def labelled_sample(name: str, image: Path, class_indices: Sequence[int], category: str) -> Sample:
    """Return the sample of an image whose category has these class indices."""
    label = class_indices[0] if len(class_indices) == 1 else None
    return Sample(name, image, label, tuple(class_indices), category)
