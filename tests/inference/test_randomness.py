"""Test that networks that are random in evaluation mode are reported, and the caller's random state is kept."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import fusioncam as fc
from fusioncam.errors import FusionCamWarning
from samples import CAT, Small, explained


class Random(Small):
    """Changes the image or the features at random, also in evaluation mode."""

    def __init__(self, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x):
        """Return scores ``(N, classes)``."""
        return self.fc(self.after(self.act(self.conv(self.before(x)))).mean((2, 3)))


def random_crop(x):
    """Return a random part of the images."""
    left = int(torch.randint(0, 16, ()))
    return x[..., left : left + 16]


private = np.random.default_rng(0)

RANDOM = {
    "functional dropout": Random(after=F.dropout),
    "noise": Random(before=lambda x: x + torch.randn_like(x)),
    "random crop": Random(before=random_crop),
    "stochastic depth of Python": Random(after=lambda z: z * (1 + random.random())),
    "NumPy": Random(after=lambda z: z * float(np.random.rand())),  # users' networks do
    "a generator of its own": Random(after=lambda z: z * private.random()),
}


def states():
    """Return the states of all global random generators."""
    return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())


@pytest.mark.parametrize("network", RANDOM.values(), ids=RANDOM)
def test_a_random_network_is_reported_and_the_random_state_is_kept(network):
    """The warning says what it is and what to do; the caller's random numbers are those without a call."""
    before = states()
    with pytest.warns(
        FusionCamWarning, match=r"in evaluation mode.*differ from run to run: .*training=self\.training"
    ):
        fc.explain(CAT, model=explained(network), method="grad-cam")
    assert states() == before


def test_the_generators_are_named():
    """A draw is reported even if it had no effect on these two passes."""
    network = explained(Random(after=lambda z: z * (random.random() < 2)))
    found = network.runner.randomness(torch.rand(1, 3, 32, 32))
    assert (found.generators, found.difference, found.is_random) == (("Python's random",), 0, True)


def test_a_model_warns_once_also_at_other_layers():
    """The network is scored twice only once, and what was found holds for all layers of the model."""
    model = explained(RANDOM["noise"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for layer in (None, "conv", "act"):
            fc.explain(CAT, model=model, layer=layer, method="grad-cam")
    assert len(caught) == 1


def test_networks_that_are_not_random_are_scored_twice_once_and_not_reported():
    """Dropout modules are off in evaluation mode; a generator with a fixed seed returns the same numbers."""
    calls = []
    noise = lambda x: x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))  # noqa: E731
    network = Random(before=lambda x: calls.append(len(x)) or noise(x), after=torch.nn.Dropout()).train()
    model = explained(network)
    x = torch.rand(2, 3, 32, 32)
    assert not model.runner.randomness(x).is_random
    assert calls == [2, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.explain(CAT, model=model, method="grad-cam")
    passes = len(calls)
    model.with_layer("conv").runner.randomness(x)
    assert len(calls) == passes


def test_the_trust_card_says_that_the_network_is_random():
    """Stability is poor, and the first sentence gives the cause."""
    with pytest.warns(FusionCamWarning, match="in evaluation mode"):
        card = fc.explain(CAT, model=explained(RANDOM["functional dropout"]), method="grad-cam", check=True).card
    assert card.words.startswith("The network draws random numbers (torch) in evaluation mode:")
    (stable,) = [question for question in card.questions if question.name == "stable"]
    assert stable.level == "poor"
    assert card.level != "good"
