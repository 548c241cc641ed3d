"""Boxes around what a heatmap highlights, and how well they fit the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..maps import over
from ..truth import components

# which of a heatmap's connected pieces have a box
PIECES = ("all", "largest")


def box_ious(heatmap: Tensor, boxes: Tensor, thresholds: Sequence[float], pieces: str) -> Tensor:
    """Give, for each threshold, the best IoU of the heatmap's boxes with the ``boxes`` ``(B, 4)``, as ``(T,)``.

    The heatmap's boxes are those of "all" its connected pieces, or of the "largest" one, by pixels; among equals of
    the first row by row. 0 where nothing is highlighted.
    """
    steps = torch.tensor(thresholds, device=heatmap.device, dtype=heatmap.dtype)
    masks = (heatmap > 0) & (heatmap >= over(steps, heatmap[None]) * heatmap.amax())
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


def max_box_acc(ious: Tensor, deltas: Sequence[float] = (0.3, 0.5, 0.7)) -> tuple[float, list[int]]:
    """Give MaxBoxAcc of a data set's rows of IoU by threshold ``(N, T)``, and which threshold each delta chose.

    For each delta the share of pictures that reach it, at the threshold where that share is largest. Of "all" pieces,
    the mean over the deltas is MaxBoxAccV2 (arXiv 2007.04178); of the "largest" with ``deltas=(0.5,)`` it is
    MaxBoxAcc (arXiv 2001.07437).

    >>> max_box_acc(torch.tensor([[0.6, 0.4], [0.2, 0.5], [0.1, 0.5]]), deltas=(0.5,))
    (0.6666666666666666, [1])
    """
    shares = reached(ious, deltas).double().mean(0)
    best, where = shares.max(0)
    return float(best.mean()), where.tolist()
