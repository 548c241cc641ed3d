"""Grad-ECLIP: what the class token of a CLIP-like transformer reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import to_heatmap
from fusioncam.methods.costs import PassCount
from fusioncam.model.class_attention import class_attention_maps
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class GradECLIP:
    """Grad-ECLIP: the values of the last attention, weighted for channels and for patches (Zhao et al. 2025).

    arXiv 2502.18816, eq. 6-9. Channels are weighted by the gradient of the score with respect to the attention's
    output at the class token, patches by the similarity of their keys to the class token's query, without the softmax
    that leaves few patches. It was made for CLIP with text prompts (:class:`fusioncam.tasks.TextPrompts`) and needs a
    vision transformer with a class token; others raise :class:`MethodError`. The heads stay those of the network,
    where the authors' code computes the last attention again with a single head.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = PassCount(full=2)
    paper: ClassVar[str] = "arXiv 2502.18816"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return to_heatmap(class_attention_maps(model, x, target), x, self, relu=False)
