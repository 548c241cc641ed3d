"""Write the highlighted regions of a run in the formats of COCO, PASCAL VOC and labelme, and as masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from fusioncam.errors import require_known
from fusioncam.functional.polygons import Polygon, polygon_area, polygon_box
from fusioncam.functional.regions import Threshold
from fusioncam.report.annotations.bulk_regions import read_bulk_regions
from fusioncam.report.annotations.regions import AnnotatedImage, read_regions
from fusioncam.report.html.bulk_page import is_bulk
from fusioncam.utils.files import atomic_write, to_json, writable_folder, write_file

Written = list[Path]


def export_regions(
    folder: Path,
    out: Path,
    kind: str,
    *,
    threshold: Threshold = "otsu",
    pieces: str = "all",
    method: str | None = None,
) -> Written:
    """Write the regions of a folder of ``fusioncam explain``, also in bulk, in one of the ``FORMATS``.

    The files are written to ``out``, and their paths are returned.

    ``threshold`` is that of :meth:`fusioncam.Explanation.mask`, and ``pieces`` are "all" or the "largest" of each
    heatmap. ``method`` chooses one of several. Raises :class:`UnknownNameError` for another format, and the errors of
    :func:`fusioncam.report.annotations.regions.read_regions`.
    """
    require_known("format", kind, FORMATS)
    read = read_bulk_regions if is_bulk(folder) else read_regions
    images = read(folder, threshold, pieces, method)
    return FORMATS[kind](images, writable_folder(out))


def _coco(images: Iterable[AnnotatedImage], out: Path) -> Written:
    """Write ``instances.json``: an object with a polygon for each piece; its ``score`` is the class's probability."""
    listed: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for image in images:
        width, height = image.size
        listed.append({"id": len(listed) + 1, "file_name": image.path, "width": width, "height": height})
        for region in image.regions:
            category = categories.setdefault(region.label, len(categories) + 1)
            facts = {"image_id": len(listed), "category_id": category, "iscrowd": 0, "score": region.probability}
            objects += [
                {"id": len(objects) + number} | facts | _coco_shape(polygon)
                for number, polygon in enumerate(region.polygons, 1)
            ]
    named = [{"id": number, "name": name} for name, number in categories.items()]
    content = {"images": listed, "annotations": objects, "categories": named}
    return [write_file(out / "instances.json", to_json(content))]


def _coco_shape(polygon: Polygon) -> dict[str, Any]:
    left, top, right, bottom = polygon_box(polygon)
    box = [round(side, 2) for side in (left, top, right - left, bottom - top)]
    area = round(polygon_area(polygon), 2)
    return {"bbox": box, "area": area, "segmentation": [polygon.round(2).flatten().tolist()]}


def _voc(images: Iterable[AnnotatedImage], out: Path) -> Written:
    """Write an XML for each image, with a box for each piece; pixels are counted from 1, as in VOC."""
    return [
        write_file(out / f"{image.stem}.xml", ElementTree.tostring(_voc_tree(image), "utf-8", xml_declaration=True))
        for image in images
    ]


def _voc_tree(image: AnnotatedImage) -> ElementTree.Element:
    tree = ElementTree.Element("annotation")
    _add(tree, {"folder": Path(image.path).parent.name, "filename": Path(image.path).name, "path": image.path})
    size = ElementTree.SubElement(tree, "size")
    _add(size, {"width": image.size[0], "height": image.size[1], "depth": 3})
    for region in image.regions:
        for polygon in region.polygons:
            entry = ElementTree.SubElement(tree, "object")
            _add(entry, {"name": region.label, "pose": "Unspecified", "truncated": 0, "difficult": 0})
            left, top, right, bottom = polygon_box(polygon)
            corners = {"xmin": int(left) + 1, "ymin": int(top) + 1, "xmax": int(np.ceil(right))}
            _add(ElementTree.SubElement(entry, "bndbox"), corners | {"ymax": int(np.ceil(bottom))})
    ElementTree.indent(tree)
    return tree


def _add(parent: ElementTree.Element, texts: dict[str, Any]) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = str(text)


def _labelme(images: Iterable[AnnotatedImage], out: Path) -> Written:
    """Write a JSON for each image, with a polygon for each piece, which labelme opens with the image."""
    return [write_file(out / f"{image.stem}.json", to_json(_labelme_facts(image))) for image in images]


def _labelme_facts(image: AnnotatedImage) -> dict[str, Any]:
    shapes = [
        {
            "label": region.label,
            "points": polygon.round(2).tolist(),
            "group_id": None,
            "shape_type": "polygon",
            "flags": {},
        }
        for region in image.regions
        for polygon in region.polygons
    ]
    size = {"imageWidth": image.size[0], "imageHeight": image.size[1]}
    path = str(Path(image.path).absolute())
    return {"version": "5.0.0", "flags": {}, "shapes": shapes, "imagePath": path, "imageData": None} | size


def _masks(images: Iterable[AnnotatedImage], out: Path) -> Written:
    """Write a PNG for each image: 0 is no class, and 1, 2, ... are the lines of ``classes.txt``.

    Where regions overlap, the class of the higher probability remains. Classes have the colours of PASCAL VOC, so
    that the image can be looked at; its pixels are indices. With more than 255 classes it has 16 bits and no colours.
    """
    classes: dict[str, int] = {}
    written = []
    for image in images:
        mask = np.zeros(image.size[::-1], np.uint16)
        for region in sorted(image.regions, key=lambda one: one.probability):
            mask[region.mask(image.size)] = classes.setdefault(region.label, len(classes) + 1)
        values = Image.fromarray(mask if len(classes) > 255 else mask.astype(np.uint8))
        if values.mode == "L":
            values.putpalette(_palette())
        written.append(out / f"{image.stem}.png")
        with atomic_write(written[-1]) as file:
            values.save(file, "PNG")
    return [*written, write_file(out / "classes.txt", "".join(f"{name}\n" for name in classes).encode())]


def _palette() -> list[int]:
    """Return red, green and blue of 256 colours: bit 3 k + channel of an index is bit 7 - k of the channel.

    >>> _palette()[:9]
    [0, 0, 0, 128, 0, 0, 0, 128, 0]
    """
    colours = product(range(256), range(3))
    return [sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for index, channel in colours]


FORMATS: dict[str, Callable[[Iterable[AnnotatedImage], Path], Written]] = {
    "coco": _coco,
    "voc": _voc,
    "labelme": _labelme,
    "png-masks": _masks,
}
