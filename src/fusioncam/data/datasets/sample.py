"""An image of a data set, what is known of it, and where that is in a network's input."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from PIL import Image
from torch import Tensor

from fusioncam.data.datasets.annotations import Box, transform_annotations
from fusioncam.data.ground_truth import Truth
from fusioncam.data.images import ImageLike, open_image
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import ImageError, TargetError

# a callable opens an image that is no file of its own
Source = ImageLike | Callable[[], Image.Image]


@dataclass(frozen=True)
class Sample:
    """An image, its class, and where that class is in it.

    ``name`` is the same on every machine: the path within the data set, with what tells samples of one image apart.
    ``label`` is the class index, None where it is unknown or where several ``classes`` of the network count as right,
    as those of a COCO category do. ``boxes`` are ``x0, y0, x1, y1`` and ``segments`` COCO's polygons and run lengths,
    all of the ``category``, in pixels of the annotated image of ``size`` (width, height), None: as stored.

    The image is opened by :meth:`open` and no sooner.
    """

    name: str
    image: Source = field(repr=False)
    label: int | None = None
    classes: tuple[int, ...] = ()
    category: str | None = None
    boxes: tuple[Box, ...] = ()
    segments: tuple[Any, ...] = field(default=(), repr=False, hash=False)
    size: tuple[int, int] | None = None

    def open(self) -> Image.Image:
        """Give the upright RGB image; raises :class:`ImageError`."""
        if not callable(self.image):
            return open_image(self.image)
        try:
            image = self.image()
        except ImageError:
            raise
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"{self.name}: damaged or cut off: {error}") from None
        return open_image(image)

    def truth(self, preprocessing: Preprocessing) -> Truth | None:
        """Give where the class is in the network's input, for this one image; None where nothing is known or seen.

        Boxes and masks take the way of the image: turned upright, resized, cropped; masks without smoothing. A
        class that is wholly outside the crop is not seen. Boxes and masks are taken for those of the image as it
        is stored, as COCO's are, unless the annotated ``size`` is that of the image turned upright by its EXIF
        entry. An image that was made larger or smaller since is followed. Of the image the header is read.

        Raises :class:`ImageError`, and :class:`DatasetError` for segments that are none.
        """
        if not self.boxes and not self.segments:
            return None
        source = self.open() if callable(self.image) else self.image
        return transform_annotations(self.name, source, preprocessing, self.boxes, self.segments, self.size)

    def target(self, scores: Tensor) -> int:
        """Give the class to explain: of the right ones, or of all where none is known, the one of the highest score.

        ``scores`` is ``(classes,)``. Raises :class:`TargetError` for a class that the network does not have.
        """
        right = self.classes or (() if self.label is None else (self.label,)) or range(len(scores))
        if max(right) >= len(scores):
            raise TargetError(
                f"{self.name} is of class {max(right)}, and the network has {len(scores)}: is it of these classes?"
            )
        return max(right, key=lambda one: float(scores[one]))


class Samples(Sequence[Sample]):
    """The samples of a data set in their order, each made when it is asked for.

    ``names`` are known without that; ``kind`` says in words what the data set was taken for.
    """

    def __init__(self, kind: str, names: Iterable[str], make: Callable[[int], Sample]) -> None:
        self.kind = kind
        self.names = tuple(names)
        self._make = make

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Sample | Samples:
        """Give one sample, or some."""
        places = range(len(self))[index]
        if isinstance(places, int):
            return self._make(places)
        return Samples(self.kind, (self.names[one] for one in places), lambda one: self._make(places[one]))

    def __repr__(self) -> str:
        return f"<{len(self)} samples: {self.kind}>"


def draw(samples: Sequence[Sample], limit: int | None = None, seed: int = 0) -> list[Sample]:
    """Give ``limit`` samples (None: all), drawn by their names and the seed, in the data set's order.

    The same ones on every machine, and for a larger limit those and more.
    """
    names = samples.names if isinstance(samples, Samples) else [one.name for one in samples]
    order = sorted(range(len(names)), key=lambda one: (_lot(names[one], seed), one))
    return [samples[one] for one in sorted(order[:limit])]


def _lot(name: str, seed: int) -> bytes:
    # some file systems take letters with accents apart
    return hashlib.sha256(f"{seed}:{unicodedata.normalize('NFC', name)}".encode()).digest()


def name_of(path: Path, root: Path) -> str:
    """Give a file's path within the data set, with slashes; bytes that are no text as escapes."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
