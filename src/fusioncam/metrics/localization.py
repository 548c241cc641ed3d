"""Does the heatmap lie where the object is: heatmaps against boxes and masks, no pass of the network.

Values are told by the order and the proportions of a heatmap alone: twice the heatmap has the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.data.ground_truth import REGIONS, Truth, require_truth
from fusioncam.errors import NonFiniteError, ShapeError, UnknownNameError, require_known
from fusioncam.functional.boxes import PIECES, THRESHOLDS, box_ious, reached
from fusioncam.functional.heatmaps import expand_like, precise
from fusioncam.methods.base import Method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class PointingGame:
    """Pointing game: does the highest pixel lie on the object (Zhang et al. 2018, arXiv 1608.00507).

    A hit is a maximum at most ``tolerance`` pixels from the object's nearest pixel, 15 in the paper. Of several
    maxima the value is the share that hits, so that a constant map scores what a random point would, where peers
    let it always hit. ``region`` says what the object is: its "mask", its "box", or the "finest" that is known.
    """

    family: ClassVar[str] = "localization"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 1608.00507"
    needs_truth: ClassVar[bool] = True
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "0"

    tolerance: float = 15
    region: str = "finest"

    def __post_init__(self) -> None:
        require_known("region", self.region, REGIONS)
        if not 0 <= self.tolerance < float("inf"):
            raise UnknownNameError(f"tolerance is a number of pixels from 0, got {self.tolerance!r}")

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the share of the maxima that hit ``(N,)``, in [0, 1]."""
        heatmaps, mask = heatmaps_and_region(heatmaps, truth, self, self.region)
        return pointing(heatmaps, dilate(mask, self.tolerance))


@dataclass(frozen=True)
class EnergyShare:
    """Energy-based pointing game: the share of a heatmap's sum that lies on the object (Wang et al. 2020, Score-CAM).

    arXiv 1910.01279. ``region`` is "box", as in the paper, or "mask". What is negative counts as 0. NaN for a
    heatmap without anything positive.
    """

    family: ClassVar[str] = "localization"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 1910.01279"
    needs_truth: ClassVar[bool] = True
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "0"

    region: str = "box"

    def __post_init__(self) -> None:
        require_known("region", self.region, REGIONS)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the shares ``(N,)`` in [0, 1]."""
        return energy_share(*heatmaps_and_region(heatmaps, truth, self, self.region))


@dataclass(frozen=True)
class IoU:
    """Intersection over union of the object and the pixels of at least ``threshold`` times the heatmap's maximum.

    ``threshold`` None takes the best one for each image, of all that tell its pixels apart: an upper bound that
    looks at the truth, no protocol that could be used without it. A pixel of 0 is never part of the heatmap's
    object. ``region`` is as in :class:`PointingGame`.
    """

    family: ClassVar[str] = "localization"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = ""
    needs_truth: ClassVar[bool] = True
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "0"

    threshold: float | None = 0.5
    region: str = "finest"

    def __post_init__(self) -> None:
        require_known("region", self.region, REGIONS)
        if self.threshold is not None:
            require_share("threshold", self.threshold)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the IoU ``(N,)`` in [0, 1]."""
        heatmaps, mask = heatmaps_and_region(heatmaps, truth, self, self.region)
        if self.threshold is None:
            return best_iou(heatmaps, mask)
        return iou(threshold_mask(heatmaps, self.threshold), mask, heatmaps.dtype)


@dataclass(frozen=True)
class BoxAccuracy:
    """Box accuracy: is the box around what the heatmap highlights right (Choe et al. 2020).

    arXiv 2001.07437 and 2007.04178, weakly supervised localization. The boxes of the connected pieces of the pixels
    of at least ``threshold`` times the heatmap's maximum are compared with each true box; the value is the share of
    ``deltas`` that the best IoU reaches, its mean over images a box accuracy. ``pieces`` is "all", as in the second
    paper, or "largest", as in the first. MaxBoxAcc chooses the threshold over the data set: :meth:`curve` has what an
    image reaches at each, and :func:`fusioncam.functional.boxes.max_box_acc` makes it of all images' curves.
    """

    family: ClassVar[str] = "localization"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2001.07437"
    needs_truth: ClassVar[bool] = True
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "0"

    threshold: float = 0.2
    deltas: tuple[float, ...] = (0.3, 0.5, 0.7)
    pieces: str = "all"

    def __post_init__(self) -> None:
        require_known("choice of pieces", self.pieces, PIECES)
        if not self.deltas:
            raise UnknownNameError("deltas are the IoUs to reach, at least one: got none")
        require_share("threshold", self.threshold)
        for delta in self.deltas:
            require_share("delta", delta)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the share of the deltas that are reached ``(N,)``."""
        ious = self.ious(heatmaps, truth, (self.threshold,))
        return reached(ious, self.deltas).to(precise(heatmaps).dtype).mean((1, 2))

    def curve(
        self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, truth: Truth | None = None
    ) -> Tensor:
        """Give the share of the deltas that are reached at each of ``THRESHOLDS``, ``(T, N)``."""
        ious = self.ious(heatmaps, truth, THRESHOLDS)
        return reached(ious, self.deltas).to(precise(heatmaps).dtype).mean(2).T

    def ious(self, heatmaps: Tensor, truth: Truth | None, thresholds: Sequence[float]) -> Tensor:
        """Give the best IoU of each image at each threshold ``(N, T)``."""
        heatmaps = checked(heatmaps)
        boxes = require_truth(truth, self, heatmaps).boxes(self)
        rows = [box_ious(one, box.to(one), thresholds, self.pieces) for one, box in zip(heatmaps, boxes, strict=True)]
        return torch.stack(rows)


# -- arithmetic ------------------------------------------------------------------------------------------------


def pointing(heatmaps: Tensor, near: Tensor) -> Tensor:
    """Give the share of each heatmap's maxima that lie in the masks ``near`` ``(N, *s)``.

    >>> pointing(torch.tensor([[0.2, 1.0, 1.0]]), torch.tensor([[True, True, False]])).tolist()
    [0.5]
    """
    flat = heatmaps.flatten(1)
    maxima = flat == flat.amax(1, keepdim=True)
    return (maxima & near.flatten(1)).sum(1).to(flat) / maxima.sum(1)


def dilate(masks: Tensor, distance: float) -> Tensor:
    """Add to the masks ``(N, *s)`` every pixel whose centre is at most ``distance`` from that of one in them.

    >>> dilate(torch.tensor([[True, False, False, False]]), 2).tolist()
    [[True, True, True, False]]
    """
    squared = torch.where(masks, 0.0, torch.inf).double()
    # side by side: the nearest of a plane is the nearest of the nearest of its rows
    for axis in range(1, masks.dim()):
        side = masks.shape[axis]
        nearest = squared.clone()
        for step in range(1, min(floor(distance), side - 1) + 1):
            low, high = nearest.narrow(axis, 0, side - step), nearest.narrow(axis, step, side - step)
            torch.minimum(low, squared.narrow(axis, step, side - step) + step**2, out=low)
            torch.minimum(high, squared.narrow(axis, 0, side - step) + step**2, out=high)
        squared = nearest
    return squared <= distance**2


def energy_share(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Give the share of each heatmap's positive sum that lies in its mask ``(N,)``, NaN where there is none.

    >>> energy_share(torch.tensor([[0.5, 1.0, 0.5]]), torch.tensor([[True, True, False]])).tolist()
    [0.75]
    """
    energy = heatmaps.clamp(min=0).flatten(1)
    return (energy * masks.flatten(1)).sum(1) / energy.sum(1)


def threshold_mask(heatmaps: Tensor, threshold: float) -> Tensor:
    """Mark the pixels above 0 that reach ``threshold`` times their heatmap's maximum ``(N, *s)``.

    >>> threshold_mask(torch.tensor([[0.0, 0.2, 0.4]]), 0.5).tolist()
    [[False, True, True]]
    """
    return (heatmaps > 0) & (heatmaps >= threshold * expand_like(heatmaps.flatten(1).amax(1), heatmaps))


def iou(first: Tensor, second: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Give intersection over union of masks ``(N, *s)`` as ``(N,)``; the second ones are not empty.

    >>> iou(torch.tensor([[True, True, False]]), torch.tensor([[False, True, True]])).tolist()
    [0.3333333432674408]
    """
    shared, joint = (first & second).flatten(1).sum(1), (first | second).flatten(1).sum(1)
    return shared.to(dtype) / joint


def best_iou(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Give the IoU ``(N,)`` at the best of all thresholds above 0, exactly.

    >>> best_iou(torch.tensor([[0.9, 0.5, 0.5, 0.1]]), torch.tensor([[True, True, True, False]])).tolist()
    [1.0]
    """
    values, order = heatmaps.flatten(1).sort(1, descending=True)
    hits = masks.flatten(1).gather(1, order).cumsum(1)
    taken = torch.arange(1, values.shape[1] + 1, device=values.device)
    ious = hits.to(values) / (taken + hits[:, -1:] - hits)
    # a threshold takes all pixels of one value or none
    whole = torch.ones_like(values, dtype=torch.bool)
    whole[:, :-1] = values[:, :-1] > values[:, 1:]
    return ious.where(whole & (values > 0), 0).amax(1)


# -- inside ----------------------------------------------------------------------------------------------------


def heatmaps_and_region(heatmaps: Tensor, truth: Truth | None, metric: object, region: str) -> tuple[Tensor, Tensor]:
    """Give the heatmaps ``(N, *s)`` in full precision and the truth's masks beside them."""
    heatmaps = checked(heatmaps)
    return heatmaps, require_truth(truth, metric, heatmaps).mask(metric, region).to(heatmaps.device)


def checked(heatmaps: Tensor) -> Tensor:
    """Give the heatmaps ``(N, *s)`` in full precision; raise if they are none."""
    if heatmaps.dim() < 2:
        raise ShapeError(f"expected heatmaps (N, H, W), got {tuple(heatmaps.shape)}: add heatmap[None]")
    if not heatmaps.isfinite().all():
        raise NonFiniteError("the heatmaps have NaN or infinity: nothing can be said of where they lie")
    return precise(heatmaps)


def require_share(name: str, value: object) -> None:
    """Raise :class:`UnknownNameError` unless the setting is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UnknownNameError(f"{name} is a share from 0 to 1, got {value!r}")
