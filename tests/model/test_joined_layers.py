"""Sums that no module computes: the layer before them is only a part of what the network uses, which is said."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fusioncam as fc
from fusioncam.errors import FusionCamWarning

X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
JOINED = r"layer 'last' is only a part of what follows: the network's forward method joins it with other maps \({}\)"


class Flat(nn.Module):
    """A residual network without modules for its blocks; ``join`` is what it does with the last maps."""

    def __init__(self, join, channels=8):
        super().__init__()
        torch.manual_seed(0)
        self.join, self.head = join, nn.Linear(channels, 5)
        self.stem, self.last, self.other = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.joined = nn.Identity()
        self.head.weight.data.abs_()

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 5)``."""
        x = self.stem(x).relu()
        return self.head(self.join(self, x, self.last(x)).mean((2, 3)))


def in_place(net, x, maps):
    """Add the other maps to the last ones, which change."""
    maps += x
    return maps


def with_token(x, tokens):
    """Put the mean of maps as one more token in front of tokens ``(N, T, C)`` or ``(T, N, C)``."""
    token = x.mean((2, 3))[:, None]
    return torch.cat([token, tokens], 1) if len(tokens) == len(x) else torch.cat([token.transpose(0, 1), tokens])


JOINS = {
    "add": (lambda net, x, maps: x + maps, "add", 8),
    "after relu": (lambda net, x, maps: x + F.relu(maps), "add", 8),
    "in place": (in_place, "add", 8),
    "after a slice": (lambda net, x, maps: x + maps if maps[:, :4].any() else x, "add", 8),
    "cat": (lambda net, x, maps: torch.cat([x, maps], 1), "cat", 16),
    "attention": (lambda net, x, maps: x * maps.sigmoid(), "mul", 8),
}


@pytest.mark.parametrize("kind", JOINS)
def test_a_part_of_a_sum_is_reported(kind):
    """Once, and not if the user names it."""
    join, operation, channels = JOINS[kind]
    model = fc.ExplainedModel(Flat(join, channels))
    with pytest.warns(FusionCamWarning, match=JOINED.format(operation)) as caught:
        assert [model.layer_for(X) for _ in range(2)] == ["last"] * 2
    assert len(caught) == 1
    assert fc.METHODS["grad-cam"](fc.ExplainedModel(model.network, "last"), X, 1).any()


@pytest.mark.parametrize(
    "join",
    [
        lambda net, x, maps: maps,
        lambda net, x, maps: maps + 1,
        lambda net, x, maps: maps + maps.sigmoid(),
        lambda net, x, maps: maps + net.stem.bias[:, None, None],
        lambda net, x, maps: maps * x.mean((2, 3), keepdim=True).sigmoid(),
        lambda net, x, maps: torch.cat([maps.relu()[:, :4], maps[:, 4:]], 1),
        lambda net, x, maps: x + F.conv2d(maps, net.other.weight, padding=1),
        lambda net, x, maps: with_token(x, maps.flatten(2).mT).mT[..., None],
        lambda net, x, maps: with_token(x, maps.flatten(2).mT.transpose(0, 1)).permute(1, 2, 0)[..., None],
    ],
    ids=["nothing", "constant", "itself", "parameter", "gate", "its parts", "another layer", "token", "token first"],
)
def test_other_operations_are_not(join):
    """Constants, weights of channels, the layer itself, later layers that no module computes, and class tokens."""
    assert fc.ExplainedModel(Flat(join)).layer_for(X) == "last"


def test_sums_of_modules_are_layers():
    """So there is nothing to say, also where an identity is named that the sum runs through."""

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return x + self.conv(x)

    network = nn.Sequential(Around(), Around(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert fc.ExplainedModel(network).layer_for(X) == "1"

    network = Flat(lambda net, x, maps: net.joined(x + maps))
    maps = network.stem(X).relu()
    activations = fc.ExplainedModel(network, "joined").record(X, 1).activations
    torch.testing.assert_close(activations, maps + network.last(maps))


class Residual(nn.Module):
    """The first network above in the words that TorchScript knows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.add, self.head = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(8, 8, 3, 1, 1), nn.Linear(8, 5)
        self.head.weight.data.abs_()

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 5)``."""
        x = self.stem(x).relu()
        return self.head((x + self.add(x)).mean((2, 3)))


@pytest.mark.parametrize("kind", ["export", "script"])
def test_sums_of_exported_networks_are_layers(kind):
    """Their names differ from those of modules."""
    network = Residual().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        other = torch.export.export(network, (X,)) if kind == "export" else torch.jit.script(network)
    model = fc.ExplainedModel(other)
    assert model.layer_for(X) == "add_"
    maps = network.stem(X).relu()
    torch.testing.assert_close(model.record(X, 1).activations, maps + network.add(maps))
