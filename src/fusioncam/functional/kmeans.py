"""Deterministic k-means."""

from __future__ import annotations

import torch
from torch import Tensor


def k_means(rows: Tensor, groups: int, rounds: int = 100) -> Tensor:
    """Return the group of each row ``(K, D)`` by Lloyd's algorithm, ``(K,)``; the same for any batch and device.

    The first centre is the longest row, and each next one is the row farthest from all centres before it. An empty
    group keeps its centre. Ties go to the lower index. There are at most ``rounds`` iterations.
    """
    centres = _initial_centres(rows, groups)
    labels = torch.full((len(rows),), -1, device=rows.device)
    for _ in range(rounds):
        before, labels = labels, _distances(rows, centres).argmin(1)
        if labels.equal(before):
            break
        for group in set(labels.tolist()):
            centres[group] = rows[labels == group].mean(0)
    return labels


def _initial_centres(rows: Tensor, groups: int) -> Tensor:
    chosen = [int(rows.square().sum(1).argmax())]
    nearest = _distances(rows, rows[chosen])[:, 0]
    while len(chosen) < min(groups, len(rows)) and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, _distances(rows, rows[chosen[-1:]])[:, 0])
    return rows[chosen].clone()


def _distances(rows: Tensor, centres: Tensor) -> Tensor:
    """Return distances ``(K, G)``, from differences: a matrix product would round near ties."""
    return torch.cdist(rows, centres, compute_mode="donot_use_mm_for_euclid_dist")
