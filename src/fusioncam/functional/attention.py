"""Carry relevance through the attention of a transformer's blocks, as matrices of tokens by tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def rollout(weights: Sequence[Tensor]) -> Tensor:
    """Return the attention rollout ``(N, T, T)`` of each block's attention ``(N, heads, T, T)``.

    Row ``t`` states how much token ``t`` after the last block consists of each token before the first. The heads are
    averaged, and a block's shortcut counts as much as its attention (arXiv 2005.00928, eq. 1).

    >>> rollout([torch.tensor([[[[0.5, 0.5], [0.0, 1.0]]]])] * 2)
    tensor([[[0.5625, 0.4375],
             [0.0000, 1.0000]]])
    """
    identity = _identity(weights[0])
    total = identity
    for attention in weights:
        total = (attention.mean(1) + identity) / 2 @ total
    return total


def propagated_relevance(blocks: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the relevance ``(N, T, T)`` of tokens from each block's attention and its gradient ``(N, heads, T, T)``.

    With ``A`` the mean over heads of the positive part of attention times gradient, each block adds ``A R`` to the
    relevance ``R``, which begins as the identity matrix (arXiv 2103.15679, eq. 5 and 6).
    """
    total: Tensor | None = None
    for attention, gradient in blocks:
        total = _identity(attention) if total is None else total
        total = total + (attention * gradient).relu().mean(1) @ total
    if total is None:
        raise ValueError("expected at least one block")
    return total


def _identity(weights: Tensor) -> Tensor:
    return torch.eye(weights.shape[-1]).to(weights).expand(len(weights), -1, -1)
