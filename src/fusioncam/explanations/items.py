"""The images of a call, one at a time: files, arrays, and the images of a DataLoader's batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fusioncam.data.images import ImageLike
from fusioncam.errors import InputTypeError, ShapeError

# a batch (N, C, H, W) of network inputs, alone or with the labels of its images, as a DataLoader yields it
Batch = Tensor | Sequence[Any] | Mapping[str, Any]
_IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x")
_LABEL_KEYS = ("label", "labels", "target", "targets", "y")


@dataclass(frozen=True, eq=False)
class Item:
    """One image of a call: its position, and its label if it is of a batch with labels.

    ``is_input`` means that the image is a network's input ``(C, H, W)``, as it is in a batch.
    """

    image: ImageLike
    number: int = 0
    label: object = None
    is_input: bool = False

    @property
    def name(self) -> str:
        """The image's path, or the name of its type if it does not come from a file."""
        return name_of(self.image)


def name_of(image: ImageLike) -> str:
    """Return an image's path, or the name of its type if it does not come from a file."""
    meta = getattr(image, "meta", None)  # of MONAI's tensors
    known = meta.get("filename_or_obj") if isinstance(meta, Mapping) else getattr(image, "filename", None)
    path = image if isinstance(image, (str, Path)) else known
    return str(path or type(image).__name__.lower())


def items_of(images: Iterable[ImageLike | Batch], sides: int = 2) -> Iterator[Item]:
    """Yield the images one by one; a batch ``(N, C, *s)``, alone or with labels, is N network inputs.

    ``sides`` is the number of sides of an input: 3 of a volume.

    Raises :class:`InputTypeError` for a tuple or mapping that holds no batch, and :class:`ShapeError` for another
    number of labels than of images.
    """
    number = 0
    for one in images:
        found = _parts_of(one, sides)
        if found is None:
            yield Item(one, number)  # type: ignore[arg-type] # what is no image raises an error when it is opened
            number += 1
            continue
        batch, labels = found
        if labels is not None and len(labels) != len(batch):
            raise ShapeError(f"a batch of {len(batch)} images has {len(labels)} labels: give one for each image")
        for index, row in enumerate(batch):
            yield Item(row, number, None if labels is None else labels[index], is_input=True)
            number += 1


def _parts_of(one: object, sides: int) -> tuple[Tensor, Any] | None:
    """Return a batch and its labels, or None for a single image."""
    labels: Any = None
    batch = one
    if isinstance(one, Mapping):
        batch, labels = (next((one[key] for key in keys if key in one), None) for keys in (_IMAGE_KEYS, _LABEL_KEYS))
    elif isinstance(one, (tuple, list)):
        batch, labels = (*one, None, None)[:2]
    if isinstance(batch, np.ndarray | Tensor) and batch.ndim == sides + 2:
        return (batch if isinstance(batch, Tensor) else Tensor(batch)), labels
    if batch is not one:
        keys = f"the keys {', '.join(map(str, one))}" if isinstance(one, Mapping) else f"{type(batch).__name__}"
        raise InputTypeError(
            f"expected an image, or a batch (N, C, H, W) with labels as a DataLoader yields it, got a "
            f"{type(one).__name__} of {keys}: pass tensors (N, C, H, W), (tensors, labels), or a dict with 'image'"
        )
    return None
