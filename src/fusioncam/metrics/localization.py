"""Localization: heatmaps compared with boxes and masks of the object, without a forward pass.

The values depend only on the order and the proportions of a heatmap: scaling a heatmap does not change them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fusioncam.data.ground_truth import Truth, require_truth
from fusioncam.errors import SettingError, require_known, require_number
from fusioncam.functional.boxes import PIECES, THRESHOLDS, best_ious, reaches
from fusioncam.functional.heatmaps import expand_like, precise
from fusioncam.metrics.base import Metric, require_heatmaps
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target
from fusioncam.utils.optional import extra


@dataclass(frozen=True)
class LocalizationMetric(Metric):
    """Base class of metrics that compare heatmaps with the true location of the object."""

    family: ClassVar[str] = "localization"
    higher_is_better: ClassVar[bool] = True
    needs_truth: ClassVar[bool] = True
    cost: ClassVar[MetricPasses] = MetricPasses()

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, truth: Truth) -> Tensor:
        """Return the agreement ``(N,)`` of the heatmaps with the truth."""
        return self.agreement(precise(heatmaps), truth)

    @abstractmethod
    def agreement(self, heatmaps: Tensor, truth: Truth) -> Tensor:
        """Return the value ``(N,)`` of heatmaps ``(N, *s)`` in full precision."""


@dataclass(frozen=True)
class PointingGame(LocalizationMetric):
    """Pointing game: whether the highest pixel lies on the object (Zhang et al. 2018, arXiv 1608.00507).

    A hit is a maximum at most ``tolerance`` pixels from the nearest pixel of the object, 15 in the paper. If a
    heatmap has several maxima, the value is the share of them that hit: a constant heatmap scores like a random
    point, where other libraries count it as a hit. ``region`` is where the object is: its "mask", its "box", or the
    "finest" that is known. Needs scipy, of the extra ``benchmark``.
    """

    paper: ClassVar[str] = "arXiv 1608.00507"

    tolerance: float = 15
    region: str = "finest"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("tolerance", self.tolerance, 0)

    def agreement(self, heatmaps: Tensor, truth: Truth) -> Tensor:
        """Return the share of the maxima that hit ``(N,)``, in [0, 1]."""
        near = dilate(truth.mask(self, self.region), self.tolerance)
        return pointing(heatmaps, near.to(heatmaps.device))


@dataclass(frozen=True)
class EnergyShare(LocalizationMetric):
    """Energy-based pointing game: the share of the heatmap's sum that lies on the object (Wang et al. 2020).

    Score-CAM, arXiv 1910.01279. ``region`` is "box", as in the paper, "mask", or "finest". Negative pixels count as
    0. Energy rewards contrast: the square of a heatmap mostly has more of it. NaN for a heatmap without positive
    pixels.
    """

    paper: ClassVar[str] = "arXiv 1910.01279"

    region: str = "box"

    def agreement(self, heatmaps: Tensor, truth: Truth) -> Tensor:
        """Return the shares ``(N,)`` in [0, 1]."""
        return energy_share(heatmaps, truth.mask(self, self.region).to(heatmaps.device))


@dataclass(frozen=True)
class IoU(LocalizationMetric):
    """Intersection over union of the object and the pixels of at least ``threshold`` times the heatmap's maximum.

    ``threshold`` None takes the best threshold for each image: an upper bound that uses the truth, not a protocol
    that works without it. Pixels of 0 never belong to the heatmap's region. ``region`` is as in
    :class:`PointingGame`.
    """

    threshold: float | None = 0.5
    region: str = "finest"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is not None:
            require_number("threshold", self.threshold, 0, 1)

    def agreement(self, heatmaps: Tensor, truth: Truth) -> Tensor:
        """Return the IoU ``(N,)`` in [0, 1]."""
        mask = truth.mask(self, self.region).to(heatmaps.device)
        if self.threshold is None:
            return best_iou(heatmaps, mask)
        return iou(threshold_mask(heatmaps, self.threshold), mask, heatmaps.dtype)


@dataclass(frozen=True)
class BoxAccuracy(LocalizationMetric):
    """Box accuracy: whether the box around the highlighted pixels is right (Choe et al. 2020).

    arXiv 2001.07437 and 2007.04178, weakly supervised localization. The highlighted pixels are those of at least
    ``threshold`` times the heatmap's maximum. The boxes of their connected components are compared with each true
    box; the value is the share of ``deltas`` that the best IoU reaches, and its mean over images is a box accuracy.
    ``pieces`` is "all" components, as in the second paper, or the "largest", as in the first. MaxBoxAcc chooses the
    threshold over the data set: :meth:`curve` returns the value of each image at each threshold, and
    :func:`fusioncam.functional.boxes.max_box_acc` computes MaxBoxAcc from the curves of all images. Needs scipy, of
    the extra ``benchmark``.
    """

    paper: ClassVar[str] = "arXiv 2001.07437"

    threshold: float = 0.2
    deltas: tuple[float, ...] = (0.3, 0.5, 0.7)
    pieces: str = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("choice of pieces", self.pieces, PIECES)
        if not self.deltas:
            raise SettingError(f"deltas must contain at least one IoU, got {self.deltas!r}")
        require_number("threshold", self.threshold, 0, 1)
        for delta in self.deltas:
            require_number("delta", delta, 0, 1)

    def agreement(self, heatmaps: Tensor, truth: Truth) -> Tensor:
        """Return the share of the deltas that are reached ``(N,)``."""
        ious = self.ious(heatmaps, truth, (self.threshold,))
        return reaches(ious, self.deltas).to(heatmaps.dtype).mean((1, 2))

    def curve(
        self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, truth: Truth | None = None
    ) -> Tensor:
        """Return the share of the deltas that are reached at each of ``THRESHOLDS``, ``(T, N)``."""
        require_heatmaps(heatmaps)
        ious = self.ious(heatmaps, require_truth(truth, self, heatmaps), THRESHOLDS)
        return reaches(ious, self.deltas).to(precise(heatmaps).dtype).mean(2).T

    def ious(self, heatmaps: Tensor, truth: Truth, thresholds: Sequence[float]) -> Tensor:
        """Return the best IoU of each image at each threshold ``(N, T)``."""
        pairs = zip(precise(heatmaps), truth.boxes(self), strict=True)
        return torch.stack(
            [best_ious(heatmap, boxes.to(heatmap), thresholds, self.pieces) for heatmap, boxes in pairs]
        )


# -- arithmetic --------------------------------------------------------------------------------------------------


def pointing(heatmaps: Tensor, near: Tensor) -> Tensor:
    """Return the share of each heatmap's maxima that lie in the masks ``near`` ``(N, *s)``.

    >>> pointing(torch.tensor([[0.2, 1.0, 1.0]]), torch.tensor([[True, True, False]])).tolist()
    [0.5]
    """
    flat = heatmaps.flatten(1)
    maxima = flat == flat.amax(1, keepdim=True)
    return (maxima & near.flatten(1)).sum(1).to(flat) / maxima.sum(1)


def dilate(masks: Tensor, distance: float) -> Tensor:
    """Return non-empty masks ``(N, *s)`` with all pixels added that are at most ``distance`` from the mask.

    Distances are Euclidean, between the centres of pixels. Needs scipy, of the extra ``benchmark``.

    >>> dilate(torch.tensor([[True, False, False, False]]), 2).tolist()
    [[True, True, True, False]]
    """
    scipy = extra("benchmark", "scipy.ndimage", "distances to objects")
    distances = [scipy.distance_transform_edt(~mask) for mask in masks.numpy()]
    return torch.from_numpy(np.stack(distances) <= distance)


def energy_share(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each heatmap's positive sum that lies in its mask ``(N,)``; NaN if that sum is 0.

    >>> energy_share(torch.tensor([[0.5, 1.0, 0.5]]), torch.tensor([[True, True, False]])).tolist()
    [0.75]
    """
    energy = heatmaps.clamp(min=0).flatten(1)
    return (energy * masks.flatten(1)).sum(1) / energy.sum(1)


def threshold_mask(heatmaps: Tensor, threshold: float) -> Tensor:
    """Return where heatmaps ``(N, *s)`` are positive and reach ``threshold`` times their maximum.

    >>> threshold_mask(torch.tensor([[0.0, 0.2, 0.4]]), 0.5).tolist()
    [[False, True, True]]
    """
    return (heatmaps > 0) & (heatmaps >= threshold * expand_like(heatmaps.flatten(1).amax(1), heatmaps))


def iou(first: Tensor, second: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the intersection over union of masks ``(N, *s)`` as ``(N,)``; the second masks must not be empty.

    >>> iou(torch.tensor([[True, True, False]]), torch.tensor([[False, True, True]])).tolist()
    [0.3333333432674408]
    """
    shared, joint = (first & second).flatten(1).sum(1), (first | second).flatten(1).sum(1)
    return shared.to(dtype) / joint


def best_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Return the exact IoU ``(N,)`` at the best of all thresholds above 0.

    >>> best_iou(torch.tensor([[0.9, 0.5, 0.5, 0.1]]), torch.tensor([[True, True, True, False]])).tolist()
    [1.0]
    """
    values, order = heatmaps.flatten(1).sort(1, descending=True)
    hits = masks.flatten(1).gather(1, order).cumsum(1)
    taken = torch.arange(1, values.shape[1] + 1, device=values.device)
    ious = hits.to(values) / (taken + hits[:, -1:] - hits)
    # a threshold takes all pixels of one value or none
    last_of_value = torch.ones_like(values, dtype=torch.bool)
    last_of_value[:, :-1] = values[:, :-1] > values[:, 1:]
    return ious.where(last_of_value & (values > 0), 0).amax(1)
