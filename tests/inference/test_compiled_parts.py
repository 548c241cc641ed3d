"""Networks that torch.compile compiled are explained as they were written."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fusioncam as fc
from fusioncam.inference.compiled_parts import run_compiled, run_eagerly

METHODS = ("grad-cam", "score-cam", "fusion-cam")


class Network(nn.Module):
    """Two stages and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
        self.eval()

    def forward(self, x):
        """Return scores."""
        return self.head(self.second(self.first(x)))


@pytest.fixture
def x():
    """Return an image."""
    return torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def backend():
    """Return a backend of torch.compile that counts the graphs it compiles, and runs them as they are."""
    torch.compiler.reset()

    def count(graph, inputs):
        count.graphs += 1
        return graph.forward

    count.graphs = 0
    return count


def in_place(network, backend):
    """Compile the module's own call."""
    network.compile(backend=backend)
    return network


def whole(network, backend):
    """Compile the network."""
    return torch.compile(network, backend=backend)


def part(network, backend):
    """Replace a stage by a compiled one."""
    network.second = torch.compile(network.second, backend=backend)
    return network


def part_in_place(network, backend):
    """Compile the call of a stage."""
    network.second.compile(backend=backend)
    return network


@pytest.mark.parametrize("compiled", [in_place, whole, part, part_in_place])
def test_explaining_compiles_nothing(compiled, backend, x):
    """The heatmaps are those of the network itself, which is compiled again afterwards."""
    expected = {name: fc.METHODS[name](fc.ExplainedModel(Network()), x, 0) for name in METHODS}
    network = compiled(Network(), backend)
    model = fc.ExplainedModel(network)
    for name in METHODS:
        assert torch.allclose(fc.METHODS[name](model, x, 0), expected[name], atol=1e-6), name
    assert backend.graphs == 0
    with torch.no_grad():
        network(x)
    assert backend.graphs > 0


def test_compiled_modules_are_restored(backend):
    """Also those inside others."""
    network = nn.Sequential(whole(Network(), backend), in_place(nn.Conv2d(3, 3, 1), backend))
    states = [dict(vars(module)) for module in network.modules()]
    parts = run_eagerly(network.modules())
    assert len(parts) == 2
    run_compiled(parts)
    assert [dict(vars(module)) for module in network.modules()] == states
