"""The relevance of patches to what a vision transformer's score is read from, through all of its blocks."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from fusioncam.errors import MethodError
from fusioncam.functional.attention import propagated_relevance, rollout
from fusioncam.functional.heatmaps import precise
from fusioncam.inference.attention import AttentionOutput, attentions
from fusioncam.model.attention_gradients import find_blocks, is_global
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.gradient_support import require_gradients
from fusioncam.model.layouts import Layout
from fusioncam.model.scores import Target, as_targets, read_scores

_UNSUPPORTED = (
    "{} needs a vision transformer whose blocks attend from all tokens to all by scaled_dot_product_attention, and "
    "this network is not one: use grad-cam, layer-cam or recipro-cam"
)


def rollout_maps(model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the attention rollout of each patch ``(N, *s)``; the target has no effect.

    Raises :class:`MethodError` if no block attends from all tokens to all.
    """
    with model.runner.exclusive_eval(grad=False):
        x = model.runner.validate_input(x)
        layout = _layout(model, x, "attention-rollout")
        with attentions() as attended:
            logits = model.runner(x)
        read_scores(logits, as_targets(target, x), "logit")  # raises the errors of a wrong target, and of NaN
        weights = [precise(attention.weights()) for attention in _global(attended, len(x), layout)]
        return _read(rollout(weights), layout)


def relevance_maps(model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the relevance of each patch ``(N, *s)`` to the target's logit.

    With ``o = A v`` the gradient with respect to the attention ``A`` is ``g_o v^T``. Raises :class:`MethodError` if
    no block attends from all tokens to all.
    """
    with require_gradients(model.runner, x):
        x = model.runner.validate_input(x)
        targets, layout = as_targets(target, x), _layout(model, x, "attention-relevance")
        with attentions() as attended:
            logits = model.runner(x.clone().requires_grad_())
        used = _global(attended, len(x), layout)
        score = read_scores(logits, targets, "logit").sum()
        found = torch.autograd.grad(score, [attention.output for attention in used], allow_unused=True)
        blocks = [
            (precise(attention.weights().detach()), precise((gradient @ attention.values.mT).detach()))
            for attention, gradient in zip(used, found, strict=True)
            if gradient is not None
        ]
    if not blocks:
        raise MethodError(_UNSUPPORTED.format("attention-relevance"))
    return _read(propagated_relevance(blocks), layout)


def _layout(model: ExplainedModel, x: Tensor, method: str) -> Layout:
    """Return the layout of the tokens of the last block."""
    return list(find_blocks(model, x[:1], _UNSUPPORTED.format(method)).values())[-1]


def _global(attended: list[AttentionOutput], images: int, layout: Layout) -> list[AttentionOutput]:
    """Return the attentions from all tokens to all."""
    tokens = layout.prefix + prod(layout.sides) + layout.suffix
    return [attention for attention in attended if is_global(attention, images, tokens)]


def _read(relevance: Tensor, layout: Layout) -> Tensor:
    """Return the class token's row of ``(N, T, T)`` as maps ``(N, *s)``; without one, the mean of the patches'."""
    rows = relevance[:, 0] if layout.prefix else layout.maps(relevance).flatten(2).mean(2)
    return layout.maps(rows[..., None])[:, 0]
