"""What the network thinks of the image seen through its heatmap: drop, increase and gain of the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.errors import UnknownNameError
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import Method
from fusioncam.metrics.base import (
    as_masks,
    pixel_order,
    require_between,
    require_protocol,
    target_classes,
    whole_scores,
)
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target

# methods that choose or weigh whole maps by the score of the image seen through them, as is measured here
CHOOSERS = ("union-cam", "fusion-cam", "opti-cam", "meta-cam")


@dataclass(frozen=True)
class AverageDrop:
    """Average drop: the share of the score that is lost when only what the heatmap shows is seen.

    ``max(0, s(x) - s(x H)) / (s(x) + epsilon)`` (Chattopadhyay et al. 2018, arXiv 1710.11063, section 4.1), a
    fraction, its mean over images the average drop. ``readout`` and ``classes`` say which score is measured,
    ``fill`` what shows where the heatmap is 0. ``keep`` shows only so large a share of the pixels, the highest, each
    with its value, so that wide maps have no advantage: 0.5 in Score-CAM's paper (arXiv 1910.01279, section 4.2).
    Between equal pixels ``ties`` decides, see ``TIES``. NaN where ``s(x) + epsilon`` is not above 0, as a logit may
    be.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 1710.11063"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = CHOOSERS
    cost: ClassVar[str] = "1 + 1"

    readout: str = "probability"
    classes: str = "target"
    fill: str = "mean"
    keep: float = 1
    ties: str = "first"
    seed: int = 0
    resize: str = "linear"
    epsilon: float = 0

    def __post_init__(self) -> None:
        require_masking(self)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the fraction that is lost ``(N,)`` in [0, 1]."""
        return drop(*both_scores(self, model, x, target, heatmaps), self.epsilon)


@dataclass(frozen=True)
class IncreaseInConfidence:
    """Increase in confidence: is the score higher when only what the heatmap shows is seen.

    1 where ``s(x H) > s(x)``, else 0 (Chattopadhyay et al. 2018, arXiv 1710.11063, section 4.1): all ones is no
    increase. The settings are those of :class:`AverageDrop`.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 1710.11063"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = CHOOSERS
    cost: ClassVar[str] = "1 + 1"

    readout: str = "probability"
    classes: str = "target"
    fill: str = "mean"
    keep: float = 1
    ties: str = "first"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        require_masking(self)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give 1 for an increase and 0 for none ``(N,)``."""
        return increase(*both_scores(self, model, x, target, heatmaps))


@dataclass(frozen=True)
class AverageGain:
    """Average gain: the share of the missing probability that is won when only what the heatmap shows is seen.

    ``max(0, p(x H) - p(x)) / (1 - p(x) + epsilon)`` (Zhang et al. 2023, Opti-CAM, arXiv 2301.07002), the counterpart
    of the drop that says how much the increase is. The settings are those of :class:`AverageDrop`; of logits it would
    mean nothing. NaN where the probability is 1 and ``epsilon`` 0: nothing is left to win.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2301.07002"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = CHOOSERS
    cost: ClassVar[str] = "1 + 1"

    readout: str = "probability"
    classes: str = "target"
    fill: str = "mean"
    keep: float = 1
    ties: str = "first"
    seed: int = 0
    resize: str = "linear"
    epsilon: float = 0

    def __post_init__(self) -> None:
        require_masking(self)
        if self.readout != "probability":
            raise UnknownNameError(f"average gain is of probabilities, got readout {self.readout!r}")

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the fraction that is won ``(N,)`` in [0, 1]."""
        return gain(*both_scores(self, model, x, target, heatmaps), self.epsilon)


# -- arithmetic ------------------------------------------------------------------------------------------------


def drop(whole: Tensor, seen: Tensor, epsilon: float = 0) -> Tensor:
    """Give the fraction of each score ``(N,)`` that is lost; NaN where that score is not above 0.

    >>> drop(torch.tensor([0.8, 0.5, 0.0]), torch.tensor([0.2, 0.9, 0.0])).tolist()
    [0.75, 0.0, nan]
    """
    total = whole + epsilon
    return ((whole - seen).clamp(min=0) / total).masked_fill(total <= 0, torch.nan)


def increase(whole: Tensor, seen: Tensor) -> Tensor:
    """Give 1 where the score ``(N,)`` is higher than the whole image's, strictly, and 0 elsewhere.

    >>> increase(torch.tensor([0.8, 0.5]), torch.tensor([0.8, 0.9])).tolist()
    [0.0, 1.0]
    """
    return (seen > whole).to(whole)


def gain(whole: Tensor, seen: Tensor, epsilon: float = 0) -> Tensor:
    """Give the fraction of the missing probability ``(N,)`` that is won; NaN where none is missing.

    >>> gain(torch.tensor([0.75, 0.5, 1.0]), torch.tensor([1.0, 0.25, 1.0])).tolist()
    [1.0, 0.0, nan]
    """
    missing = 1 - whole + epsilon
    return ((seen - whole).clamp(min=0) / missing).masked_fill(missing <= 0, torch.nan)


def highest(maps: Tensor, keep: float, ties: str = "first", seed: int = 0) -> Tensor:
    """Keep the highest share of each map's pixels ``(N, *s)``; the others become 0.

    >>> highest(torch.tensor([[0.1, 0.9, 0.5, 0.5]]), 0.5).tolist()
    [[0.0, 0.8999999761581421, 0.5, 0.0]]
    """
    if keep == 1:
        return maps
    return torch.where(pixel_order(maps, ties, seed) < round(keep * maps[0].numel()), maps, 0)


# -- inside ----------------------------------------------------------------------------------------------------


def both_scores(
    metric: AverageDrop | IncreaseInConfidence | AverageGain,
    model: ExplainedModel,
    x: Tensor,
    target: Target,
    heatmaps: Tensor,
) -> tuple[Tensor, Tensor]:
    """Give the scores ``(N,)`` of the whole images and of what is seen of them through the heatmaps."""
    target = target_classes(model, x, target, metric.classes)
    whole = whole_scores(model, x, target, metric.readout)
    shown = seen_through(heatmaps, model, x, metric.keep, metric.ties, metric.seed, metric.resize)
    seen = seen_scores(model, x, shown, target, metric.readout, metric.fill)
    # a mask of ones is the whole image, whatever the rounding of two passes says
    return whole, torch.where((shown == 1).flatten(1).all(1), whole, seen)


@memoize_pass
def seen_through(
    heatmaps: Tensor, model: ExplainedModel, x: Tensor, keep: float, ties: str, seed: int, resize: str
) -> Tensor:
    """Give the masks ``(N, *s)`` that the highest pixels of the heatmaps make."""
    return highest(as_masks(heatmaps, model, x, resize), keep, ties, seed)


@memoize_pass
def seen_scores(model: ExplainedModel, x: Tensor, masks: Tensor, target: Target, readout: str, fill: str) -> Tensor:
    """Give the scores ``(N,)`` of images under one mask each ``(N, *s)``."""
    return model.masked_scores(x, masks[None], target, readout=readout, fill=fill)[0]


def require_masking(metric: AverageDrop | IncreaseInConfidence | AverageGain) -> None:
    """Raise :class:`UnknownNameError` for a wrong setting."""
    require_protocol(metric)
    require_between("keep", metric.keep, 0, 1, least=False)
    require_between("epsilon", getattr(metric, "epsilon", 0), 0, float("inf"))
