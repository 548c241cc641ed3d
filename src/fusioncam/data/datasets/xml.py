"""Images with an XML file each: ImageNet's validation layout and Pascal VOC."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from fusioncam.data.datasets.annotations import Box
from fusioncam.data.datasets.class_mapping import Network, is_synset
from fusioncam.data.datasets.folders import images_in, labelled
from fusioncam.data.datasets.sample import Sample, Samples, name_of
from fusioncam.data.images import SUFFIXES
from fusioncam.errors import DatasetError

IMAGENET = (Path("Data/CLS-LOC/val"), Path("Annotations/CLS-LOC/val"))


@dataclass(frozen=True)
class Annotation:
    """What an XML file says: the image's (width, height) if it is told, and the boxes of each category."""

    size: tuple[int, int] | None
    boxes: dict[str, tuple[Box, ...]]


# -- ImageNet --------------------------------------------------------------------------------------------------


def imagenet(root: Path, network: Network, split: str | None = None) -> Samples:
    """Read ImageNet's validation images with their boxes, one XML file of the same name an image.

    In the official layout (``Data/CLS-LOC/val`` and ``Annotations/CLS-LOC/val``), or with the XML files anywhere
    below the folder. The class is that of the WordNet id that the image's folder is named for, or else that the XML
    file names. Each file is read when its sample is asked for.
    """
    inside, beside = (root / one for one in IMAGENET)
    inside, beside = (inside, beside) if inside.is_dir() and beside.is_dir() else (root, root)
    paths = images_in(inside)
    files = {one.stem: one for one in sorted(beside.rglob("*.xml"))}
    names = [name_of(one, inside) for one in paths]

    def make(index: int) -> Sample:
        return _of_imagenet(names[index], paths[index], files.get(paths[index].stem), network)

    kind = f"ImageNet's layout, {len(paths):,} images and {len(files):,} XML files"
    return Samples(kind, names, make)


def has_imagenet_files(root: Path) -> bool:
    """Say whether XML files lie in or below the folder, or where ImageNet has them."""
    return (root / IMAGENET[1]).is_dir() or next(root.rglob("*.xml"), None) is not None


def _of_imagenet(name: str, image: Path, file: Path | None, network: Network) -> Sample:
    annotation = Annotation(None, {}) if file is None else read_annotation(file, first_pixel=0)
    folder = image.parent.name
    category = folder if is_synset(folder) or not annotation.boxes else next(iter(annotation.boxes))
    if file is None and not is_synset(folder):
        return Sample(name, image)
    indices = network.numbers([category], str(file or image.parent), ordered=False)
    sample = labelled(name, image, indices[category], category)
    return replace(sample, boxes=annotation.boxes.get(category, ()), size=annotation.size)


# -- Pascal VOC ------------------------------------------------------------------------------------------------


def voc(root: Path, network: Network, split: str | None = None) -> Samples:
    """Read Pascal VOC's images and boxes: a sample for each category in an image.

    ``split`` names a list in ``ImageSets/Main``; None takes "val" or else "test" if there, else all that is
    annotated. Objects marked as difficult or truncated count like the others.
    """
    stems, split = _stems(root, split)
    annotated = {one: read_annotation(root / "Annotations" / f"{one}.xml", first_pixel=1) for one in stems}
    categories = sorted({category for one in annotated.values() for category in one.boxes})
    numbers = network.numbers(categories, str(root))
    pairs = [(stem, category) for stem in stems for category in annotated[stem].boxes if category in numbers]
    files = _files_by_stem(root / "JPEGImages")

    def make(index: int) -> Sample:
        stem, category = pairs[index]
        image = files.get(stem, root / "JPEGImages" / f"{stem}.jpg")
        sample = labelled(f"{stem}#{category}", image, numbers[category], category)
        return replace(sample, boxes=annotated[stem].boxes[category], size=annotated[stem].size)

    kind = f"Pascal VOC ({split}), {len(stems):,} images of {len(numbers)} categories"
    return Samples(kind, [f"{stem}#{category}" for stem, category in pairs], make)


def _stems(root: Path, split: str | None) -> tuple[list[str], str]:
    lists = {one.stem: one for one in sorted((root / "ImageSets" / "Main").glob("*.txt"))}
    split = split or next((one for one in ("val", "test") if one in lists), None)
    if split is None:
        return sorted(one.stem for one in (root / "Annotations").glob("*.xml")), "all"
    if split not in lists:
        raise DatasetError(f"{root}: no list '{split}' in ImageSets/Main, but {', '.join(lists) or 'none at all'}")
    # lists of one category have a second column
    lines = lists[split].read_text(encoding="utf-8", errors="replace").split("\n")
    return [line.split()[0] for line in lines if line.strip()], split


def _files_by_stem(folder: Path) -> dict[str, Path]:
    return {one.stem: one for one in sorted(folder.glob("*")) if one.suffix.lower() in SUFFIXES}


# -- one file --------------------------------------------------------------------------------------------------


def read_annotation(path: Path, first_pixel: int) -> Annotation:
    """Read an XML file; its boxes name the last pixel inside, counted from ``first_pixel``.

    Raises :class:`DatasetError` with the file, and the line where it can be told.
    """
    try:
        tree = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DatasetError(f"{path}, line {error.position[0]}: no XML: {error}") from None
    except (OSError, LookupError, ValueError) as error:  # no such encoding, no such file
        raise DatasetError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    boxes: dict[str, list[Box]] = defaultdict(list)
    for number, thing in enumerate(tree.iter("object"), start=1):
        where = f"{path}, object {number}"
        category = (thing.findtext("name") or "").strip()
        if not category:
            raise DatasetError(f"{where}: it has no name")
        x0, y0, x1, y1 = _numbers(thing, [f"bndbox/{one}" for one in ("xmin", "ymin", "xmax", "ymax")], where)
        if x1 < x0 or y1 < y0:
            raise DatasetError(f"{where}: its box ends before it begins: {x0:g}, {y0:g}, {x1:g}, {y1:g}")
        boxes[category].append((x0 - first_pixel, y0 - first_pixel, x1 + 1 - first_pixel, y1 + 1 - first_pixel))
    size = None
    if tree.find("size") is not None:
        width, height = map(int, _numbers(tree, ["size/width", "size/height"], str(path)))
        # some tools write zeros
        size = (width, height) if width > 0 and height > 0 else None
    return Annotation(size, {category: tuple(those) for category, those in boxes.items()})


def _numbers(element: ElementTree.Element, names: Iterable[str], where: str) -> list[float]:
    values = []
    for name in names:
        text = element.findtext(name)
        try:
            value = float(text or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DatasetError(f"{where}: {name} is a number, got {text!r}")
        values.append(value)
    return values
