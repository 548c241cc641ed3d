"""LeGrad: gradients of a vision transformer's attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fusioncam.functional.heatmaps import minmax, upsample
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import warn_if_flat
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class LeGrad:
    """LeGrad: how each patch moves the score of every block through its attention (Bousselham et al. 2024).

    arXiv 2404.03214: positive gradients of a block's own score by its attention maps, averaged over heads and
    queries, summed over the last ``blocks`` blocks (0: all). For vision transformers alone: others are a
    :class:`MethodError`.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[str] = "2"
    paper: ClassVar[str] = "arXiv 2404.03214"

    blocks: int = 0

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        maps = model.attention_gradients(x, target)[-self.blocks :]
        return warn_if_flat(minmax(upsample(maps.sum(0), x.shape[2:])), self)
