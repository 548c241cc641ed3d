"""Data sets with one XML annotation per image: ImageNet's validation layout and Pascal VOC."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from fusioncam.data.datasets.annotations import Box
from fusioncam.data.datasets.class_mapping import NetworkClasses, is_synset
from fusioncam.data.datasets.folders import images_in, labelled_sample
from fusioncam.data.datasets.sample import Sample, Samples, name_of
from fusioncam.data.formats import has_image_suffix
from fusioncam.data.image_files import walk
from fusioncam.errors import DatasetError

# the folders of images and of annotations in the official layout
IMAGENET = (Path("Data/CLS-LOC/val"), Path("Annotations/CLS-LOC/val"))


@dataclass(frozen=True)
class Annotation:
    """The content of an XML file: the image's (width, height) if it is given, and the boxes of each category."""

    size: tuple[int, int] | None
    boxes: dict[str, tuple[Box, ...]]


# -- ImageNet --------------------------------------------------------------------------------------------------


def imagenet(root: Path, network: NetworkClasses, split: str | None = None) -> Samples:
    """Read ImageNet's validation images with their boxes, from one XML file per image with the same stem.

    The layout is the official one (``Data/CLS-LOC/val`` and ``Annotations/CLS-LOC/val``), or the XML files lie
    anywhere below the folder. The class is the WordNet id that the image's folder is named after, else the one in the
    XML file. A file is read when its sample is indexed.
    """
    image_root, annotation_root = (root / folder for folder in IMAGENET)
    if not (image_root.is_dir() and annotation_root.is_dir()):
        image_root = annotation_root = root
    paths = images_in(image_root)
    files = {file.stem: file for file in _xml_files(annotation_root)}
    names = [name_of(path, image_root) for path in paths]

    def make(index: int) -> Sample:
        return _imagenet_sample(names[index], paths[index], files.get(paths[index].stem), network)

    kind = f"ImageNet's layout, {len(paths):,} images and {len(files):,} XML files"
    return Samples(kind, names, make)


def has_imagenet_files(root: Path) -> bool:
    """Return whether there are XML files in or below the folder, or ImageNet's folder of annotations."""
    return (root / IMAGENET[1]).is_dir() or next(_xml_files(root), None) is not None


def _xml_files(folder: Path) -> Iterator[Path]:
    return (path for path, problem in walk(folder, lambda path: path.suffix == ".xml") if not problem)


def _imagenet_sample(name: str, image: Path, file: Path | None, network: NetworkClasses) -> Sample:
    annotation = Annotation(None, {}) if file is None else read_annotation(file, first_pixel=0)
    folder = image.parent.name
    category = folder if is_synset(folder) or not annotation.boxes else next(iter(annotation.boxes))
    if file is None and not is_synset(folder):
        return Sample(name, image)
    class_indices = network.class_indices([category], str(file or image.parent), ordered=False)
    sample = labelled_sample(name, image, class_indices[category], category)
    return replace(sample, boxes=annotation.boxes.get(category, ()), size=annotation.size)


# -- Pascal VOC ------------------------------------------------------------------------------------------------


def voc(root: Path, network: NetworkClasses, split: str | None = None) -> Samples:
    """Read Pascal VOC's images and boxes: one sample per image and category.

    ``split`` names a list in ``ImageSets/Main``; None takes "val", else "test", else all annotated images. Objects
    marked as difficult or truncated count as the others do.
    """
    stems, split = _read_split(root, split)
    annotations = {stem: read_annotation(root / "Annotations" / f"{stem}.xml", first_pixel=1) for stem in stems}
    categories = sorted({category for annotation in annotations.values() for category in annotation.boxes})
    class_indices = network.class_indices(categories, str(root))
    keys = [(stem, category) for stem in stems for category in annotations[stem].boxes if category in class_indices]
    files = _files_by_stem(root / "JPEGImages")

    def make(index: int) -> Sample:
        stem, category = keys[index]
        image = files.get(stem, root / "JPEGImages" / f"{stem}.jpg")
        sample = labelled_sample(f"{stem}#{category}", image, class_indices[category], category)
        return replace(sample, boxes=annotations[stem].boxes[category], size=annotations[stem].size)

    kind = f"Pascal VOC ({split}), {len(stems):,} images of {len(class_indices)} categories"
    return Samples(kind, [f"{stem}#{category}" for stem, category in keys], make)


def _read_split(root: Path, split: str | None) -> tuple[list[str], str]:
    """Return the stems of the images in a split, and its name."""
    lists = {file.stem: file for file in sorted((root / "ImageSets" / "Main").glob("*.txt"))}
    split = split or next((name for name in ("val", "test") if name in lists), None)
    if split is None:
        return sorted(file.stem for file in (root / "Annotations").glob("*.xml")), "all"
    if split not in lists:
        known = f"choose from {', '.join(lists)}" if lists else "the folder has no lists"
        raise DatasetError(f"{root}: no list '{split}' in ImageSets/Main; {known}")
    # lists of one category have a second column
    lines = lists[split].read_text(encoding="utf-8", errors="replace").split("\n")
    return [line.split()[0] for line in lines if line.strip()], split


def _files_by_stem(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(folder.glob("*")) if has_image_suffix(file)}


# -- one annotation --------------------------------------------------------------------------------------------


def read_annotation(path: Path, first_pixel: int) -> Annotation:
    """Read an XML file whose boxes name the first and last pixel inside, counted from ``first_pixel``.

    Raises :class:`DatasetError` with the file, and the line or object if it is known.
    """
    try:
        tree = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DatasetError(f"{path}, line {error.position[0]}: not XML: {error}") from None
    except (OSError, LookupError, ValueError) as error:  # LookupError: an unknown encoding
        raise DatasetError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    boxes: dict[str, list[Box]] = defaultdict(list)
    for number, element in enumerate(tree.iter("object"), start=1):
        category, box = _read_object(element, first_pixel, f"{path}, object {number}")
        boxes[category].append(box)
    return Annotation(_read_size(tree, path), {category: tuple(found) for category, found in boxes.items()})


def _read_object(element: ElementTree.Element, first_pixel: int, location: str) -> tuple[str, Box]:
    category = (element.findtext("name") or "").strip()
    if not category:
        raise DatasetError(f"{location}: the object has no name")
    x0, y0, x1, y1 = _read_numbers(element, [f"bndbox/{side}" for side in ("xmin", "ymin", "xmax", "ymax")], location)
    if x1 < x0 or y1 < y0:
        raise DatasetError(f"{location}: the box ends before it begins: {x0:g}, {y0:g}, {x1:g}, {y1:g}")
    return category, (x0 - first_pixel, y0 - first_pixel, x1 + 1 - first_pixel, y1 + 1 - first_pixel)


def _read_size(tree: ElementTree.Element, path: Path) -> tuple[int, int] | None:
    if tree.find("size") is None:
        return None
    width, height = map(int, _read_numbers(tree, ["size/width", "size/height"], str(path)))
    # some tools write zeros
    return (width, height) if width > 0 and height > 0 else None


def _read_numbers(element: ElementTree.Element, names: Iterable[str], location: str) -> list[float]:
    values = []
    for name in names:
        text = element.findtext(name)
        try:
            value = float(text or "")
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DatasetError(f"{location}: {name} must be a number, got {text!r}")
        values.append(value)
    return values
