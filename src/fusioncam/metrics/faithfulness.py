"""Average drop, increase in confidence and average gain: the score of the image under its heatmap."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import SettingError, require_number
from fusioncam.functional.masks import FillSetting
from fusioncam.inference.cache import memoize_pass
from fusioncam.metrics.base import Metric
from fusioncam.metrics.masking import as_masks, pixel_order, target_classes, whole_scores
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target

# methods that choose or weight whole heatmaps by the score of the masked image, which these metrics measure
CHOOSERS = ("union-cam", "fusion-cam", "opti-cam", "meta-cam")


@dataclass(frozen=True)
class MaskedScoreMetric(Metric):
    """Base class of metrics that compare the score of the image with that of the image under its heatmap."""

    family: ClassVar[str] = "faithfulness"
    shares_objective: ClassVar[tuple[str, ...]] = CHOOSERS
    cost: ClassVar[MetricPasses] = MetricPasses(full=2)

    readout: str = "probability"
    classes: str = "target"
    fill: FillSetting = "mean"
    keep: float = 1
    ties: str = "first"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("keep", self.keep, 0, 1, above=True)
        require_number("epsilon", getattr(self, "epsilon", 0), 0)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Return the comparison of both scores ``(N,)``."""
        target = target_classes(model, x, target, self.classes)
        whole = whole_scores(model, x, target, self.readout)
        masks = masks_of(heatmaps, model, x, self.keep, self.ties, self.seed, self.resize)
        masked = masked_scores(model, x, masks, target, self.readout, self.fill)
        # a mask of ones shows the whole image: rounding may differ between the two passes
        return self.compare(whole, torch.where((masks == 1).flatten(1).all(1), whole, masked))

    @abstractmethod
    def compare(self, whole: Tensor, masked: Tensor) -> Tensor:
        """Return the value ``(N,)`` for the scores ``(N,)`` of the whole and the masked images."""


@dataclass(frozen=True)
class AverageDrop(MaskedScoreMetric):
    """Average drop: the share of the score that is lost when only what the heatmap shows is visible.

    ``max(0, s(x) - s(x H)) / (s(x) + epsilon)`` (Chattopadhyay et al. 2018, arXiv 1710.11063, section 4.1), a
    fraction whose mean over images is the average drop. ``readout`` and ``classes`` choose the score, ``fill`` is
    shown where the heatmap is 0. ``keep`` keeps only this share of the pixels, the highest ones, each with its value,
    so that wide heatmaps have no advantage: 0.5 in Score-CAM's paper (arXiv 1910.01279, section 4.2). ``ties``
    decides between equal pixels, see ``TIES``. NaN where ``s(x) + epsilon`` is not positive, as a logit may be.
    """

    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 1710.11063"

    epsilon: float = 0

    def compare(self, whole: Tensor, masked: Tensor) -> Tensor:
        """Return the lost fraction ``(N,)`` in [0, 1]."""
        return drop(whole, masked, self.epsilon)


@dataclass(frozen=True)
class IncreaseInConfidence(MaskedScoreMetric):
    """Increase in confidence: whether the score is higher when only what the heatmap shows is visible.

    1 where ``s(x H) > s(x)``, else 0 (Chattopadhyay et al. 2018, arXiv 1710.11063, section 4.1): a heatmap of ones is
    not an increase. The settings are those of :class:`AverageDrop`.
    """

    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 1710.11063"

    def compare(self, whole: Tensor, masked: Tensor) -> Tensor:
        """Return 1 for an increase and 0 otherwise ``(N,)``."""
        return increase(whole, masked)


@dataclass(frozen=True)
class AverageGain(MaskedScoreMetric):
    """Average gain: the share of the missing probability that is gained when only what the heatmap shows is visible.

    ``max(0, p(x H) - p(x)) / (1 - p(x) + epsilon)`` (Zhang et al. 2023, Opti-CAM, arXiv 2301.07002), the counterpart
    of the drop that measures how large the increase is. The settings are those of :class:`AverageDrop`, except that
    ``readout`` must be "probability": the gain of logits has no meaning. NaN where the probability is 1 and
    ``epsilon`` 0, because nothing is left to gain.
    """

    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2301.07002"

    epsilon: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.readout != "probability":
            raise SettingError(f"average gain needs readout='probability', got {self.readout!r}")

    def compare(self, whole: Tensor, masked: Tensor) -> Tensor:
        """Return the gained fraction ``(N,)`` in [0, 1]."""
        return gain(whole, masked, self.epsilon)


# -- arithmetic --------------------------------------------------------------------------------------------------


def drop(whole: Tensor, masked: Tensor, epsilon: float = 0) -> Tensor:
    """Return the fraction of each score ``(N,)`` that is lost; NaN where the whole score is not positive.

    >>> drop(torch.tensor([0.8, 0.5, 0.0]), torch.tensor([0.2, 0.9, 0.0])).tolist()
    [0.75, 0.0, nan]
    """
    total = whole + epsilon
    return ((whole - masked).clamp(min=0) / total).masked_fill(total <= 0, torch.nan)


def increase(whole: Tensor, masked: Tensor) -> Tensor:
    """Return 1 where the masked score ``(N,)`` is strictly higher than the whole one, and 0 elsewhere.

    >>> increase(torch.tensor([0.8, 0.5]), torch.tensor([0.8, 0.9])).tolist()
    [0.0, 1.0]
    """
    return (masked > whole).to(whole)


def gain(whole: Tensor, masked: Tensor, epsilon: float = 0) -> Tensor:
    """Return the fraction of the missing probability ``(N,)`` that is gained; NaN where none is missing.

    >>> gain(torch.tensor([0.75, 0.5, 1.0]), torch.tensor([1.0, 0.25, 1.0])).tolist()
    [1.0, 0.0, nan]
    """
    missing = 1 - whole + epsilon
    return ((masked - whole).clamp(min=0) / missing).masked_fill(missing <= 0, torch.nan)


def highest(heatmaps: Tensor, keep: float, ties: str = "first", seed: int = 0) -> Tensor:
    """Return heatmaps ``(N, *s)`` whose highest share of pixels is kept; the others are 0.

    >>> highest(torch.tensor([[0.1, 0.9, 0.5, 0.5]]), 0.5).tolist()
    [[0.0, 0.8999999761581421, 0.5, 0.0]]
    """
    if keep == 1:
        return heatmaps
    return torch.where(pixel_order(heatmaps, ties, seed) < round(keep * heatmaps[0].numel()), heatmaps, 0)


# -- what the metrics of one batch share -------------------------------------------------------------------------


@memoize_pass
def masks_of(
    heatmaps: Tensor, model: ExplainedModel, x: Tensor, keep: float, ties: str, seed: int, resize: str
) -> Tensor:
    """Return the masks ``(N, *s)`` in [0, 1]: the highest pixels of the heatmaps."""
    return highest(as_masks(heatmaps, model, x, resize), keep, ties, seed)


@memoize_pass
def masked_scores(
    model: ExplainedModel, x: Tensor, masks: Tensor, target: Target, readout: str, fill: FillSetting
) -> Tensor:
    """Return the scores ``(N,)`` of images under one mask each ``(N, *s)``."""
    return model.masked_scores(x, masks[None], target, readout=readout, fill=fill)[0]
