"""Alike channels, found without chance."""

from __future__ import annotations

import torch
from torch import Tensor


def k_means(rows: Tensor, groups: int, rounds: int = 100) -> Tensor:
    """Label rows ``(K, D)`` by Lloyd's algorithm, ``(K,)``; the same whatever runs beside it.

    The first centre is the longest row, each next one the row farthest from all centres so far. An empty group
    keeps its centre. Ties go to the lower index. At most so many ``rounds``.
    """
    centres = _far_apart(rows, groups)
    labels = torch.full((len(rows),), -1, device=rows.device)
    for _ in range(rounds):
        before, labels = labels, _distances(rows, centres).argmin(1)
        if labels.equal(before):
            break
        for group in set(labels.tolist()):
            centres[group] = rows[labels == group].mean(0)
    return labels


def _far_apart(rows: Tensor, groups: int) -> Tensor:
    chosen = [int(rows.square().sum(1).argmax())]
    apart = _distances(rows, rows[chosen])[:, 0]
    while len(chosen) < min(groups, len(rows)) and apart.max() > 0:
        chosen.append(int(apart.argmax()))
        apart = torch.minimum(apart, _distances(rows, rows[chosen[-1:]])[:, 0])
    return rows[chosen].clone()


def _distances(rows: Tensor, centres: Tensor) -> Tensor:
    """Give distances ``(K, G)``, from differences: a matrix product would round near ties."""
    return torch.cdist(rows, centres, compute_mode="donot_use_mm_for_euclid_dist")
