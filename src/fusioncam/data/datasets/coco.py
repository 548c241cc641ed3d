"""COCO's JSON of instances: boxes, polygons and run lengths."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fusioncam.data.datasets.annotations import Box
from fusioncam.data.datasets.class_mapping import Network
from fusioncam.data.datasets.folders import labelled
from fusioncam.data.datasets.sample import Sample, Samples
from fusioncam.errors import DatasetError


def coco(path: Path, network: Network, split: str | None = None) -> Samples:
    """Read COCO's instances: a sample for each category in an image, with all of its boxes and segments.

    ``path`` is the JSON, or a folder with ``instances*.json`` in it or in ``annotations/``; ``split`` is then a part
    of its name. Categories that the class map leaves out are left out, and so are images without the others.
    Crowds count like single objects, boxes without area (COCO has some) not at all.
    """
    file = path if path.is_file() else _chosen(instance_files(path), path, split)
    content = _read(file)
    images = {_of(one, "id", file, "images"): one for one in content["images"]}
    categories = {
        _of(one, "id", file, "categories"): str(_of(one, "name", file, "categories")) for one in content["categories"]
    }
    numbers = network.numbers([categories[one] for one in sorted(categories)], str(file))
    things = _grouped(content["annotations"], images, categories, file)
    pairs = [pair for pair in things if categories[pair[1]] in numbers]
    names = [f"{images[image]['file_name']}#{categories[category]}" for image, category in pairs]
    folder = _folder(file, [str(images[image]["file_name"]) for image, _ in pairs[:1]])

    def make(index: int) -> Sample:
        image, category = pairs[index]
        path, size = folder / images[image]["file_name"], _size(images[image])
        sample = labelled(names[index], path, numbers[categories[category]], categories[category])
        boxes = tuple(box for box, _ in things[pairs[index]] if box is not None)
        segments = tuple(segment for _, segment in things[pairs[index]] if segment)
        return replace(sample, boxes=boxes, segments=segments, size=size)

    kind = f"COCO's {file.name}, {len({one for one, _ in pairs}):,} images of {len(numbers)} categories"
    return Samples(kind, names, make)


def instance_files(root: Path) -> list[Path]:
    """List the JSON files of instances in a folder or in its ``annotations/``."""
    return sorted([*root.glob("instances*.json"), *root.glob("annotations/instances*.json")])


def _chosen(files: list[Path], root: Path, split: str | None) -> Path:
    """Choose one file: the one that is asked for, else the validation's, else the only one."""
    fitting = [one for one in files if (split or "val") in one.stem] or ([] if split else files)
    if len(fitting) != 1:
        raise DatasetError(
            f"{root}: which of {', '.join(one.name for one in files) or 'no instances*.json'}? Give the file itself"
        )
    return fitting[0]


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{file}, line {error.lineno}: no JSON: {error.msg}") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(one), list) for one in parts):
        got = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise DatasetError(f"{file}: COCO's instances have the lists {', '.join(parts)}, got {got}")
    for image in content["images"]:
        if not isinstance(_of(image, "file_name", file, "images"), str):
            raise DatasetError(f"{file}: file_name is text, got {image['file_name']!r}")
    return content


def _of(entry: Any, key: str, file: Path, part: str) -> Any:
    """Give what an entry has to have: text or a number."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get(key), str | int):
        raise DatasetError(f"{file}: each of {part} has {key}, got {repr(entry)[:80]}")
    return entry[key]


def _grouped(
    annotations: Iterable[Any], images: Mapping[Any, Any], categories: Mapping[Any, str], file: Path
) -> dict[tuple[Any, Any], list[tuple[Box | None, Any]]]:
    """Gather the boxes and segments of each category in each image, in the order of the file."""
    things: dict[tuple[Any, Any], list[tuple[Box | None, Any]]] = defaultdict(list)
    for entry in annotations:
        image, category = (_of(entry, key, file, "annotations") for key in ("image_id", "category_id"))
        if image not in images or category not in categories:
            raise DatasetError(
                f"{file}: annotation {entry.get('id')} is of image {image} and category {category}: "
                "one of them is not in the file"
            )
        things[image, category].append((_box(entry, file), entry.get("segmentation")))
    return things


def _box(entry: Mapping[str, Any], file: Path) -> Box | None:
    """Give an annotation's box by its corners, None where it has none or one without area."""
    given = entry.get("bbox")
    if given is None:
        return None
    numbers = (
        isinstance(given, list)
        and len(given) == 4
        and all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in given)
    )
    if not numbers or min(given[2:]) < 0:
        raise DatasetError(f"{file}: bbox of annotation {entry.get('id')} is x, y, width, height, got {given!r}")
    x, y, width, height = map(float, given)
    return (x, y, x + width, y + height) if width > 0 and height > 0 else None


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    sides = image.get("width"), image.get("height")
    return sides if all(isinstance(one, int) and one > 0 for one in sides) else None  # type: ignore[return-value]


def _folder(file: Path, names: list[str]) -> Path:
    """Find the folder of images: the first of the usual ones that has the first image."""
    here, above = file.parent, file.parent.parent
    part = file.stem.removeprefix("instances_")
    folders = [here / "images", here, here / part, above / part, above / "images" / part, above / "images"]
    for folder in folders:
        if all((folder / name).is_file() for name in names):
            return folder
    raise DatasetError(f"{file}: its image {names[0]} is in none of {', '.join(map(str, folders))}")
