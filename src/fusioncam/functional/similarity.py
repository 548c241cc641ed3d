"""Similarity of two heatmaps, and the entropy of one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import is_flat, minmax


def relative_change(heatmaps: Tensor, others: Tensor) -> Tensor:
    """Return ``|others - heatmaps| / |heatmaps|`` of maps ``(N, *s)`` as ``(N,)``, NaN where the heatmap is 0.

    >>> relative_change(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 3.0]])).tolist()
    [0.20000000298023224]
    """
    size = heatmaps.flatten(1).norm(dim=1)
    return torch.where(size > 0, (others - heatmaps).flatten(1).norm(dim=1) / size, torch.nan)


def pearson(first: Tensor, second: Tensor) -> Tensor:
    """Return the correlation of each pair of maps ``(N, *s)`` as ``(N,)`` in [-1, 1]; NaN for constant maps.

    >>> pearson(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 4.0, 6.0]])).tolist()
    [1.0]
    """
    x, y = (values - values.mean(1, keepdim=True) for values in (first.flatten(1), second.flatten(1)))
    correlation: Tensor = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))
    return correlation.clamp(-1, 1)


def ranks(maps: Tensor) -> Tensor:
    """Return the rank of each pixel in its map ``(N, *s)``, from 0; equal pixels get the mean of their ranks.

    >>> ranks(torch.tensor([[0.0, 0.9, 0.0, 0.3]])).tolist()
    [[0.5, 3.0, 0.5, 2.0]]
    """
    values = maps.flatten(1).contiguous()
    ordered = values.sort(1).values
    below, up_to = torch.searchsorted(ordered, values), torch.searchsorted(ordered, values, right=True)
    return ((below + up_to - 1).double() / 2).reshape(maps.shape)


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Return the correlation of the ranks of each pair of maps ``(N, *s)`` as ``(N,)``; NaN for constant maps.

    >>> spearman(torch.tensor([[0.1, 0.2, 0.9]]), torch.tensor([[1.0, 3.0, 4.0]])).tolist()
    [1.0]
    """
    return pearson(ranks(first), ranks(second)).to(first)


def histogram_entropy(maps: Tensor, bins: int) -> Tensor:
    """Return the entropy of the histogram of each map ``(N, *s)`` as ``(N,)``; 0 for a constant map.

    The bins divide the range of each map evenly, so that its scale does not count.

    >>> histogram_entropy(torch.tensor([[0.0, 0.1, 0.9, 1.0]]), 2).exp().tolist()
    [2.0]
    """
    index = (minmax(maps.flatten(1)) * bins).long().clamp(max=bins - 1)
    counts = torch.zeros(len(maps), bins, dtype=torch.float64, device=maps.device)
    shares = counts.scatter_add_(1, index, torch.ones_like(index, dtype=torch.float64)) / index.shape[1]
    entropy: Tensor = torch.special.entr(shares).sum(1)
    return entropy.to(maps)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"spearman": spearman, "pearson": pearson}


def heatmap_similarity(heatmaps: Tensor, others: Tensor, similarity: str) -> Tensor:
    """Return the similarity ``(N,)`` of each pair: NaN if the heatmap is constant, 0 if only the other one is."""
    values = SIMILARITIES[similarity](heatmaps, others)
    return values.masked_fill(is_flat(others), 0).masked_fill(is_flat(heatmaps), torch.nan)
