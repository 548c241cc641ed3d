"""Methods that follow the attention of a vision transformer from its output to its patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fusioncam.methods.base import to_heatmap
from fusioncam.methods.costs import PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.attention_relevance import relevance_maps, rollout_maps
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class AttentionRollout:
    """Attention rollout: the product of all blocks' attention, with their shortcuts (Abnar and Zuidema 2020).

    arXiv 2005.00928. It does not depend on the class: the heatmap is the same for every target. It shows what the
    class token reads, and in networks without one the mean over all patches, which is ours. Networks that are not
    vision transformers raise :class:`MethodError`.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = PassCount(full=2)
    paper: ClassVar[str] = "arXiv 2005.00928"

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return to_heatmap(rollout_maps(model, x, target), x, self, relu=False)


@dataclass(frozen=True)
class AttentionRelevance:
    """Attention relevance: attention times its positive gradient through all blocks (Chefer, Gur and Wolf 2021).

    arXiv 2103.15679, eq. 5 and 6, for transformers with self-attention only. It shows the relevance to the class
    token, and in networks without one the mean over all patches, which is ours. Networks that are not vision
    transformers raise :class:`MethodError`.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = PassCount(full=2)
    paper: ClassVar[str] = "arXiv 2103.15679"

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return to_heatmap(relevance_maps(model, x, target), x, self, relu=False)
