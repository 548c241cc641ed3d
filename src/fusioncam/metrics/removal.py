"""Pixel removal and ROAD: the loss of score as pixels are removed, the most or the least relevant first.

Only the order of the pixels counts, so heatmaps may have any range. Exactly the requested share of pixels is removed,
also for heatmaps with many equal pixels. Other libraries remove all pixels at a threshold together: a heatmap that is
0 in three quarters of its pixels then loses the whole image at once. Equal pixels are removed in random order by
default, because row by row the zeros of a heatmap would disappear from the top of the image down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import SettingError, require_count, require_number
from fusioncam.functional.imputation import Imputation
from fusioncam.functional.masks import FILLS, Fill, FillSetting
from fusioncam.metrics.base import CurveMetric
from fusioncam.metrics.masking import RankMasks, pixel_order, resized_heatmaps, target_classes
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target


@dataclass(frozen=True)
class RemovalMetric(CurveMetric):
    """Base class of MoRF and LeRF: the mean loss of score while pixels are removed step by step."""

    family: ClassVar[str] = "faithfulness"
    paper: ClassVar[str] = "arXiv 1509.06321"
    readouts: ClassVar[tuple[str, ...]] = (*READOUTS, "top-1")
    fills: ClassVar[tuple[str, ...]] = (*FILLS, "linear")
    sign: ClassVar[int]  # 1 removes the highest pixels first, -1 the lowest

    readout: str = "probability"
    classes: str = "target"
    fill: FillSetting = "mean"
    noise: float = 0.01
    steps: int = 10
    upto: float = 1
    ties: str = "random"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("steps", self.steps)
        require_number("upto", self.upto, 0, 1, above=True)
        require_number("noise", self.noise, 0)

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image."""
        return MetricPasses(self.steps + 1)

    def points(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Compute the score after each step ``(steps + 1, N)``."""
        relevance = self.sign * resized_heatmaps(heatmaps, model, x, self.resize)
        return scores_after_removal(self, model, x, target, relevance, self.shares(x).tolist())

    def shares(self, x: Tensor) -> Tensor:
        """Return the share of removed pixels after each step ``(steps + 1,)``."""
        return torch.linspace(0, self.upto, self.steps + 1, dtype=torch.float64)

    def summary(self, curve: Tensor, shares: Tensor) -> Tensor:
        """Return the mean loss of score ``(N,)``; of probabilities in [-1, 1]."""
        return mean_drop(curve)


@dataclass(frozen=True)
class MoRF(RemovalMetric):
    """Pixel removal, most relevant first: the mean loss of score (Samek et al. 2017).

    The area over the perturbation curve of arXiv 1509.06321, for one image: the mean of ``s(x) - s(x_k)`` over the
    steps, including the first one, at which nothing is removed. ``upto`` is the share of pixels removed at the last
    step. ``fill`` shows where pixels are removed: one of ``FILLS``, or "linear" for the imputation of ROAD with
    ``noise``, see :class:`fusioncam.functional.imputation.Imputation`. ``readout`` and ``classes`` choose the score;
    "top-1" is 1 where the class has the highest score, so that :meth:`curve` is the accuracy of ROAD's paper.
    ``ties`` decides which of equal pixels comes first: see ``TIES``.
    """

    higher_is_better: ClassVar[bool] = True
    sign: ClassVar[int] = 1


@dataclass(frozen=True)
class LeRF(RemovalMetric):
    """Pixel removal, least relevant first: the mean loss of score.

    :class:`MoRF` in the opposite order, so that a good heatmap loses little. Equal pixels follow the same rule.
    """

    higher_is_better: ClassVar[bool] = False
    sign: ClassVar[int] = -1


@dataclass(frozen=True)
class ROAD(CurveMetric):
    """ROAD: the score without the least relevant pixels minus that without the most relevant ones (Rong et al. 2022).

    arXiv 2202.00449. Both orders are combined as pytorch-grad-cam does, ``(LeRF - MoRF) / 2``, averaged over the
    ``removed`` shares of pixels. Removed pixels are imputed, so that neither their colour nor the shape of the
    removed region carries information: ``noise`` is that of :class:`fusioncam.functional.imputation.Imputation`. The
    other settings are those of :class:`MoRF`.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2202.00449"
    readouts: ClassVar[tuple[str, ...]] = RemovalMetric.readouts
    fills: ClassVar[tuple[str, ...]] = RemovalMetric.fills

    readout: str = "probability"
    classes: str = "target"
    fill: FillSetting = "linear"
    noise: float = 0.01
    removed: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    ties: str = "random"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("noise", self.noise, 0)
        if not self.removed:
            raise SettingError(f"removed must contain at least one share of pixels, got {self.removed!r}")
        for share in self.removed:
            require_number("removed", share, 0, 1)

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image."""
        return MetricPasses(2 * len(self.removed))

    def points(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Compute half of the difference for each share ``(len(removed), N)``."""
        without_most, without_least = self.curves(model, x, target, heatmaps).unbind(0)
        return (without_least - without_most) / 2

    def curves(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Return the scores without the most and without the least relevant pixels ``(2, len(removed), N)``."""
        relevance = resized_heatmaps(heatmaps, model, x, self.resize)
        scores = [
            scores_after_removal(self, model, x, target, order, self.removed) for order in (relevance, -relevance)
        ]
        return torch.stack(scores)

    def shares(self, x: Tensor) -> Tensor:
        """Return the shares of removed pixels ``(len(removed),)``."""
        return torch.tensor(self.removed, dtype=torch.float64)

    def summary(self, curve: Tensor, shares: Tensor) -> Tensor:
        """Return half of the mean difference ``(N,)``; of probabilities in [-0.5, 0.5]."""
        return curve.mean(0)


def mean_drop(curve: Tensor) -> Tensor:
    """Return how far curves ``(steps + 1, N)`` lie below their first point on average ``(N,)``.

    >>> mean_drop(torch.tensor([[1.0], [0.5], [0.0]])).tolist()
    [0.5]
    """
    return curve[0] - curve.mean(0)


def scores_after_removal(
    metric: RemovalMetric | ROAD,
    model: ExplainedModel,
    x: Tensor,
    target: Target,
    relevance: Tensor,
    shares: Sequence[float],
) -> Tensor:
    """Return the scores ``(S, N)`` without each share of the pixels, those with the highest ``relevance`` first."""
    ranks = pixel_order(relevance, metric.ties, metric.seed)
    masks = RankMasks(ranks, [round(share * ranks[0].numel()) for share in shares], hide=True)
    target = target_classes(model, x, target, metric.classes)
    fill = fill_of(metric.fill, metric.noise, metric.seed)
    return model.masked_scores(x, masks, target, readout=metric.readout, fill=fill)


def fill_of(fill: FillSetting, noise: float, seed: int) -> Fill:
    """Return the fill of a metric's settings; "linear" is the imputation of ROAD."""
    return Imputation(noise, seed) if fill == "linear" else fill
