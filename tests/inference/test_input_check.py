"""Test which inputs are passed to a network: what it takes, in the dtype of its weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel
from fusioncam.errors import ShapeError


class Frames(nn.Module):
    """Scores of a video by a 2-D convolution of its frames."""

    def __init__(self):
        super().__init__()
        self.unused, self.conv, self.head = nn.Conv1d(1, 1, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        """Return the mean scores of the frames ``(N, C, T, H, W)``."""
        return self.head(self.conv(x.transpose(1, 2).flatten(0, 1)).mean((2, 3)).view(len(x), x.shape[2], -1).mean(1))


def test_rank_is_what_the_network_takes():
    """An unused first convolution does not decide, and the error for other ranks keeps its hint."""
    model, x = ExplainedModel(Frames()), torch.rand(2, 3, 4, 8, 8)

    assert torch.equal(model.logits(x), model.network(x))
    with pytest.raises(ShapeError, match=r"expected x \(N, C, L\)"):
        model.logits(x[:, 0])
    with pytest.raises(ShapeError, match="N > 0"):
        model.logits(x[:0])


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.int64, torch.float64])
def test_first_parameter_does_not_decide_the_dtype(dtype):
    """The input has the dtype of most weights."""
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network = nn.Module()
    network.register_parameter("first", nn.Parameter(torch.ones(3).to(dtype), requires_grad=False))
    network.conv, network.forward = conv, lambda x: conv(x)
    x = torch.rand(2, 3, 8, 8)

    assert torch.equal(ExplainedModel(network).logits(x), conv(x))
