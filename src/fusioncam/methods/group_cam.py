"""Group-CAM: a few masks, each of many channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_count, require_known
from fusioncam.functional.heatmaps import denoise, expand_like, minmax, relu_above_rounding, upsample
from fusioncam.functional.kmeans import k_means
from fusioncam.functional.masks import FILLS, ChannelMasks
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import require_percentile, warn_if_flat
from fusioncam.methods.score_cam import empty_scores
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target


@dataclass(frozen=True)
class GroupCAM:
    """Group-CAM: groups of channels weighted by what the image gains through them (Zhang et al. 2021).

    arXiv 2103.13859. Channels times their mean gradients are summed in ``groups``, runs of neighbours
    ("chunks") or alike ones ("k-means"); each sum, positive and above its ``theta``-th percentile, is a mask. The
    gain in probability over the blurred image weighs the mask. ``maps`` says whether the weights multiply the
    "normalised" masks or the "raw" sums; ``clamp`` drops negative gains. Public codes of Fusion-CAM's authors take
    ``theta=0``, ``clamp=True`` and raw sums or a lighter blur.
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
    def cost(self) -> str:
        """The passes of one image."""
        return f"1 + {self.groups + 1}"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        record = model.record(x, target, self.layer)
        sums = self._sums(
            record.activations * expand_like(record.gradients.flatten(2).mean(2), record.activations)
        ).relu()
        if self.theta > 0:
            sums = denoise(sums.flatten(0, 1), self.theta, strict=True).reshape(sums.shape)
        masks = ChannelMasks(sums, x.shape[2:])
        scores = model.masked_scores(x, masks, target, readout=self.readout, fill=self.fill)
        gains = (scores - empty_scores(model, x, target, self.readout, self.fill)).where(masks.active, 0)
        gains = gains.clamp(min=0) if self.clamp else gains
        large = upsample(sums.flatten(0, 1), x.shape[2:])
        shown = (minmax(large) if self.maps == "normalised" else large).reshape(*sums.shape[:2], *x.shape[2:])
        return warn_if_flat(minmax(relu_above_rounding(torch.einsum("gn,ng...->n...", gains, shown))), self)

    def _sums(self, weighted: Tensor) -> Tensor:
        """Sum the weighted channels ``(N, K, *s)`` in groups: ``(N, G, *s)``, zeros where a group is empty."""
        images, channels = weighted.shape[:2]
        if self.cluster == "chunks":
            run = -(-channels // self.groups)
            labels = (torch.arange(channels, device=weighted.device) // run).expand(images, -1)
        else:
            labels = torch.stack([k_means(one.flatten(1), self.groups) for one in weighted])
        sums = weighted.new_zeros(images, self.groups, *weighted.shape[2:])
        return sums.scatter_add(1, expand_like(labels, weighted).expand_as(weighted), weighted)
