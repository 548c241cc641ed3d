"""A network with the layer names of a ResNet."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn


@pytest.fixture(scope="module")
def network():
    """Maps of 16 and 8 pixels for 32; the scores grow with the features, so that no heatmap is constant."""
    torch.manual_seed(0)
    parts = OrderedDict(
        conv1=nn.Conv2d(3, 8, 3, stride=2, padding=1),
        layer3=nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        layer4=nn.Sequential(nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.ReLU(inplace=True)),
        avgpool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(6, 5),
    )
    network = nn.Sequential(parts).eval()
    network.fc.weight.data.abs_()
    network.layer4[0].weight.data += 0.02
    return network
