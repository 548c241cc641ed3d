"""Samples of a data set: an image, its class, and the location of that class in the network's input."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

from torch import Tensor

from fusioncam.data.channels import OpenedImage
from fusioncam.data.datasets.annotations import Box, transform_annotations
from fusioncam.data.ground_truth import Truth
from fusioncam.data.images import ImageLike, open_with_channels
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import ImageError, TargetError
from fusioncam.utils.old_names import alias

# a callable opens an image that is not a file of its own
Source = ImageLike | Callable[[], ImageLike]


class Named(Protocol):
    """Anything with a name, which decides whether it is drawn."""

    @property
    def name(self) -> str:
        """A name that is the same on every machine."""


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Sample:
    """An image, its class, and the location of that class in it.

    The image is only opened by :meth:`open`.

    Args:
        name: the same on every machine: the path within the data set, plus a suffix where one image has several
            samples.
        image: a path, URL, image or array, or a callable that returns one.
        label: the class index; None if it is unknown, or if several classes of the network count as correct.
        classes: those of the network that count as correct, as for a COCO category.
        category: the name of the class in the data set.
        boxes: ``(x0, y0, x1, y1)`` of the category, in pixels of the annotated image.
        segments: COCO's polygons and run lengths of the category, in pixels of the annotated image.
        size: the (width, height) of the annotated image; None means that of the stored image.

    Examples:
        ```python
        from fusioncam.benchmark import benchmark
        from fusioncam.data.datasets import Sample

        samples = [Sample("cat", "cat.jpg", label=281, boxes=((90, 30, 440, 300),))]
        rows = benchmark(samples, out="cats/", methods=["grad-cam"], metrics=["pointing-game"])
        ```
    """

    name: str
    image: Source = field(repr=False)
    label: int | None = None
    classes: tuple[int, ...] = ()
    category: str | None = None
    boxes: tuple[Box, ...] = ()
    segments: tuple[Any, ...] = field(default=(), repr=False, hash=False)
    size: tuple[int, int] | None = None

    picture = alias("image")

    def open(self, channels: int = 3) -> OpenedImage:
        """Return the upright RGB image, or the image of so many channels; raise :class:`ImageError` if that fails.

        See :func:`fusioncam.data.images.open_with_channels`.
        """
        if not callable(self.image):
            return open_with_channels(self.image, channels)
        try:
            image = self.image()
        except ImageError:
            raise
        # ultralytics, once imported, lets PIL import a decoder for a file that it does not know
        except (OSError, SyntaxError, ValueError, ImportError) as error:
            raise ImageError(f"{self.name}: damaged or truncated: {error}") from None
        return open_with_channels(image, channels)

    def truth(self, preprocessing: Preprocessing) -> Truth | None:
        """Return the location of the class in the network's input, for this one image; None if it is not known.

        Boxes and masks are transformed as the image is: turned upright, resized and cropped; masks without smoothing.
        None is also returned for a class that is wholly outside the crop. Annotations are taken to be of the image as
        it is stored, as in COCO, unless the annotated ``size`` is that of the image turned upright by its EXIF
        orientation. They are scaled if the image was resized after it was annotated. Of an image of 1 or 3 channels
        only the header is read.

        Raises :class:`ImageError`, and :class:`DatasetError` for malformed segments.
        """
        if not self.boxes and not self.segments:
            return None
        channels = preprocessing.channels
        source = self.open(channels) if callable(self.image) or channels not in (1, 3) else self.image
        return transform_annotations(self.name, source, preprocessing, self.boxes, self.segments, self.size)

    def target(self, scores: Tensor) -> int:
        """Return the class to explain: the correct class with the highest score, or any class if none is known.

        ``scores`` is ``(classes,)``. Raises :class:`TargetError` for a class that the network does not have.
        """
        correct = self.classes or (() if self.label is None else (self.label,)) or range(len(scores))
        if max(correct) >= len(scores):
            raise TargetError(
                f"{self.name} has class {max(correct)}, but the network has {len(scores)} classes: check that the "
                "data set and the network have the same classes"
            )
        return max(correct, key=lambda index: float(scores[index]))


class Samples(Sequence[Sample]):
    """The samples of a data set in its order; each is made when it is indexed.

    ``names`` are known in advance. ``kind`` describes the kind of data set that was detected.
    """

    def __init__(self, kind: str, names: Iterable[str], make: Callable[[int], Sample]) -> None:
        self.kind = kind
        self.names = tuple(names)
        self._make = make

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Sample | Samples:
        """Return one sample, or a slice of them."""
        indices = range(len(self))[index]
        if isinstance(indices, int):
            return self._make(indices)
        return Samples(self.kind, (self.names[n] for n in indices), lambda n: self._make(indices[n]))

    def __repr__(self) -> str:
        return f"<{len(self)} samples: {self.kind}>"


def draw(samples: Sequence[T], limit: int | None = None, seed: int = 0) -> list[T]:
    """Return ``limit`` samples (None: all), drawn by their names and the seed, in the data set's order.

    The draw is the same on every machine, and a larger limit keeps the samples of a smaller one.
    """
    names = samples.names if isinstance(samples, Samples) else [sample.name for sample in samples]
    order = sorted(range(len(names)), key=lambda index: (_draw_key(names[index], seed), index))
    return [samples[index] for index in sorted(order[:limit])]


def _draw_key(name: str, seed: int) -> bytes:
    # some file systems store letters and their accents separately
    return hashlib.sha256(f"{seed}:{unicodedata.normalize('NFC', name)}".encode()).digest()


def name_of(path: Path, root: Path) -> str:
    """Return a file's path within the data set, with slashes; bytes that are not UTF-8 become escapes."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
