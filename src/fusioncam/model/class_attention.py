"""What the class token of a vision transformer reads from each patch, in the last attention of a forward pass."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.errors import MethodError
from fusioncam.functional.heatmaps import minmax, precise
from fusioncam.inference.attention import AttentionOutput, attentions
from fusioncam.model.attention_gradients import find_blocks, is_global
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.gradient_support import require_gradients
from fusioncam.model.layouts import Layout
from fusioncam.model.scores import Target, as_targets, read_scores

_UNSUPPORTED = (
    "grad-eclip needs a vision transformer whose score is read from a class token, by scaled_dot_product_attention, "
    "and this network is not one: use grad-cam, layer-cam, legrad or recipro-cam"
)


def class_attention_maps(model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return ``relu(sum_c g_c v_ic l_i)`` for each patch i, ``(N, *s)``, of the last attention.

    ``g`` is the gradient of the target's logit with respect to the attention's output at the class token, ``v`` the
    values, and ``l`` the cosine of the class token's query and the patch's key, rescaled to [0, 1] over the patches.
    Channels are those of all heads.

    Raises :class:`MethodError` if the network has no such attention, or no class token.
    """
    with require_gradients(model.runner, x):
        x = model.runner.validate_input(x)
        targets, layout = as_targets(target, x), _last_layout(model, x[:1])
        with attentions() as attended:
            logits = model.runner(x.clone().requires_grad_())
        attention = _last_global(attended, len(x), layout)
        score = read_scores(logits, targets, "logit").sum()
        gradient = _gradient_at_class_token(score, attention)
        relevance = (gradient * attention.values).sum((1, 3))
        maps = _maps(relevance, layout) * minmax(_maps(_similarities(attention), layout))
        return maps.detach().relu()


def _last_layout(model: ExplainedModel, x: Tensor) -> Layout:
    """Return the layout of the tokens of the last block, which has a class token."""
    layouts = list(find_blocks(model, x, _UNSUPPORTED).values())
    if layouts[-1].prefix == 0:
        raise MethodError(_UNSUPPORTED)
    return layouts[-1]


def _last_global(attended: list[AttentionOutput], images: int, layout: Layout) -> AttentionOutput:
    """Return the last attention from all tokens to all."""
    tokens = layout.prefix + prod(layout.sides) + layout.suffix
    return [attention for attention in attended if is_global(attention, images, tokens)][-1]


def _gradient_at_class_token(score: Tensor, attention: AttentionOutput) -> Tensor:
    """Return the gradient ``(N, heads, 1, d)``; raise :class:`MethodError` if the score does not depend on it."""
    (gradient,) = torch.autograd.grad(score, attention.output, allow_unused=True)
    if gradient is None:
        raise MethodError(_UNSUPPORTED)
    return precise(gradient[:, :, :1])


def _similarities(attention: AttentionOutput) -> Tensor:
    """Return the cosines ``(N, tokens)`` of the class token's query with the keys of all tokens."""
    query = attention.queries[:, :, :1].transpose(1, 2).flatten(2)
    keys = attention.keys.transpose(1, 2).flatten(2)
    return F.cosine_similarity(precise(query), precise(keys), dim=2)


def _maps(values: Tensor, layout: Layout) -> Tensor:
    """Return the values ``(N, tokens)`` of the patches as maps ``(N, *s)``."""
    return layout.maps(values[..., None])[:, 0]
