"""IDSDS: does the heatmap rank the patches of the image as the network does (Hesse et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_number
from fusioncam.functional.heatmaps import is_flat
from fusioncam.functional.masks import FillSetting
from fusioncam.functional.similarity import spearman
from fusioncam.inference.cache import memoize_pass
from fusioncam.metrics.base import Metric
from fusioncam.metrics.grid_pointing_game import tile_masks
from fusioncam.metrics.masking import resized_heatmaps, target_classes
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.removal import fill_of
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class IDSDS(Metric):
    """IDSDS: the rank correlation of the loss of score without a patch and the heatmap's sum in that patch.

    In-Domain Single Deletion Score (Hesse et al. 2024, NeurIPS, arXiv 2407.11910). The image has ``side`` patches per
    side. One patch at a time shows ``fill``, and Spearman's correlation compares the losses of score with the sums of
    the heatmap in the patches. The paper measures the logit and shows the mean colour, on a network that was
    fine-tuned on images without one patch, so that such images are nothing new to it: see
    :func:`fusioncam.metrics.finetuning.finetune`. On other networks part of each loss is caused by the edges of the
    removed patch. Only the order of the sums counts, so heatmaps may have any range. A heatmap with equal sums in all
    patches has the value 0; NaN where no patch changes the score. ``fill`` and ``noise`` are those of
    :class:`fusioncam.metrics.removal.MoRF`.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2407.11910"
    fills: ClassVar[tuple[str, ...]] = (*Metric.fills, "linear")

    readout: str = "logit"
    classes: str = "target"
    fill: FillSetting = "mean"
    noise: float = 0.01
    side: int = 4
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("side", self.side, 2, integer=True)
        require_number("noise", self.noise, 0)

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image: one without each patch. The order of losses does not need the whole image."""
        return MetricPasses(self.side**2)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Return the rank correlation ``(N,)`` in [-1, 1]."""
        sums = patch_sums(resized_heatmaps(heatmaps, model, x, self.resize), self._patches(model, x))
        return patch_correlation(sums, self._losses(model, x, target).to(sums))

    @memoize_pass
    def _losses(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return the loss of score without each patch ``(N, P)``, up to the score of the whole image."""
        masks = ~self._patches(model, x)[:, None].expand(-1, len(x), *x.shape[2:])
        target = target_classes(model, x, target, self.classes)
        fill = fill_of(self.fill, self.noise, self.seed)
        return -model.masked_scores(x, masks, target, readout=self.readout, fill=fill).T

    def _patches(self, model: ExplainedModel, x: Tensor) -> Tensor:
        """Return the mask of each patch ``(P, *s)``."""
        return tile_masks(self.side, x.shape[2:]).to(model.device)


def patch_sums(heatmaps: Tensor, patches: Tensor) -> Tensor:
    """Return the sum of each heatmap ``(N, *s)`` in each of the patches ``(P, *s)``, ``(N, P)``.

    >>> patch_sums(torch.tensor([[1.0, 2.0, 3.0]]), torch.eye(3, dtype=torch.bool)[1:]).tolist()
    [[2.0, 3.0]]
    """
    return heatmaps.flatten(1) @ patches.flatten(1).to(heatmaps).T


def patch_correlation(sums: Tensor, losses: Tensor) -> Tensor:
    """Return the rank correlation of sums and losses ``(N, P)`` as ``(N,)``: 0 for equal sums, NaN for equal losses.

    >>> losses = torch.tensor([[0.1, 0.5, 0.7], [0.1, 0.5, 0.7]])
    >>> patch_correlation(torch.tensor([[1.0, 2.0, 9.0], [1.0, 1.0, 1.0]]), losses).tolist()
    [1.0, 0.0]
    """
    return spearman(sums, losses).masked_fill(is_flat(sums), 0).masked_fill(is_flat(losses), torch.nan)
