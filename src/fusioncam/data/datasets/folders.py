"""Folders of images, and folders of a class each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusioncam.data.datasets.class_mapping import Network
from fusioncam.data.datasets.sample import Sample, Samples, name_of
from fusioncam.data.images import find_images
from fusioncam.errors import DatasetError


def images_in(folder: Path) -> list[Path]:
    """List the images below a folder, in the order of their names on every machine."""
    found = [one for one in find_images([folder]) if isinstance(one, Path)] if folder.is_dir() else []
    return sorted(found, key=lambda one: name_of(one, folder))


def images(root: Path, network: Network, split: str | None = None) -> Samples:
    """Read a folder of images of any depth; their classes are not known."""
    paths = images_in(root)
    names = [name_of(one, root) for one in paths]
    kind = f"a folder of {len(paths):,} images, classes unknown"
    return Samples(kind, names, lambda one: Sample(names[one], paths[one]))


def class_folders(root: Path, network: Network, split: str | None = None) -> Samples:
    """Read an ImageFolder: images in folders named for their class, at any depth below these."""
    paths = images_in(root)
    names = [name_of(one, root) for one in paths]
    categories = [name.partition("/")[0] for name in names]
    if any("/" not in name for name in names):
        loose = next(name for name in names if "/" not in name)
        raise DatasetError(f"{root}: '{loose}' lies beside the class folders: put it into one")
    numbers = network.numbers(sorted(set(categories)), str(root))
    kept = [one for one, category in enumerate(categories) if category in numbers]

    def make(index: int) -> Sample:
        place = kept[index]
        return labelled(names[place], paths[place], numbers[categories[place]], categories[place])

    kind = f"an ImageFolder of {len(kept):,} images in {len(numbers):,} class folders"
    return Samples(kind, [names[one] for one in kept], make)


def has_class_folders(root: Path, network: Network) -> bool:
    """Say whether folders right below are named for classes: half of them, for an odd one is worth an error."""
    folders = sorted(one.name for one in root.iterdir() if one.is_dir() and not one.name.startswith("."))
    known = network.class_map.keys() | network.found(folders).keys()
    return bool(folders) and (2 * len(known & set(folders)) >= len(folders) or len(folders) == network.classes)


def labelled(name: str, image: Path, indices: Sequence[int], category: str) -> Sample:
    """Make the sample of an image whose category has these class indices."""
    label = indices[0] if len(indices) == 1 else None
    return Sample(name, image, label, tuple(indices), category)
