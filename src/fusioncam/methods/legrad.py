"""LeGrad: gradients of the attention maps of a vision transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fusioncam.methods.base import to_heatmap
from fusioncam.methods.costs import PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.attention_gradients import attention_gradients
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class LeGrad:
    """LeGrad: the effect of each patch on the score of every block, through its attention (Bousselham et al. 2024).

    arXiv 2404.03214. The positive gradients of a block's own score with respect to its attention maps are averaged
    over heads and queries and summed over the last ``blocks`` blocks (0: all). Networks that are not vision
    transformers raise :class:`MethodError`.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = PassCount(full=2)
    paper: ClassVar[str] = "arXiv 2404.03214"

    blocks: int = 0

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        maps = attention_gradients(model, x, target)[-self.blocks :]
        return to_heatmap(maps.sum(0), x, self, relu=False)
