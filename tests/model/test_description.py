"""Test what `model.describe` finds out about a network."""

from __future__ import annotations

import json
import re
import warnings

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from fusioncam import ExplainedModel, Preprocessing
from samples import Small


class Net(nn.Module):
    """A convolution and a linear layer, with functions after both."""

    def __init__(self, classes=3, last=lambda z: z, middle=torch.relu):
        super().__init__()
        self.maps, self.head, self.last, self.middle = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, classes), last, middle

    def forward(self, x):
        """Return outputs ``(N, classes)``."""
        return self.last(self.head(self.middle(self.maps(x)).mean(dim=[2, 3])))


class WithoutGradients(Small):
    """A network that computes its scores without gradients."""

    @torch.no_grad()
    def forward(self, x):
        """Return scores ``(N, classes)``."""
        return super().forward(x)


def described(network, x=None, **settings):
    """Return the description with warnings as errors, and check that it is JSON and changes no random state."""
    state = torch.get_rng_state()
    model = ExplainedModel(network, name="net", preprocessing=Preprocessing((32, 32), 32, **settings))
    description = model.describe(torch.linspace(-2, 2, 3 * 32 * 32).reshape(1, 3, 32, 32) if x is None else x)
    assert torch.equal(torch.get_rng_state(), state)
    assert json.loads(json.dumps(description.to_dict()))["model"] == "net"
    return description


def test_a_usual_network_has_no_problems():
    """One paragraph names the outputs, the class, the layer and how its output is read."""
    torch.manual_seed(1)
    description = described(Small())
    assert str(description).startswith(
        "net returns 5 scores for an input (3, 32, 32), read as logits, and the same scores each time: class "
    )
    assert str(description).endswith(
        "Hooks work, gradients work. The layer is 'act' (ReLU), one of 2 with feature maps; its output (6, 8, 8) is "
        "read as 6 channels of 8 x 8, channels first, not as 8 channels of 6 x 8, channels last. "
        "No problem was found."
    )
    assert (description.random, description.problems, description.layers) == (False, (), 2)


@pytest.mark.parametrize(
    ("network", "reading", "problem"),
    [
        (Net(last=lambda z: z.softmax(1)), "probabilities that sum to 1", "logarithms are used"),
        (Net(last=torch.sigmoid), "sigmoids", "fusioncam.tasks.MultiLabel"),
        (Net(1), "the logit of a yes or no question", "fusioncam.tasks.Regression"),
        (Net(1, torch.sigmoid), "the probability of a yes or no question", "fusioncam.tasks.MultiLabel"),
        (Net(last=lambda z: 1 / (1 + torch.exp(-z))), "logits", "all outputs for this image are within [0, 1]"),
        (Net(middle=F.dropout), "logits", "training=self.training"),
        (Net(last=lambda z: z * torch.nan), "logits", "NaN or infinity"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_problems_of_the_outputs_say_what_to_do(network, reading, problem):
    """The reading of the outputs is named, and each problem says what to wrap or to change."""
    description = described(network)
    assert description.reading == reading
    assert [text for text in description.problems if problem in text], description.problems
    assert description.random == (network.middle is F.dropout)


def test_networks_without_hooks_or_gradients_are_described():
    """What works is said, what does not is a problem with methods that do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated
        traced = torch.jit.trace(Small().eval(), torch.rand(1, 3, 32, 32))
        optimised = described(torch.jit.optimize_for_inference(traced))
    assert (optimised.hooks, optimised.layer, optimised.outputs) == (False, None, 5)
    assert "hooks do not run in this network" in optimised.problems[-1]
    description = described(WithoutGradients())
    assert (description.hooks, description.gradients, description.layer.name) == (True, False, "act")
    assert "use score-cam, recipro-cam or rise" in description.problems[-1]


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (nn.Conv2d(3, 2, 1), r"got \(1, 2, 32, 32\): wrap a .* in fusioncam.tasks.Segmentation"),
        (nn.Linear(7, 2), "the network cannot be run: RuntimeError: mat1 and mat2"),
    ],
)
def test_a_network_that_cannot_be_run_is_described(network, problem):
    """Nothing is raised."""
    description = described(network)
    assert description.outputs is None
    assert str(description).startswith("net returns no scores for an input (3, 32, 32). The network cannot be run: ")
    assert re.search(problem, description.problems[0])


def test_a_network_without_feature_maps_is_described():
    """The error of the search for layers is the problem."""
    description = described(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))
    assert (description.layer, description.outputs) == (None, 3)
    assert description.problems[-1].startswith("no layer is chosen: no layer outputs feature maps")


def test_tokens_are_described_with_their_grid():
    """Of a transformer, other tokens and the readings that the shape alone would allow are named."""
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, patch_size=8).eval()
    layer = described(network).layer
    assert layer.shape == (17, 192)
    assert layer.reading == "tokens: 192 channels of 4 x 4, beside 1 other token"
    assert layer.rejected == ("17 channels of 192, channels first", "192 channels of 17, channels last")


def test_a_black_or_cropped_image_is_a_problem():
    """The image is described where its channels are those of the preprocessing."""
    black = torch.full((1, 3, 32, 32), -0.5)
    model = ExplainedModel(Small(), preprocessing=Preprocessing((32, 32), 32, mean=(0.5,) * 3, std=(1,) * 3))
    description = model.describe(black, (320, 32))
    assert (description.image.brightness, description.image.kept) == (0, 0.1)
    assert "nearly black" in description.problems[0]
    assert "receives 10% of the image" in description.problems[1]
    assert described(Small(channels=1), torch.zeros(1, 1, 32, 32)).image is None
