"""Boxes around the highlighted regions of a heatmap, and their overlap with the true boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.functional.heatmaps import expand_like
from fusioncam.functional.regions import Threshold, highlighted
from fusioncam.utils.optional import extra

Box = tuple[float, float, float, float]
# which of a heatmap's connected components get a box
PIECES = ("all", "largest")
RESAMPLES = 999
# fractions of a heatmap's maximum that MaxBoxAcc tries
THRESHOLDS = tuple(step / 100 for step in range(100))


@dataclass(frozen=True)
class MaxBoxAcc:
    """MaxBoxAcc of a data set: ``value`` with its 95 % interval, and the value and threshold index of each delta."""

    value: float
    low: float
    high: float
    of_deltas: tuple[float, ...]
    thresholds: tuple[int, ...]


def best_ious(heatmap: Tensor, boxes: Tensor, thresholds: Sequence[float], pieces: str) -> Tensor:
    """Return, for each threshold, the best IoU of the heatmap's boxes with the ``boxes`` ``(B, 4)``, as ``(T,)``.

    The heatmap's boxes are those of "all" its connected components, or of the "largest" one by pixels; of equally
    large ones, of the first in row order. The IoU is 0 where nothing is highlighted.
    """
    fractions = torch.tensor(thresholds, device=heatmap.device, dtype=heatmap.dtype)
    masks = (heatmap > 0) & (heatmap >= expand_like(fractions, heatmap[None]) * heatmap.amax())
    step_of, found, pixels = connected_components(masks)
    ious = heatmap.new_zeros(len(fractions))
    for step in range(len(fractions)):
        selected = step_of == step
        if selected.any():
            largest = pixels[selected].argmax()
            candidates = found[selected] if pieces == "all" else found[selected][largest][None]
            ious[step] = box_iou(candidates.to(boxes), boxes).amax()
    return ious


def heatmap_boxes(heatmap: Tensor, threshold: Threshold = "otsu", pieces: str = "all") -> list[Box]:
    """Return the boxes (left, top, right, bottom) of the highlighted pieces of a heatmap ``(H, W)``.

    ``threshold`` is that of :func:`fusioncam.functional.regions.threshold_of`. ``pieces`` are "all" connected
    components, or the "largest" one by pixels. Raises :class:`UnknownNameError` for other pieces.
    """
    require_known("pieces", pieces, PIECES)
    region = torch.from_numpy(highlighted(heatmap.numpy(), threshold))
    _, found, pixels = connected_components(region[None])
    chosen = found if pieces == "all" or not len(found) else found[pixels.argmax()][None]
    return [(box[0], box[1], box[2], box[3]) for box in chosen.tolist()]


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of each box ``(A, 4)`` with each of ``(B, 4)``, as ``(A, B)``.

    >>> box_iou(torch.tensor([[0.0, 0, 2, 1]]), torch.tensor([[1.0, 0, 3, 1]])).tolist()
    [[0.3333333432674408]]
    """
    (first_low, first_high), (second_low, second_high) = (boxes.chunk(2, dim=1) for boxes in (first, second))
    sides = first_high[:, None].minimum(second_high) - first_low[:, None].maximum(second_low)
    intersection = sides.clamp(min=0).prod(2)
    areas = (first_high - first_low).prod(1)[:, None] + (second_high - second_low).prod(1)
    return intersection / (areas - intersection)


def reaches(ious: Tensor, deltas: Sequence[float]) -> Tensor:
    """Return whether the IoUs ``(N, T)`` reach each of the deltas, ``(N, T, D)``."""
    return ious[..., None] >= torch.tensor(deltas, dtype=ious.dtype, device=ious.device)


def max_box_acc(curves: ArrayLike, deltas: Sequence[float] = (0.3, 0.5, 0.7)) -> MaxBoxAcc:
    """Compute MaxBoxAcc from a data set's curves of :class:`BoxAccuracy` ``(N, T)``, made with these deltas.

    For each delta it is the share of images that reach it, at the threshold where this share is largest. With "all"
    pieces, the mean over the deltas is MaxBoxAccV2 (arXiv 2007.04178); with the "largest" and ``deltas=(0.5,)`` it is
    MaxBoxAcc (arXiv 2001.07437). The interval is the percentile bootstrap of ``RESAMPLES`` resamples of images, with
    the thresholds chosen again in each.

    >>> max_box_acc([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], deltas=(0.5,)).of_deltas
    (0.6666666666666666,)
    """
    shares = np.asarray(curves, np.float64)
    # an image that reaches a delta also reaches the lower ones
    rank = np.argsort(np.argsort(deltas)) + 1
    hits = shares[..., None] >= rank / len(deltas) - 0.5 / len(deltas)
    rates = hits.mean(0)
    counts = np.random.default_rng(0).multinomial(len(hits), np.full(len(hits), 1 / len(hits)), RESAMPLES)
    resampled = (np.tensordot(counts, hits, 1) / len(hits)).max(1).mean(1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    best = rates.max(0)
    return MaxBoxAcc(
        float(best.mean()), float(low), float(high), tuple(best.tolist()), tuple(rates.argmax(0).tolist())
    )


def rasterise(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Return a mask ``(*size)`` of the pixels whose centre lies in any of the boxes ``(B, 4)``.

    A box between the centres marks the one pixel that contains the box's own centre, so that no object is lost.

    >>> rasterise(torch.tensor([[0.4, 2.6]]), [4]).tolist()
    [True, True, True, False]
    """
    inside = torch.ones(len(boxes), *size, dtype=torch.bool, device=boxes.device)
    for axis, side in enumerate(size):
        low, high = boxes[:, len(size) - 1 - axis], boxes[:, 2 * len(size) - 1 - axis]
        pixel = torch.arange(side, device=boxes.device)
        within = (low[:, None] <= pixel + 0.5) & (pixel + 0.5 < high[:, None])
        within |= (pixel == ((low + high) / 2).floor()[:, None]) & ~within.any(1, keepdim=True)
        inside &= within.reshape(len(boxes), *[side if other == axis else 1 for other in range(len(size))])
    return inside.any(0)


def connected_components(masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the connected components of masks ``(N, *s)``: their image ``(K,)``, box ``(K, 4)`` and pixels ``(K,)``.

    They are ordered by their first pixel in row order. Pixels that share only a corner are connected. Needs scipy,
    of the extra ``benchmark``.
    """
    image = extra("benchmark", "scipy.ndimage", "boxes around pieces")
    structure = np.zeros((3,) * masks.dim(), dtype=bool)
    structure[1] = True  # pixels of different images are not connected
    labels, count = image.label(masks.cpu().numpy(), structure)
    slices = image.find_objects(labels)
    sides = [component[:0:-1] for component in slices]  # the last axis first, without the axis of images
    boxes = [[edge.start for edge in edges] + [edge.stop for edge in edges] for edges in sides]
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return (
        torch.tensor([component[0].start for component in slices], dtype=torch.long, device=masks.device),
        torch.tensor(boxes, dtype=torch.double, device=masks.device).reshape(count, 2 * (masks.dim() - 1)),
        torch.from_numpy(pixels).to(masks.device),
    )
