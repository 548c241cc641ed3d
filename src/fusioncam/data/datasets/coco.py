"""Data sets in COCO's instances format: a JSON of boxes, polygons and run lengths."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fusioncam.data.datasets.annotations import Box, is_finite
from fusioncam.data.datasets.class_mapping import NetworkClasses
from fusioncam.data.datasets.folders import labelled_sample
from fusioncam.data.datasets.sample import Sample, Samples
from fusioncam.errors import DatasetError, cut, shown

# (image id, category id)
InstanceKey = tuple[Any, Any]


def coco(path: Path, network: NetworkClasses, split: str | None = None) -> Samples:
    """Read COCO instances: one sample per image and category, with all its boxes and segments.

    ``path`` is the JSON, or a folder with ``instances*.json`` in it or in ``annotations/``; then ``split`` selects a
    file by part of its name. Categories that are not in a given class map are left out, and so are images without the
    other categories. Crowds count as single objects. Boxes without area, of which COCO has some, are dropped.
    """
    file = path if path.is_file() else _choose_file(instance_files(path), path, split)
    content = _read_instances(file)
    images = {_field(entry, "id", file, "images"): entry for entry in content["images"]}
    categories = {
        _field(entry, "id", file, "categories"): str(_field(entry, "name", file, "categories"))
        for entry in content["categories"]
    }
    class_indices = network.class_indices([categories[number] for number in _sorted_ids(categories, file)], str(file))
    instances = _group_instances(content["annotations"], images, categories, file)
    keys = [key for key in instances if categories[key[1]] in class_indices]
    names = [f"{images[image]['file_name']}#{categories[category]}" for image, category in keys]
    folder = _image_folder(file, [str(images[image]["file_name"]) for image, _ in keys[:1]])

    def make(index: int) -> Sample:
        image, category = keys[index]
        path, size = folder / images[image]["file_name"], _size(images[image])
        name = categories[category]
        sample = labelled_sample(names[index], path, class_indices[name], name)
        boxes = tuple(box for box, _ in instances[keys[index]] if box is not None)
        segments = tuple(segment for _, segment in instances[keys[index]] if segment)
        return replace(sample, boxes=boxes, segments=segments, size=size)

    count = len({image for image, _ in keys})
    kind = f"COCO's {file.name}, {count:,} images of {len(class_indices)} categories"
    return Samples(kind, names, make)


def instance_files(root: Path) -> list[Path]:
    """Return the instances JSON files in a folder or in its ``annotations/``."""
    return sorted([*root.glob("instances*.json"), *root.glob("annotations/instances*.json")])


def _choose_file(files: list[Path], root: Path, split: str | None) -> Path:
    """Choose the file of the split if one is given, else the validation file, else the only file."""
    candidates = [file for file in files if (split or "val") in file.stem] or ([] if split else files)
    if len(candidates) != 1:
        names = ", ".join(file.name for file in files) or "no instances*.json"
        raise DatasetError(f"{root}: cannot choose one of {names}: give the file itself")
    return candidates[0]


def _read_instances(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{file}, line {error.lineno}: not JSON: {error.msg}") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits
        raise DatasetError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in parts):
        got = shown(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise DatasetError(f"{file}: COCO instances must have the lists {', '.join(parts)}, got {got}")
    for image in content["images"]:
        if not isinstance(_field(image, "file_name", file, "images"), str):
            raise DatasetError(f"{file}: file_name must be text, got {shown(image['file_name'])}")
    return content


def _field(entry: Any, key: str, file: Path, part: str) -> Any:
    """Return a required field of an entry, which is text or a whole number."""
    if not isinstance(entry, Mapping) or type(entry.get(key)) not in (str, int):  # bool is an int too
        raise DatasetError(f"{file}: each entry of {part} must have {key}, got {shown(entry)}")
    return entry[key]


def _sorted_ids(categories: Mapping[Any, str], file: Path) -> list[Any]:
    """Return the ids in their order, on which the network's classes may depend."""
    if len({type(number) for number in categories}) > 1:
        raise DatasetError(
            f"{file}: the ids of categories must be all numbers or all texts, got {shown(list(categories))}"
        )
    return sorted(categories)


def _group_instances(
    annotations: Iterable[Any], images: Mapping[Any, Any], categories: Mapping[Any, str], file: Path
) -> dict[InstanceKey, list[tuple[Box | None, Any]]]:
    """Group the boxes and segments by image and category, in the order of the file."""
    instances: dict[InstanceKey, list[tuple[Box | None, Any]]] = defaultdict(list)
    for entry in annotations:
        image, category = (_field(entry, key, file, "annotations") for key in ("image_id", "category_id"))
        if image not in images or category not in categories:
            raise DatasetError(
                f"{file}: annotation {shown(entry.get('id'))} is of image {cut(image)} and category {cut(category)}, "
                "but the file does not have both"
            )
        instances[image, category].append((_read_box(entry, file), entry.get("segmentation")))
    return instances


def _read_box(entry: Mapping[str, Any], file: Path) -> Box | None:
    """Return the corners of an annotation's box, None if it has none or one without area."""
    given = entry.get("bbox")
    if given is None:
        return None
    if not isinstance(given, list) or len(given) != 4 or not all(map(is_finite, given)) or min(given[2:]) < 0:
        raise DatasetError(
            f"{file}: bbox of annotation {shown(entry.get('id'))} must be x, y, width, height, got {shown(given)}"
        )
    x, y, width, height = map(float, given)
    return (x, y, x + width, y + height) if width > 0 and height > 0 else None


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    sides = image.get("width"), image.get("height")
    return sides if all(type(side) is int and side > 0 for side in sides) else None  # type: ignore[return-value]


def _image_folder(file: Path, names: list[str]) -> Path:
    """Return the first of the usual image folders that has the first image."""
    folder, parent = file.parent, file.parent.parent
    part = file.stem.removeprefix("instances_")
    candidates = [
        folder / "images",
        folder,
        folder / part,
        parent / part,
        parent / "images" / part,
        parent / "images",
    ]
    for candidate in candidates:
        if all(os.path.isfile(candidate / name) for name in names):  # noqa: PTH113 # pathlib raises errors
            return candidate
    raise DatasetError(f"{file}: its image {cut(names[0])} is in none of {', '.join(map(str, candidates))}")
