"""Insertion and deletion: the score as pixels appear or disappear in the order of the heatmap.

Only the order of the pixels counts, so heatmaps may have any range. All masked passes of a curve run in batches
together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_count, require_number
from fusioncam.functional.heatmaps import precise
from fusioncam.functional.masks import FillSetting, gaussian_blur
from fusioncam.metrics.base import CurveMetric
from fusioncam.metrics.masking import RankMasks, pixel_order, resized_heatmaps, target_classes
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class AreaMetric(CurveMetric):
    """Base class of insertion and deletion: the area under the score over the share of changed pixels."""

    family: ClassVar[str] = "faithfulness"
    paper: ClassVar[str] = "arXiv 1806.07421"
    hide: ClassVar[bool]  # whether pixels disappear

    readout: str = "probability"
    classes: str = "target"
    fill: FillSetting = "mean"
    sigma: float = 50
    size: int = 51
    steps: int = 56
    pixels: int | None = None
    ties: str = "first"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "size", *(["pixels"] if self.pixels is not None else [])):
            require_count(name, getattr(self, name))
        require_number("sigma", self.sigma, 0, above=True)

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image."""
        return MetricPasses(self.steps + 1) if self.pixels is None else MetricPasses(1, pixels=self.pixels)

    def points(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Compute the scores ``(steps + 1, N)``, from no changed pixel to all of them."""
        ranks = pixel_order(resized_heatmaps(heatmaps, model, x, self.resize), self.ties, self.seed)
        masks = RankMasks(ranks, counts_of(ranks[0].numel(), self.steps, self.pixels), hide=self.hide)
        fill = gaussian_blur(precise(x), self.sigma, self.size) if self.fill == "blur" else self.fill
        target = target_classes(model, x, target, self.classes)
        return model.masked_scores(x, masks, target, readout=self.readout, fill=fill)

    def shares(self, x: Tensor) -> Tensor:
        """Return the share of changed pixels after each step ``(steps + 1,)``."""
        counts = counts_of(x[0, 0].numel(), self.steps, self.pixels)
        return torch.tensor(counts, dtype=torch.float64) / counts[-1]

    def summary(self, curve: Tensor, shares: Tensor) -> Tensor:
        """Return the area under each curve ``(N,)``; of probabilities in [0, 1]."""
        return area(curve, shares)


@dataclass(frozen=True)
class Insertion(AreaMetric):
    """Insertion: the area under the score as the heatmap's pixels appear, the highest first (Petsiuk et al. 2018).

    RISE, arXiv 1806.07421, section 4.1. The images range from what ``fill`` shows to the whole image, in ``steps``
    even steps, or with ``pixels`` pixels per step if that is given. The area is computed with the trapezoidal rule
    over the share of shown pixels. ``readout`` and ``classes`` choose the score. The fill "blur" is Gaussian with
    ``sigma``, in a window of at most ``size`` pixels per side. ``ties`` decides which of equal pixels comes first:
    see ``TIES``.
    """

    higher_is_better: ClassVar[bool] = True
    hide: ClassVar[bool] = False

    fill: FillSetting = "blur"


@dataclass(frozen=True)
class Deletion(AreaMetric):
    """Deletion: the area under the score as the heatmap's pixels disappear, the highest first (Petsiuk et al. 2018).

    RISE, arXiv 1806.07421, section 4.1. The images range from the whole image to what ``fill`` shows; the settings
    are those of :class:`Insertion`.
    """

    higher_is_better: ClassVar[bool] = False
    hide: ClassVar[bool] = True


# -- arithmetic --------------------------------------------------------------------------------------------------


def counts_of(total: int, steps: int, pixels: int | None = None) -> list[int]:
    """Return how many of ``total`` pixels are changed after each step, from 0 to all of them.

    >>> counts_of(10, steps=4), counts_of(10, steps=4, pixels=3)
    ([0, 2, 5, 8, 10], [0, 3, 6, 9, 10])
    """
    if pixels is not None:
        return [*range(0, total, pixels), total]
    steps = min(steps, total)
    return [round(step * total / steps) for step in range(steps + 1)]


def area(curve: Tensor, shares: Tensor) -> Tensor:
    """Return the area ``(N,)`` under curves ``(steps + 1, N)`` over the shares ``(steps + 1,)``, by trapezoids.

    >>> area(torch.tensor([[0.0], [1.0], [1.0]]), torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0.75]
    """
    return torch.trapezoid(curve, shares.to(curve), dim=0)
