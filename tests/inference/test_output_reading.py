"""Test how outputs that are not logits are recognised and read."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import FusionCamWarning


class Net(nn.Module):
    """Compute logits from mean features, then apply a function to them."""

    def __init__(self, classes, last):
        super().__init__()
        self.maps, self.head, self.last = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, classes), last
        nn.init.normal_(self.head.weight, std=5)

    def forward(self, x):
        """Return outputs ``(N, classes)``."""
        return self.last(self.head(self.maps(x).relu().mean((2, 3))))


def net_of(classes, last):
    """Return the same network for every function, and two images."""
    torch.manual_seed(0)
    return Net(classes, last).eval(), torch.rand(2, 3, 16, 16)


def raw(network, x):
    """Return the network's own outputs."""
    with torch.no_grad():
        return network(x)


@pytest.mark.parametrize("classes", [2, 5, 1000])
def test_softmax_inside_the_network_gives_its_own_probabilities(classes):
    """The probability of a class is the one that the network returns, not its softmax."""
    network, x = net_of(classes, lambda z: z.softmax(1))
    with pytest.warns(FusionCamWarning, match="sums to 1"):
        scores = ExplainedModel(network, "maps").scores(x, 1, "probability")
    assert torch.allclose(scores, raw(network, x)[:, 1], atol=1e-6)


def test_masked_scores_read_probabilities_as_the_plain_pass_does():
    """Masked passes give the scores of the same network without its softmax."""
    network, x = net_of(5, lambda z: z.softmax(1))
    masks = torch.rand(4, 2, 16, 16)
    with pytest.warns(FusionCamWarning, match="sums to 1"):
        scores = ExplainedModel(network, "maps").masked_scores(x, masks, 1, readout="probability", fill="black")
    plain, _ = net_of(5, lambda z: z)
    expected = ExplainedModel(plain, "maps").masked_scores(x, masks, 1, readout="probability", fill="black")
    assert torch.allclose(scores, expected, atol=1e-5)


def test_one_output_has_the_probability_of_its_sigmoid():
    """A single output is the logit of a yes or no question, and its logit is unchanged."""
    network, x = net_of(1, lambda z: z)
    model = ExplainedModel(network, "maps")
    with pytest.warns(FusionCamWarning, match="one output.*tasks.MultiLabel.*tasks.Regression"):
        probability = model.scores(x, 0, "probability")
    z = raw(network, x)[:, 0]
    assert torch.allclose(probability, z.sigmoid())
    assert torch.equal(model.scores(x, 0, "logit"), z)
    assert torch.allclose(model.scores(x, 0, "rest"), z + z.sigmoid().log(), atol=1e-4)
    assert torch.equal(model.scores(x, 0, "top-1"), (z > 0).float())


@pytest.mark.parametrize("classes", [2, 14])
def test_sigmoids_are_reported_with_the_wrapper(classes):
    """A network that ends with a sigmoid is reported."""
    network, x = net_of(classes, nn.Sigmoid())
    with pytest.warns(FusionCamWarning, match=r"\[0, 1\].*fusioncam\.tasks\.MultiLabel"):
        ExplainedModel(network, "maps").logits(x)


def test_logits_are_returned_unchanged_without_a_warning():
    """Logits are bit-identical, and nothing is reported."""
    network, x = net_of(5, lambda z: z)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(ExplainedModel(network, "maps").logits(x), raw(network, x))


def test_a_model_warns_once():
    """Several methods on one model report its outputs once."""
    network, x = net_of(5, lambda z: z.softmax(1))
    model = ExplainedModel(network, "maps")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        METHODS["grad-cam"](model, x, 0)
        METHODS["layer-cam"](model, x, 1)
        model.logits(x)
    assert len([one for one in caught if "probabilities" in str(one.message)]) == 1


def test_equal_logits_are_not_reported():
    """A head without a bias returns zeros for a black image, which are within [0, 1]."""
    model = ExplainedModel(nn.Sequential(nn.Flatten(), nn.Linear(48, 10, bias=False)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not model.logits(torch.zeros(1, 3, 4, 4)).any()
