"""Where the target class is in each image: boxes, masks, or both.

A box is ``x0, y0, x1, y1`` in pixels of the network's input, edges: pixel ``j`` reaches from ``j`` to ``j + 1``. In
general it is the lower corner and then the upper one, each with the last side first: ``x0, x1`` of a signal,
``x0, y0, z0, x1, y1, z1`` of a volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusioncam.errors import MissingTruthError, ShapeError, require_known
from fusioncam.functional.boxes import components, rasterise

# where the truth lies: in the boxes, in the mask, or in the mask where one is known and else in the boxes
REGIONS = ("finest", "box", "mask")


class Truth:
    """Boxes and masks of the target class for ``N`` images of sides ``size``.

    ``boxes`` has one ``(B, 4)`` for each image, ``masks`` one boolean ``(H, W)``; None or nothing in it says that
    an image's are not known. Boxes that reach beyond the image are cut off, those wholly outside (as after a
    crop) are left out. Raises :class:`ShapeError` for boxes that are none, and for counts and sides that differ.
    """

    def __init__(
        self,
        size: Sequence[int],
        boxes: Sequence[Tensor | Sequence[Sequence[float]] | None] | None = None,
        masks: Tensor | Sequence[Tensor | None] | None = None,
    ) -> None:
        if boxes is None and masks is None:
            raise ShapeError("a truth has boxes, masks or both: got neither")
        counts = {len(given) for given in (boxes, masks) if given is not None}
        if len(counts) > 1:
            raise ShapeError(f"boxes and masks are of the same images, got {sorted(counts)} of them")
        (count,) = counts
        self.size = tuple(size)
        self._boxes = [_boxes_in(one, self.size, n) for n, one in enumerate(boxes or [None] * count)]
        self._masks = [
            _mask_of(one, self.size, n) for n, one in enumerate([None] * count if masks is None else masks)
        ]

    def __len__(self) -> int:
        """The number of images."""
        return len(self._boxes)

    def known(self, region: str = "finest") -> Tensor:
        """Say which images have such a truth, ``(N,)`` booleans."""
        require_known("region", region, REGIONS)
        pairs = zip(self._boxes, self._masks, strict=True)
        return torch.tensor([mask is not None or (region != "mask" and len(boxes) > 0) for boxes, mask in pairs])

    def boxes(self, metric: object) -> list[Tensor]:
        """Give each image's boxes ``(B, 4)``; where only a mask is known, the box of each of its pieces.

        Pieces rather than the whole: two dogs in two corners have no box that is nearly the image. Raises
        :class:`MissingTruthError` in the name of ``metric`` where there is neither.
        """
        self._require("box", metric)
        pairs = zip(self._boxes, self._masks, strict=True)
        return [components(mask[None])[1] if mask is not None and not len(boxes) else boxes for boxes, mask in pairs]

    def mask(self, metric: object, region: str = "finest") -> Tensor:
        """Give where the truth lies, ``(N, *size)`` booleans; ``region`` is one of ``REGIONS``.

        Raises :class:`MissingTruthError` in the name of ``metric`` for an image that has no such truth.
        """
        self._require(region, metric)
        if region == "box":
            return torch.stack([rasterise(boxes, self.size) for boxes in self.boxes(metric)])
        pairs = zip(self._boxes, self._masks, strict=True)
        return torch.stack([rasterise(boxes, self.size) if mask is None else mask for boxes, mask in pairs])

    def _require(self, region: str, metric: object) -> None:
        missing = (~self.known(region)).nonzero()[:, 0].tolist()
        if missing:
            need = "a mask" if region == "mask" else "boxes or a mask"
            raise MissingTruthError(
                f"{metric!r} needs {need} of the target class, and image {missing[0]} of {len(self)} has none: "
                "leave out the images that Truth.known does not name, or the metric"
            )


def required(truth: Truth | None, metric: object, heatmaps: Tensor) -> Truth:
    """Hand on the truth if it is there and of as many images of the same sides as the heatmaps ``(N, *s)``."""
    if truth is None:
        raise MissingTruthError(f"{metric!r} needs to know where the target class is: say truth=Truth(size, boxes)")
    if (len(truth), *truth.size) != tuple(heatmaps.shape):
        raise ShapeError(f"heatmaps {tuple(heatmaps.shape)}, truth of {(len(truth), *truth.size)}: both of one input")
    return truth


def _boxes_in(boxes: Tensor | Sequence[Sequence[float]] | None, size: tuple[int, ...], image: int) -> Tensor:
    """Check one image's boxes and cut them at its borders."""
    corners = 2 * len(size)
    given = torch.as_tensor([] if boxes is None else boxes).double()
    given = given.reshape(0, corners) if given.numel() == 0 else given
    if given.dim() != 2 or given.shape[1] != corners:
        raise ShapeError(f"boxes of image {image} are (B, {corners}), got {tuple(given.shape)}")
    low, high = given[:, : len(size)], given[:, len(size) :]
    wrong = ~(given.isfinite().all(1) & (low < high).all(1))
    if wrong.any():
        raise ShapeError(
            f"image {image} has the box {given[wrong][0].tolist()}: the first corner lies before the second in "
            "every side (x0 < x1, y0 < y1), all of them finite; of x, y, width, height make x, y, x + w, y + h"
        )
    edge = given.new_tensor(size[::-1])
    low, high = low.clamp(min=0).minimum(edge), high.clamp(min=0).minimum(edge)
    return torch.cat([low, high], 1)[(low < high).all(1)]


def _mask_of(mask: Tensor | None, size: tuple[int, ...], image: int) -> Tensor | None:
    """Check one image's mask; an empty one tells as much as none."""
    if mask is None:
        return None
    if tuple(mask.shape) != size or mask.is_floating_point():
        raise ShapeError(f"the mask of image {image} is boolean {size}, got {mask.dtype} {tuple(mask.shape)}")
    return mask != 0 if mask.any() else None
