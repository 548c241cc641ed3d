"""Heatmaps as masks, and the scores of images under masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusioncam.errors import SettingError, ShapeError
from fusioncam.functional.heatmaps import expand_like, precise
from fusioncam.inference.cache import memoize_pass
from fusioncam.metrics.base import RESIZES
from fusioncam.model.arguments import predicted_classes
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


def resized_heatmaps(heatmaps: Tensor, model: ExplainedModel, x: Tensor, resize: str = "linear") -> Tensor:
    """Return heatmaps ``(N, *s)`` in full precision, at the size of the images, on the device of the network.

    Raises :class:`ShapeError` unless there is one heatmap for each image, with as many sides.
    """
    if heatmaps.dim() != x.dim() - 1 or len(heatmaps) != len(x):
        size = (len(x), *x.shape[2:])
        raise ShapeError(
            f"heatmaps of x {tuple(x.shape)} must have shape {size} or be coarser, got {tuple(heatmaps.shape)}"
        )
    values = precise(heatmaps.detach().to(model.device))
    return values if values.shape[1:] == x.shape[2:] else RESIZES[resize](values, x.shape[2:])


def as_masks(heatmaps: Tensor, model: ExplainedModel, x: Tensor, resize: str = "linear") -> Tensor:
    """Return heatmaps as :func:`resized_heatmaps` does; raise :class:`SettingError` unless they are in [0, 1]."""
    masks = resized_heatmaps(heatmaps, model, x, resize)
    low, high = masks.amin(), masks.amax()
    if low < -1e-3 or high > 1 + 1e-3:
        raise SettingError(
            f"heatmaps used as masks must be in [0, 1], got {low:.3g} to {high:.3g}: rescale them with "
            "functional.heatmaps.minmax"
        )
    return masks.clamp(0, 1)


def target_classes(model: ExplainedModel, x: Tensor, target: Target, classes: str) -> Target:
    """Return the classes whose scores are measured ``(N,)``: the targets, or the predicted classes."""
    return target if classes == "target" else predicted_classes(model, x)


@memoize_pass
def whole_scores(model: ExplainedModel, x: Tensor, target: Target, readout: str) -> Tensor:
    """Return the scores ``(N,)`` of the unmasked images.

    They are computed as those of masked images are, under masks of ones: a strict ``>`` compares the two.
    """
    ones = torch.ones((1, len(x), *x.shape[2:]), device=model.device)
    return model.masked_scores(x, ones, target, readout=readout)[0]


# -- pixels in order ---------------------------------------------------------------------------------------------


def pixel_order(heatmaps: Tensor, ties: str = "first", seed: int = 0) -> Tensor:
    """Return the rank of each pixel of heatmaps ``(N, *s)``, from 0 for the highest; each rank occurs once.

    ``ties`` decides between equal pixels, see ``TIES``.

    >>> pixel_order(torch.tensor([[0.0, 0.9, 0.0, 0.3]])).tolist()
    [[2, 0, 3, 1]]
    """
    values = heatmaps.flatten(1)
    indices = torch.arange(values.shape[1], device=values.device)
    # a stable sort keeps equal pixels in the order in which they are listed
    listed = indices.flip(0) if ties == "last" else indices
    if ties == "random":
        listed = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed)).to(values.device)
    order = listed[values[:, listed].argsort(dim=1, descending=True, stable=ties != "any")]
    ranks = indices.int().expand_as(order)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, ranks).reshape(heatmaps.shape)


class RankMasks:
    """Masks ``(M, N, *s)`` by the rank of each pixel ``(N, *s)``: mask ``m`` shows the ranks below ``counts[m]``.

    With ``hide`` it hides them instead. Masks are computed when they are indexed: see
    :mod:`fusioncam.functional.masks`.
    """

    def __init__(self, ranks: Tensor, counts: Sequence[int], *, hide: bool = False) -> None:
        self.shape = (len(counts), *ranks.shape)
        self._ranks, self._hide = ranks, hide
        self._counts = torch.tensor(counts, dtype=ranks.dtype, device=ranks.device)

    def __getitem__(self, index: tuple[Tensor, Tensor]) -> Tensor:
        mask, image = index
        ranks, counts = self._ranks[image], self._counts[mask]
        return ranks >= expand_like(counts, ranks) if self._hide else ranks < expand_like(counts, ranks)
