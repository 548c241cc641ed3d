"""What a traced pass knows of outputs that are not one tensor."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from fusioncam.inference.hooks import trace


class Wrapping(nn.Module):
    """Puts tokens that depend on the image only in part into a container, with something else behind them."""

    def __init__(self, wrap) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, x, **kwargs):
        """Return the container."""
        return self.wrap(torch.cat([torch.ones_like(x[:, :1]), x], 1), None)


WRAPS = {
    "tensor": lambda tokens, other: tokens,
    "tuple": lambda tokens, other: (tokens, other),
    "list": lambda tokens, other: [tokens, other],
    "mapping": lambda tokens, other: OrderedDict(last_hidden_state=tokens, pooled=other),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_the_first_tensor_is_traced(wrap):
    """Its shape, and which tokens depend on the image; a mapping as a tuple."""
    network = nn.Sequential(Wrapping(wrap))
    with trace(network) as calls:
        network(torch.rand(2, 3, 4))
        network(torch.ones(2, 3, 4))

    varying, constant = calls
    assert varying.output.shape == constant.output.shape == (2, 4, 4)
    assert varying.output.varies == [False, True, True, True]
    assert constant.output.varies == [False] * 4
    assert varying.varies
    assert not constant.varies
