"""The images of an audit: those of a data set, each with its classes and the location of its objects."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fusioncam.audit.plan import AuditPlan
from fusioncam.audit.text_like import text_mask
from fusioncam.benchmark.evaluator import count_classes
from fusioncam.bulk.storage import FoundImage
from fusioncam.data.channels import OpenedImage
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.data.datasets.sample import Sample, Source, draw
from fusioncam.data.images import open_image, with_name
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import DatasetError, ImageError, MissingTruthError
from fusioncam.model.explained_model import ExplainedModel

_MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class DataImage(FoundImage):
    """An image of a data set, under the name that it has there."""

    source: Source = field(default="", repr=False)

    def open(self, channels: int = 3) -> OpenedImage:
        """Return the upright RGB image, or that of so many channels, with its name as ``filename``."""
        return with_name(Sample(self.name, self.source).open(channels), self.name)


@dataclass(frozen=True)
class LabelledImage:
    """An image with its samples: one, or one for each category that is marked in it."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def image(self) -> DataImage:
        """The image without its labels, which a worker opens."""
        return DataImage("", self.name, self.name, self.samples[0].image)

    @property
    def categories(self) -> list[str]:
        """The names of its classes in the data set."""
        return [sample.category for sample in self.samples if sample.category]

    def is_right(self, target: int) -> bool | None:
        """Return whether a class is one of the image's; None if these are unknown."""
        known = [index for sample in self.samples for index in _classes_of(sample)]
        return target in known if known else None

    def mask(self, target: int, preprocessing: Preprocessing) -> Tensor | None:
        """Return the location of the objects of a class in the network's input, ``(H, W)`` booleans.

        If the image has none of the class, all its objects count. None means that no location is known.
        """
        own = [sample for sample in self.samples if target in _classes_of(sample)] or self.samples
        truths = [sample.truth(preprocessing) for sample in own]
        masks = [truth.mask("audit")[0] for truth in truths if truth is not None]
        return torch.stack(masks).any(0) if masks else None


def _classes_of(sample: Sample) -> tuple[int, ...]:
    return sample.classes or (() if sample.label is None else (sample.label,))


@dataclass(frozen=True)
class AuditImages:
    """The images of an audit in the order of the data set; ``kind`` describes the data set."""

    images: Sequence[LabelledImage]
    kind: str
    preprocessing: Preprocessing
    masks: Path | None = None

    @classmethod
    def of(cls, plan: AuditPlan, model: ExplainedModel) -> AuditImages:
        """Open the data set of a plan.

        Raises :class:`DatasetError` for a path without a data set, and for masks that do not exist.
        """
        found = cls.reopened(plan, model.preprocessing, model.labels, count_classes(model))
        found.require_masks()
        return found

    @classmethod
    def reopened(
        cls, plan: AuditPlan, preprocessing: Preprocessing, labels: Sequence[str] | None, classes: int | None
    ) -> AuditImages:
        """Open the data set of a plan for a network of these class names and this number of classes."""
        samples = open_dataset(plan.data, class_map=plan.class_map, labels=labels, classes=classes)
        masks = None if plan.masks is None else Path(plan.masks)
        return cls(draw(_grouped(samples), plan.limit), samples.kind, preprocessing, masks)

    @cached_property
    def by_name(self) -> dict[str, LabelledImage]:
        """The images by their names."""
        return {image.name: image for image in self.images}

    @property
    def has_labels(self) -> bool:
        """Whether the class of any image is known."""
        return any(_classes_of(sample) for image in self.images for sample in image.samples)

    @property
    def has_truth(self) -> bool:
        """Whether the location of any object is known."""
        return self.masks is not None or any(
            sample.boxes or sample.segments for image in self.images for sample in image.samples
        )

    def truth(self, name: str, target: int, size: tuple[int, int]) -> Tensor | None:
        """Return the location of the object in the network's input ``(H, W)``; None if it is unknown.

        ``size`` is the (width, height) of the upright image. Raises :class:`DatasetError` for a mask of other
        proportions.
        """
        if self.masks is None:
            return self.by_name[name].mask(target, self.preprocessing)
        path = self.mask_path(name)
        return None if path is None else _read_mask(path, size, self.preprocessing)

    def text(self, name: str) -> Tensor | None:
        """Return the text-like regions in the network's input, ``(H, W)``; None if they are unknown."""
        try:
            image = self.by_name[name].image.open()
        except ImageError:
            return None
        if not isinstance(image, Image.Image):  # it has more than three channels
            return None
        mask = Image.fromarray(text_mask(image).astype(np.uint8) * 255)
        return _placed(mask, image.size, self.preprocessing)

    def mask_path(self, name: str) -> Path | None:
        """Return the mask of an image: a file of its name, also with another ending; None if there is none."""
        assert self.masks is not None
        stem = str(PurePosixPath(name).with_suffix(""))
        paths = (self.masks / f"{stem}{suffix}" for suffix in (PurePosixPath(name).suffix, *_MASK_SUFFIXES))
        return next((path for path in paths if path.is_file()), None)

    @cached_property
    def without_mask(self) -> int:
        """The number of images without a mask in the folder of masks."""
        return sum(self.mask_path(image.name) is None for image in self.images)

    def require_masks(self) -> None:
        """Raise :class:`DatasetError` if there is a folder of masks in which no image has one."""
        if self.masks is None:
            return
        if not self.masks.is_dir():
            raise DatasetError(f"{self.masks}: no such folder of masks")
        if self.without_mask == len(self.images):
            first = PurePosixPath(self.images[0].name).with_suffix(".png")
            raise MissingTruthError(
                f"{self.masks}: no image of the data set has a mask there: a mask is an image of the same name, such "
                f"as {self.masks / first}, that is not black where the object is"
            )


def _grouped(samples: Sequence[Sample]) -> list[LabelledImage]:
    """Return the samples grouped by their image; COCO has a sample for each category in an image."""
    groups: dict[Hashable, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[_key(sample.image)].append(sample)
    return [LabelledImage(_name_of(group[0]), tuple(group)) for group in groups.values()]


def _key(source: Source | Callable[[], Image.Image]) -> Hashable:
    return source if isinstance(source, (str, Path)) or callable(source) else id(source)


def _name_of(sample: Sample) -> str:
    """Return the name of a sample without its category."""
    return sample.name.removesuffix(f"#{sample.category}") if sample.category else sample.name


def _read_mask(path: Path, size: tuple[int, int], preprocessing: Preprocessing) -> Tensor | None:
    """Return a mask in the network's input ``(H, W)``; None if nothing of the object is there."""
    mask = open_image(path).convert("L")
    if not math.isclose(mask.width * size[1], mask.height * size[0], rel_tol=0.02):
        raise DatasetError(
            f"{path}: the mask has {mask.width} x {mask.height} pixels, and its image {size[0]} x {size[1]}: store "
            "masks of whole images"
        )
    placed = _placed(mask, size, preprocessing)
    return placed if placed.any() else None


def _placed(mask: Image.Image, size: tuple[int, int], preprocessing: Preprocessing) -> Tensor:
    """Return the mask of an image of this (width, height) in the network's input, ``(H, W)`` booleans."""
    (columns, rows, left, top), (height, width) = preprocessing.window(size), preprocessing.size
    resized = mask.resize((columns, rows), Image.Resampling.NEAREST)
    return torch.from_numpy(np.asarray(resized.crop((left, top, left + width, top + height))) > 0)
