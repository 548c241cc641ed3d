"""A linear network whose metrics can be worked out by hand."""

from __future__ import annotations

import torch
from torch import nn

from fusioncam import ExplainedModel


class First(nn.Module):
    """Two logits: the mean of the first channel, and 0."""

    def forward(self, x):
        """Give them."""
        mean = x[:, 0].flatten(1).mean(1)
        return torch.stack([mean, torch.zeros_like(mean)], 1)


def heatmaps_for(x, seed=1):
    """Give heatmaps in [0, 1] whose pixels all differ."""
    maps = torch.rand(len(x), *x.shape[2:], dtype=x.dtype, generator=torch.Generator().manual_seed(seed))
    low, high = maps.flatten(1).amin(1), maps.flatten(1).amax(1)
    shape = (-1, *[1] * (x.dim() - 2))
    return (maps - low.reshape(shape)) / (high - low).reshape(shape)


def linear_case(values=(4.0, 2.0, 2.0, 0.0)):
    """Give a model whose first logit is the mean of what is seen, and one image of four pixels ``(1, 1, 2, 2)``."""
    return ExplainedModel(First()), torch.tensor(values).reshape(1, 1, 2, 2)
