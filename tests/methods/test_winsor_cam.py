"""Winsor-CAM on networks with layers that are not used, and without convolutions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel
from fusioncam.errors import LayerError, SettingError
from fusioncam.methods.winsor_cam import WinsorCAM
from fusioncam.model.parameters import convolutions
from twins import attention

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class WithAuxiliary(nn.Module):
    """A network with a branch whose result is not returned."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.main, self.auxiliary = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)) for _ in "ab")

    def forward(self, x):
        """Return logits ``(N, 2)``."""
        self.auxiliary(x)
        return self.main(x).mean((2, 3))


def test_layers_that_the_score_does_not_depend_on_are_skipped():
    """Unless they are named."""
    network = WithAuxiliary().eval()
    for parameter in network.parameters():
        parameter.data.abs_()
    model = ExplainedModel(network)

    found = WinsorCAM()(model, X, 1)

    assert convolutions(model, X) == ["auxiliary.0", "auxiliary.1", "main.0", "main.1"]
    torch.testing.assert_close(found, WinsorCAM(layers=("main.0", "main.1"))(model, X, 1))
    with pytest.raises(LayerError, match="do not depend on layer 'auxiliary"):
        WinsorCAM(layers=("main.1", "auxiliary.0"))(model, X, 1)


def test_transformers_are_explained_by_their_normalisations():
    """The embedding of the patches is their only convolution."""
    toy, x, target = attention.problem()
    model = ExplainedModel(toy)
    norms = ["blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2", "norm"]

    assert convolutions(model, x) == norms
    torch.testing.assert_close(WinsorCAM()(model, x, target), WinsorCAM(layers=tuple(norms[:3]))(model, x, target))


def test_the_percentile_is_checked():
    """From 0 to 100."""
    with pytest.raises(SettingError, match="percentile between 0 and 100"):
        WinsorCAM(theta=101)
