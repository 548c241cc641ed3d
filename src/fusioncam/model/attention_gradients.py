"""How the scores of a vision transformer's blocks depend on their attention maps: what LeGrad asks for."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from fusioncam.errors import MethodError, ShapeError
from fusioncam.inference import hooks
from fusioncam.inference.forward import NetworkRunner
from fusioncam.model.layouts import Layout, layout_of
from fusioncam.model.scores import read

_REFUSED = (
    "legrad needs a vision transformer whose blocks attend from all tokens to all, by scaled_dot_product_attention; "
    "this network is none: grad-cam, layer-cam or recipro-cam would do"
)


def attention_gradients(call: NetworkRunner, x: Tensor, targets: Tensor, grid: Sequence[int] | None) -> Tensor:
    """Give ``(L, N, *s)``: positive gradients of each block's own score by its attention, as places are attended to.

    The score of a block is what the network says of the mean of its tokens, put in the place of the last block's.
    One pass serves all blocks: the last hands the mean tokens of all of them on. With ``o = A v`` the gradient by
    the attention ``A`` is ``g_o v^T``, so that ``A`` itself need not be known.
    Raises :class:`MethodError` where no block attends from all tokens to all.
    """
    blocks = _blocks(call, x[:1], grid)
    names, layout = list(blocks), next(iter(blocks.values()))
    given: list[Tensor] = []

    def keep(tokens: Tensor) -> Tensor:
        given.append(tokens)
        return tokens

    def hand_on(tokens: Tensor) -> Tensor:
        given.append(tokens)
        means = torch.cat([one.mean(1, keepdim=True) for one in given])
        return means.expand(-1, tokens.shape[1], -1)

    changes = dict.fromkeys(names[:-1], keep) | {names[-1]: hand_on}
    try:
        with hooks.attentions() as attended, hooks.replace_outputs(call.network, changes):
            logits = call(x.clone().requires_grad_(), rows=len(names) * len(x))
    except (RuntimeError, ShapeError) as error:  # what is behind the last block joins it with something else
        raise MethodError(_REFUSED) from error
    scores = read(logits, targets.repeat(len(names), *[1] * (targets.dim() - 1)), "logit").reshape(len(names), -1)
    tokens = given[0].shape[1]
    matching = [one for one in attended if _is_global(one, len(x), tokens)]
    maps = []
    for score, one in zip(scores, matching, strict=True):
        (gradient,) = torch.autograd.grad(score.sum(), one.output, retain_graph=True)
        relevance = (gradient @ one.values.mT).relu().mean((1, 2))[:, layout.prefix :]
        maps.append(relevance.reshape(len(x), *layout.sides))
    return torch.stack(maps).detach()


def _is_global(one: hooks.AttentionOutput, images: int, tokens: int) -> bool:
    return (
        len(one.values) == images and one.values.dim() == 4 and tokens == one.values.shape[2] == one.output.shape[2]
    )


def _blocks(call: NetworkRunner, x: Tensor, grid: Sequence[int] | None) -> dict[str, Layout]:
    """Name the outermost module around each attention that gives tokens, in order, and how its places lie."""
    with hooks.attentions() as attended, hooks.trace(call.network, lambda: len(attended)) as ran:
        call(x)
    found: dict[int, tuple[str, Layout]] = {}
    for one in ran:
        layout = None if one.shape is None or len(one.shape) != 3 else layout_of(one.shape, x.shape, grid)
        if layout is None or one.after - one.before != 1:
            continue
        if _is_global(attended[one.before], 1, layout.prefix + prod(layout.sides)):
            found[one.before] = (one.name, layout)
    if not found:
        raise MethodError(_REFUSED)
    return dict(found[place] for place in sorted(found))
