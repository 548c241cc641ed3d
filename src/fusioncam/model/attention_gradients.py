"""Gradients of the scores of a vision transformer's blocks with respect to their attention maps, for LeGrad."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusioncam.errors import MethodError, ShapeError
from fusioncam.functional.heatmaps import precise
from fusioncam.inference import hooks
from fusioncam.inference.attention import AttentionOutput, attentions
from fusioncam.inference.forward import NetworkRunner
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.gradient_support import require_gradients
from fusioncam.model.layouts import Layout
from fusioncam.model.scores import Target, as_targets, read_scores

_UNSUPPORTED = (
    "legrad needs a vision transformer whose blocks attend from all tokens to all by scaled_dot_product_attention, "
    "and this network is not one: use grad-cam, layer-cam or recipro-cam"
)


def attention_gradients(model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the positive gradients ``(L, N, *s)`` of each block's own score by its attention, per attended location.

    The score of a block is what the rest of the network computes from the mean of the block's tokens, in place of the
    last block's tokens. One pass covers all blocks, since the last block outputs the mean tokens of all of them. With
    ``o = A v`` the gradient by the attention ``A`` is ``g_o v^T``, so ``A`` itself is not needed.

    Raises :class:`MethodError` if no block attends from all tokens to all.
    """
    with require_gradients(model.runner, x):
        x = model.runner.validate_input(x)
        targets = as_targets(target, x)
        blocks = find_blocks(model, x[:1], _UNSUPPORTED)
        layout = next(iter(blocks.values()))
        logits, attended, tokens = _forward_block_means(model.runner, x, list(blocks))
        if isinstance(targets, Tensor):
            targets = targets.repeat(len(blocks), *[1] * (targets.dim() - 1))
        scores = read_scores(logits, targets, "logit").reshape(len(blocks), -1)
        matching = [attention for attention in attended if is_global(attention, len(x), tokens)]
        relevances = [_relevance(score, attention, layout) for score, attention in zip(scores, matching, strict=True)]
        return precise(torch.stack(relevances).detach())


def _forward_block_means(
    runner: NetworkRunner, x: Tensor, blocks: Sequence[str]
) -> tuple[Tensor, list[AttentionOutput], int]:
    """Return the logits ``(L N, classes)`` of every block's mean token, all attentions, and the number of tokens."""
    outputs: list[Tensor] = []

    def keep(tokens: Tensor) -> Tensor:
        outputs.append(tokens)
        return tokens

    def output_means(tokens: Tensor) -> Tensor:
        outputs.append(tokens)
        means = torch.cat([block_tokens.mean(1, keepdim=True) for block_tokens in outputs])
        return means.expand(-1, tokens.shape[1], -1)

    changes = dict.fromkeys(blocks[:-1], keep) | {blocks[-1]: output_means}
    try:
        with attentions() as attended, hooks.replace_outputs(runner.network, changes):
            logits = runner(x.clone().requires_grad_(), rows=len(blocks) * len(x))
    except (RuntimeError, ShapeError) as error:  # a later module joins the last block with something else
        raise MethodError(_UNSUPPORTED) from error
    return logits, attended, outputs[0].shape[1]


def _relevance(score: Tensor, attention: AttentionOutput, layout: Layout) -> Tensor:
    """Return the positive gradients ``(N, *s)`` of a block's score, averaged over heads and queries."""
    (gradient,) = torch.autograd.grad(score.sum(), attention.output, retain_graph=True)
    relevance = (gradient @ attention.values.mT).relu().mean((1, 2))
    return layout.maps(relevance[..., None])[:, 0]


def is_global(attention: AttentionOutput, images: int, tokens: int) -> bool:
    """Return whether an attention is from all tokens of an image to all."""
    values, output = attention.values, attention.output
    return len(values) == images and values.dim() == 4 and tokens == values.shape[2] == output.shape[2]


def find_blocks(model: ExplainedModel, x: Tensor, unsupported: str) -> dict[str, Layout]:
    """Return the outermost module with tokens around each attention, in order of execution, and their layout.

    Raises :class:`MethodError` with the message ``unsupported`` if there is none.
    """
    with attentions() as attended, hooks.trace(model.network, lambda: len(attended)) as calls:
        model.runner(x)
    found: dict[int, tuple[str, Layout]] = {}
    for call in calls:
        if call.shape is None or len(call.shape) != 3 or call.after - call.before != 1:
            continue
        layout = model.layers.layout_or_none(call.name, call.shape, x)
        if layout is not None and is_global(attended[call.before], 1, call.shape[1]):
            found[call.before] = (call.name, layout)
    if not found:
        raise MethodError(unsupported)
    return dict(found[index] for index in sorted(found))
