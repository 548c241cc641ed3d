"""A record computes gradients from its earliest layer on, and none of parameters."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from fusioncam import ExplainedModel
from fusioncam.inference.costs import count_passes
from fusioncam.model.pixel_gradients import input_gradients
from toys import CLASSES, Exploding, Pool, Toy, Viewing, small

X = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()


def seeded(make):
    """Return a network with the same weights each time."""
    torch.manual_seed(0)
    return make()


def by_hand(network, x, target):
    """Return the maps of a toy's layer and their gradients, from a graph of the whole network."""
    network = copy.deepcopy(network).eval()
    maps = network.features(x)
    maps.retain_grad()
    network.head(maps.clone())[:, target].sum().backward()
    return maps.detach(), maps.grad


class Seen(nn.Module):
    """Returns its input, and keeps whether it has a graph."""

    def __init__(self):
        super().__init__()
        self.graphs = []

    def forward(self, x):
        """Return the input."""
        self.graphs.append(x.requires_grad)
        return x * 1


def test_only_the_part_from_the_layer_on_has_a_graph():
    """Before the layer and in parameters nothing requires a gradient; afterwards the flags are as they were."""
    network = seeded(small)
    network.features[0].bias.requires_grad_(False)
    network.features.insert(3, Seen())
    network.head.insert(0, Seen())
    before, after = network.features[3], network.head[0]
    flags = {name: one.requires_grad for name, one in network.named_parameters()}
    during = []
    after.register_forward_hook(lambda *_: during.append([one.requires_grad for one in network.parameters()]))

    record = ExplainedModel(network, "features").record(X, 1)

    assert set(before.graphs) == {False}
    assert True in after.graphs
    assert not any(map(any, during))
    assert {name: one.requires_grad for name, one in network.named_parameters()} == flags
    assert all(one.grad is None for one in network.parameters())
    maps, gradients = by_hand(network, X, 1)
    torch.testing.assert_close(record.activations, maps)
    torch.testing.assert_close(record.gradients, gradients)


def test_flags_are_restored_after_an_error():
    """The parameters of a network that fails in its pass require gradients as before."""
    network = Exploding()
    with pytest.raises(ArithmeticError, match="the network broke"):
        ExplainedModel(network, "conv").record(torch.rand(1, 3, 8, 8), 0)
    assert all(one.requires_grad for one in network.parameters())


class Branches(nn.Module):
    """Two branches, of which the second one uses the first one too, and changes in place after each layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.joined, self.head = nn.Conv2d(4, 4, 1), nn.Linear(8, CLASSES)

    def forward(self, x):
        """Return the scores."""
        first = self.first(x)
        first.relu_()
        second = self.second(x).mul_(first)
        joined = self.joined(second).relu_()
        return self.head(torch.cat([first, joined], 1).mean((2, 3)).square())


def test_several_layers_are_recorded_from_the_earliest_on():
    """Layers on two branches, and one behind both, have the gradients of separate records."""
    model, layers = ExplainedModel(seeded(Branches).double()), ["joined", "first", "second"]

    records = model.records(X, 2, layers)

    for layer, record in zip(layers, records, strict=True):
        alone = model.record(X, 2, layer)
        assert record.activations.equal(alone.activations)
        torch.testing.assert_close(record.gradients, alone.gradients)
        assert record.gradients.any()


def test_other_uses_of_a_layers_input_do_not_count():
    """An identity returns its input, which a skip connection uses too: the gradient is that of the output alone."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.same = nn.Conv2d(3, CLASSES, 1), nn.Identity()

        def forward(self, x):
            maps = self.conv(x)
            return (maps + 2 * self.same(maps)).sum((2, 3))

    assert set(ExplainedModel(Skip(), "same").record(X, 1).gradients.unique().tolist()) == {0.0, 2.0}


class Recomputing(Toy):
    """A network that computes its features again in the backward pass."""

    def forward(self, x):
        """Return the scores."""
        return self.head(checkpoint(self.features, x, use_reentrant=False))


class Refining(Toy):
    """A network that takes a step along the gradient of its head's weights in each pass, as test-time training."""

    def forward(self, x):
        """Return the scores."""
        maps = self.features(x)
        pool, linear = self.head
        with torch.enable_grad():
            (step,) = torch.autograd.grad(self.head(maps.detach()).square().sum(), linear.weight)
        return F.linear(pool(maps), linear.weight - step)


def refining():
    """Return such a network and its layer, and the same scores without the step in the pass."""
    network = Refining(small(inplace=False).features, nn.Sequential(Pool(), nn.Linear(6, CLASSES).double()))
    pool, linear = copy.deepcopy(network.head)
    step = torch.autograd.grad(network.head(network.eval().features(X)).square().sum(), network.head[1].weight)[0]
    linear.weight.data -= step
    linear.bias = None
    return network, Toy(network.features, nn.Sequential(pool, linear))


def recomputing():
    """Return such a network and the same one that keeps its features."""
    toy = small(inplace=False)
    return Recomputing(toy.features, toy.head), toy


@pytest.mark.parametrize("make", [recomputing, refining])
def test_networks_that_need_gradients_of_parameters_have_them(make):
    """The first record finds out, later ones run one pass, and the gradients are those of the plain network."""
    network, plain = seeded(make)
    model, reference = ExplainedModel(network, "features.3"), ExplainedModel(plain, "features.3")
    for _ in range(2):
        with count_passes() as counter:
            record, expected = model.record(X, 1), reference.record(X, 1)
        torch.testing.assert_close(record.gradients, expected.gradients)
        assert record.gradients.any()
    assert counter.passes == 2 * len(X)
    assert all(one.requires_grad and one.grad is None for one in network.parameters())


def test_networks_that_flatten_with_view_are_recorded():
    """They fail with channels last, and run again as they are."""
    network = seeded(Viewing)
    x = torch.rand(2, 3, 7, 7)
    record = ExplainedModel(network, "conv").record(x, 1)
    assert record.gradients.equal(network.head.weight[1].reshape(4, 3, 3).expand(2, 4, 3, 3))
    assert record.gradients.is_contiguous()


def test_gradients_of_pixels_need_none_of_parameters():
    """They are those of a graph of the whole network."""
    network = seeded(small).eval()
    x = X.clone().requires_grad_()
    network(x)[:, 1].sum().backward()
    torch.testing.assert_close(input_gradients(ExplainedModel(network), X, 1), x.grad)
    assert all(one.requires_grad for one in network.parameters())
