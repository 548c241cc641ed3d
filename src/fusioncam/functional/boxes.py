"""Boxes around what a heatmap highlights, and how well they fit the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from fusioncam.functional.heatmaps import expand_like
from fusioncam.utils.optional import extra

# which of a heatmap's connected pieces have a box
PIECES = ("all", "largest")
RESAMPLES = 999
# of a heatmap's maximum, at which MaxBoxAcc looks
THRESHOLDS = tuple(step / 100 for step in range(100))


@dataclass(frozen=True)
class MaxBoxAcc:
    """What a data set comes to: ``value``, with its 95 % interval, of each delta, and at which threshold's number."""

    value: float
    low: float
    high: float
    of_deltas: tuple[float, ...]
    thresholds: tuple[int, ...]


def box_ious(heatmap: Tensor, boxes: Tensor, thresholds: Sequence[float], pieces: str) -> Tensor:
    """Give, for each threshold, the best IoU of the heatmap's boxes with the ``boxes`` ``(B, 4)``, as ``(T,)``.

    The heatmap's boxes are those of "all" its connected pieces, or of the "largest" one, by pixels; among equals of
    the first row by row. 0 where nothing is highlighted.
    """
    steps = torch.tensor(thresholds, device=heatmap.device, dtype=heatmap.dtype)
    masks = (heatmap > 0) & (heatmap >= expand_like(steps, heatmap[None]) * heatmap.amax())
    which, found, pixels = components(masks)
    ious = heatmap.new_zeros(len(steps))
    for step in range(len(steps)):
        own = which == step
        if own.any():
            ours = found[own] if pieces == "all" else found[own][pixels[own].argmax()][None]
            ious[step] = of_boxes(ours.to(boxes), boxes).amax()
    return ious


def of_boxes(first: Tensor, second: Tensor) -> Tensor:
    """Give the IoU of each box ``(A, 4)`` with each of ``(B, 4)``, as ``(A, B)``.

    >>> of_boxes(torch.tensor([[0.0, 0, 2, 1]]), torch.tensor([[1.0, 0, 3, 1]])).tolist()
    [[0.3333333432674408]]
    """
    (low, high), (lower, higher) = (one.chunk(2, dim=1) for one in (first, second))
    shared = (high[:, None].minimum(higher) - low[:, None].maximum(lower)).clamp(min=0).prod(2)
    areas = (high - low).prod(1)[:, None] + (higher - lower).prod(1)
    return shared / (areas - shared)


def reached(ious: Tensor, deltas: Sequence[float]) -> Tensor:
    """Say which of the deltas the IoUs ``(N, T)`` reach, ``(N, T, D)``."""
    return ious[..., None] >= torch.tensor(deltas, dtype=ious.dtype, device=ious.device)


def max_box_acc(curves: ArrayLike, deltas: Sequence[float] = (0.3, 0.5, 0.7)) -> MaxBoxAcc:
    """Give MaxBoxAcc of a data set's curves of :class:`BoxAccuracy` ``(N, T)``, made with these deltas.

    For each delta the share of images that reach it, at the threshold where that share is largest. Of "all" pieces,
    the mean over the deltas is MaxBoxAccV2 (arXiv 2007.04178); of the "largest" with ``deltas=(0.5,)`` it is
    MaxBoxAcc (arXiv 2001.07437). The interval is the percentile bootstrap of ``RESAMPLES`` resamples of images, the
    thresholds chosen anew in each.

    >>> max_box_acc([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], deltas=(0.5,)).of_deltas
    (0.6666666666666666,)
    """
    shares = np.asarray(curves, np.float64)
    # whoever reaches a delta reaches the lower ones
    least = np.argsort(np.argsort(deltas)) + 1
    hits = shares[..., None] >= least / len(deltas) - 0.5 / len(deltas)
    rates = hits.mean(0)
    drawn = np.random.default_rng(0).multinomial(len(hits), np.full(len(hits), 1 / len(hits)), RESAMPLES)
    again = (np.tensordot(drawn, hits, 1) / len(hits)).max(1).mean(1)
    low, high = np.quantile(again, [0.025, 0.975])
    best = rates.max(0)
    return MaxBoxAcc(
        float(best.mean()), float(low), float(high), tuple(best.tolist()), tuple(rates.argmax(0).tolist())
    )


def rasterise(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Mark the pixels ``(*size)`` whose centre lies in any of the boxes ``(B, 4)``.

    A box between the centres marks the one pixel in which its own centre lies, so that no object is lost.

    >>> rasterise(torch.tensor([[0.4, 2.6]]), [4]).tolist()
    [True, True, True, False]
    """
    inside = torch.ones(len(boxes), *size, dtype=torch.bool, device=boxes.device)
    for axis, side in enumerate(size):
        low, high = boxes[:, len(size) - 1 - axis], boxes[:, 2 * len(size) - 1 - axis]
        pixel = torch.arange(side, device=boxes.device)
        within = (low[:, None] <= pixel + 0.5) & (pixel + 0.5 < high[:, None])
        within |= (pixel == ((low + high) / 2).floor()[:, None]) & ~within.any(1, keepdim=True)
        inside &= within.reshape(len(boxes), *[side if one == axis else 1 for one in range(len(size))])
    return inside.any(0)


def components(masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the connected pieces of masks ``(N, *s)``: their image ``(K,)``, box ``(K, 4)`` and pixels ``(K,)``.

    They are in the order of their first pixel, row by row. Neighbours across a corner are connected. Needs scipy, of
    the extra ``benchmark``.
    """
    image = extra("benchmark", "scipy.ndimage", "boxes around pieces")
    around = np.zeros((3,) * masks.dim(), dtype=bool)
    around[1] = True  # no neighbour lies in another image
    labels, count = image.label(masks.cpu().numpy(), around)
    places = image.find_objects(labels)
    sides = [place[:0:-1] for place in places]  # the last side first, the image left out
    boxes = [[edge.start for edge in one] + [edge.stop for edge in one] for one in sides]
    pixels = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return (
        torch.tensor([place[0].start for place in places], dtype=torch.long, device=masks.device),
        torch.tensor(boxes, dtype=torch.double, device=masks.device).reshape(count, 2 * (masks.dim() - 1)),
        torch.from_numpy(pixels).to(masks.device),
    )
