"""Test the state in which passes run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusioncam.inference.eval_mode import exclusive_eval


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning", "ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("scripted", [False, True])
def test_gradients_of_rnns_are_computed_without_cudnn(kind, scripted):
    """cuDNN's RNNs have no backward pass in evaluation mode; other passes and networks keep cuDNN."""
    rnn = kind(4, 4)
    network = nn.Sequential(torch.jit.script(rnn) if scripted else rnn)

    with exclusive_eval(network, grad=True):
        assert not torch.backends.cudnn.enabled
    with exclusive_eval(network, grad=False):
        assert torch.backends.cudnn.enabled
    with exclusive_eval(nn.Sequential(nn.Conv2d(3, 4, 3)), grad=True):
        assert torch.backends.cudnn.enabled
    assert torch.backends.cudnn.enabled
