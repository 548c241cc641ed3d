"""Group-CAM: a few masks, each made of many channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_count, require_known
from fusioncam.functional.heatmaps import denoise, expand_like, minmax, relu_above_rounding, upsample
from fusioncam.functional.kmeans import k_means
from fusioncam.functional.masks import FILLS, ChannelMasks
from fusioncam.methods.base import require_percentile, warn_if_flat
from fusioncam.methods.costs import PassCount
from fusioncam.methods.score_cam import empty_scores
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target


@dataclass(frozen=True)
class GroupCAM:
    """Group-CAM: groups of channels weighted by the gain of the image that they mask (Zhang et al. 2021).

    arXiv 2103.13859. Channels times their mean gradients are summed in ``groups`` of consecutive ("chunks") or
    similar ("k-means") channels. Each sum, where it is positive and above its ``theta``-th percentile, is a mask. The
    weight of a mask is its gain in probability over the blurred image. ``maps`` selects whether the weights multiply
    the "normalised" masks or the "raw" sums; ``clamp`` sets negative gains to 0. The public codes of Fusion-CAM's
    authors use ``theta=0``, ``clamp=True`` and raw sums or a lighter blur.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 2103.13859"

    groups: int = 32
    theta: float = 70
    cluster: str = "chunks"
    maps: str = "normalised"
    clamp: bool = False
    readout: str = "probability"
    fill: str = "blur"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_count("groups", self.groups)
        require_percentile(self.theta)
        require_known("way to group", self.cluster, ("chunks", "k-means"))
        require_known("kind of maps", self.maps, ("raw", "normalised"))
        require_known("readout", self.readout, READOUTS)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(recorded=True, full=self.groups + 1)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        record = model.record(x, target, self.layer)
        weights = expand_like(record.gradients.flatten(2).mean(2), record.activations)
        sums = self._sums(record.activations * weights).relu()
        if self.theta > 0:
            sums = denoise(sums.flatten(0, 1), self.theta, strict=True).reshape(sums.shape)
        masks = ChannelMasks(sums, x.shape[2:])
        scores = model.masked_scores(x, masks, target, readout=self.readout, fill=self.fill)
        gains = (scores - empty_scores(model, x, target, self.readout, self.fill)).where(masks.active, 0)
        gains = gains.clamp(min=0) if self.clamp else gains
        maps = upsample(sums.flatten(0, 1), x.shape[2:])
        maps = (minmax(maps) if self.maps == "normalised" else maps).reshape(*sums.shape[:2], *x.shape[2:])
        return warn_if_flat(minmax(relu_above_rounding(torch.einsum("gn,ng...->n...", gains, maps))), self)

    def _sums(self, weighted: Tensor) -> Tensor:
        """Sum weighted channels ``(N, K, *s)`` by group to ``(N, G, *s)``; the sum of an empty group is 0."""
        images, channels = weighted.shape[:2]
        if self.cluster == "chunks":
            size = -(-channels // self.groups)
            labels = (torch.arange(channels, device=weighted.device) // size).expand(images, -1)
        else:
            labels = torch.stack([k_means(maps.flatten(1), self.groups) for maps in weighted])
        sums = weighted.new_zeros(images, self.groups, *weighted.shape[2:])
        return sums.scatter_add(1, expand_like(labels, weighted).expand_as(weighted), weighted)
