"""The ground truth of images: boxes, masks, or both, of the target class.

A box is ``x0, y0, x1, y1`` in pixels of the network's input. Coordinates are pixel edges: pixel ``j`` covers ``j`` to
``j + 1``. In general a box is its lower corner followed by its upper corner, each with the last side first:
``x0, x1`` for a signal, ``x0, y0, z0, x1, y1, z1`` for a volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusioncam.errors import MissingTruthError, SettingError, ShapeError, require_known
from fusioncam.functional.boxes import connected_components, rasterise

# "finest" is the mask of an image that has one, else its boxes
REGIONS = ("finest", "box", "mask")

Boxes = Tensor | Sequence[Sequence[float]]


class Truth:
    """Boxes and masks of the target class for ``N`` images of sides ``size``.

    ``boxes`` has one ``(B, 4)`` for each image and ``masks`` one boolean ``(H, W)``; None or an empty entry means
    that the image has none. Boxes are clipped to the image; boxes wholly outside of it, as after a crop, are dropped.

    Raises :class:`ShapeError` for boxes or masks of the wrong shape and for counts that differ, and
    :class:`SettingError` for boxes whose corners are swapped or not finite.
    """

    def __init__(
        self,
        size: Sequence[int],
        boxes: Sequence[Boxes | None] | None = None,
        masks: Tensor | Sequence[Tensor | None] | None = None,
    ) -> None:
        if boxes is None and masks is None:
            raise SettingError("a truth needs boxes, masks or both, got neither")
        counts = {len(given) for given in (boxes, masks) if given is not None}
        if len(counts) > 1:
            raise ShapeError(f"boxes and masks must be of the same images, got {sorted(counts)} of them")
        (count,) = counts
        self.size = tuple(size)
        boxes = [None] * count if boxes is None else boxes
        masks = [None] * count if masks is None else masks
        self._boxes = [_clipped_boxes(boxes_of_image, self.size, n) for n, boxes_of_image in enumerate(boxes)]
        self._masks = [_boolean_mask(mask, self.size, n) for n, mask in enumerate(masks)]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._boxes)

    def known(self, region: str = "finest") -> Tensor:
        """Return which images have a truth for the region, ``(N,)`` booleans."""
        require_known("region", region, REGIONS)
        pairs = zip(self._boxes, self._masks, strict=True)
        return torch.tensor([mask is not None or (region != "mask" and len(boxes) > 0) for boxes, mask in pairs])

    def boxes(self, metric: object) -> list[Tensor]:
        """Return each image's boxes ``(B, 4)``; for an image with only a mask, the bounding box of each component.

        One box per component, because a single box around two dogs in two corners would cover nearly the whole image.
        Raises :class:`MissingTruthError`, which names ``metric``, for an image with neither.
        """
        self._require("box", metric)
        pairs = zip(self._boxes, self._masks, strict=True)
        return [
            connected_components(mask[None])[1] if mask is not None and not len(boxes) else boxes
            for boxes, mask in pairs
        ]

    def mask(self, metric: object, region: str = "finest") -> Tensor:
        """Return the pixels of the truth, ``(N, *size)`` booleans; ``region`` is one of ``REGIONS``.

        Raises :class:`MissingTruthError`, which names ``metric``, for an image without a truth for the region.
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
                "leave out the images for which Truth.known is False, or the metric"
            )


def require_truth(truth: Truth | None, metric: object, heatmaps: Tensor) -> Truth:
    """Return the truth; raise an error if it is missing or does not match the heatmaps ``(N, *s)``.

    Raises :class:`MissingTruthError`, and :class:`ShapeError` for another number of images or other sides.
    """
    if truth is None:
        raise MissingTruthError(f"{metric!r} needs the location of the target class: pass truth=Truth(size, boxes)")
    shape = (len(truth), *truth.size)
    if shape != tuple(heatmaps.shape):
        raise ShapeError(f"truth and heatmaps must have one shape, got {shape} and {tuple(heatmaps.shape)}")
    return truth


def _clipped_boxes(boxes: Boxes | None, size: tuple[int, ...], image: int) -> Tensor:
    """Check one image's boxes and clip them to the image."""
    corners = 2 * len(size)
    given = torch.as_tensor([] if boxes is None else boxes).double()
    given = given.reshape(0, corners) if given.numel() == 0 else given
    if given.dim() != 2 or given.shape[1] != corners:
        raise ShapeError(f"boxes of image {image} must be (B, {corners}), got {tuple(given.shape)}")
    low, high = given[:, : len(size)], given[:, len(size) :]
    invalid = ~(given.isfinite().all(1) & (low < high).all(1))
    if invalid.any():
        raise SettingError(
            "the first corner of a box must lie before the second on every side (x0 < x1, y0 < y1) and all must be "
            f"finite, got {given[invalid][0].tolist()} for image {image}; convert x, y, width, height to x, y, "
            "x + width, y + height"
        )
    edge = given.new_tensor(size[::-1])
    low, high = low.clamp(min=0).minimum(edge), high.clamp(min=0).minimum(edge)
    return torch.cat([low, high], 1)[(low < high).all(1)]


def _boolean_mask(mask: Tensor | None, size: tuple[int, ...], image: int) -> Tensor | None:
    """Check one image's mask; return None for an empty one."""
    if mask is None:
        return None
    if tuple(mask.shape) != size or mask.is_floating_point():
        raise ShapeError(f"the mask of image {image} must be boolean {size}, got {mask.dtype} {tuple(mask.shape)}")
    return mask != 0 if mask.any() else None
