"""Heatmaps that follow the edges of the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from fusioncam.errors import require_number
from fusioncam.functional.guided_filter import guided_filter
from fusioncam.functional.heatmaps import minmax, precise
from fusioncam.methods.base import Method, warn_if_flat
from fusioncam.methods.costs import PassCount, cost_of
from fusioncam.methods.gradient import GradCAM
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target

# the filter solves a system of this many equations per pixel; images with more channels are guided by their mean
_MOST_CHANNELS = 4


@dataclass(frozen=True)
class GuidedFilter:
    """A method's heatmap after the guided filter: smooth inside objects, with the image's edges.

    He, Sun and Tang 2013, TPAMI 35(6); see :func:`fusioncam.functional.guided_filter.guided_filter`. Heatmaps of
    small layers and of random masks are coarse, and end beside the object's border rather than at it. The filter
    makes no pass. The image is the guide, with its values rescaled to [0, 1]; ``radius`` is a share of its shortest
    side, and ``eps`` the variance of the guide below which an edge counts as noise. That the filter be applied to
    heatmaps is ours. It adds no evidence of the network: a heatmap of edges may look right and be wrong, so measure.
    """

    family: ClassVar[str] = "wrapper"
    paper: ClassVar[str] = "10.1109/TPAMI.2012.213"

    method: Method = field(default_factory=GradCAM)
    radius: float = 1 / 7
    eps: float = 1e-3

    def __post_init__(self) -> None:
        require_number("radius", self.radius, 0, 1, above=True)
        require_number("eps", self.eps, 0, above=True)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(self.method)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        heatmaps = precise(self.method(model, x, target))
        image = precise(x).to(heatmaps.device)
        guide = minmax(image if image.shape[1] <= _MOST_CHANNELS else image.mean(1, keepdim=True))
        filtered = guided_filter(heatmaps, guide, max(1, round(self.radius * min(x.shape[2:]))), self.eps)
        return warn_if_flat(minmax(filtered), self)
