"""A linear network whose metrics can be computed by hand."""

from __future__ import annotations

import torch
from torch import nn

from fusioncam import ExplainedModel


class First(nn.Module):
    """A network with two logits: the mean of the first channel, and 0."""

    def forward(self, x):
        """Return the logits ``(N, 2)``."""
        mean = x[:, 0].flatten(1).mean(1)
        return torch.stack([mean, torch.zeros_like(mean)], 1)


def heatmaps_for(x, seed=1):
    """Return random heatmaps ``(N, *s)`` in [0, 1] without equal pixels."""
    heatmaps = torch.rand(len(x), *x.shape[2:], dtype=x.dtype, generator=torch.Generator().manual_seed(seed))
    low, high = heatmaps.flatten(1).amin(1), heatmaps.flatten(1).amax(1)
    shape = (-1, *[1] * (x.dim() - 2))
    return (heatmaps - low.reshape(shape)) / (high - low).reshape(shape)


def linear_case(values=(4.0, 2.0, 2.0, 0.0)):
    """Return a model whose first logit is the mean of the pixels, and one image of four pixels ``(1, 1, 2, 2)``."""
    return ExplainedModel(First()), torch.tensor(values).reshape(1, 1, 2, 2)
