"""Test how outputs that are not logits are recognised and read."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import FusionCamWarning
from fusioncam.tasks import MultiLabel, Segmentation


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


SIGMOIDS = {
    "module": nn.Sigmoid(),
    "function": torch.sigmoid,
    "in place": lambda z: z.sigmoid_(),
    "hard": F.hardsigmoid,
    "stacked": lambda z: torch.stack([one.sigmoid() for one in z.unbind(1)], 1),
    "permuted": lambda z: torch.sigmoid(z)[:, list(reversed(range(z.shape[1])))].contiguous(),
    "squeezed": lambda z: z[..., None, None].sigmoid(),
    "written": lambda z: torch.zeros_like(z).index_put_((torch.arange(len(z)),), z.sigmoid()),
    "averaged": lambda z: (z.sigmoid() + (2 * z).sigmoid()) / 2,
    "multiplied": lambda z: z.sigmoid() * z[:, :1].sigmoid(),
    "calibrated": lambda z: z.sigmoid() * torch.linspace(0.1, 1, z.shape[1]),
}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("last", SIGMOIDS.values(), ids=SIGMOIDS)
def test_sigmoids_are_reported_and_read_as_log_odds(last, grad):
    """A sigmoid is found in a module, a function, and behind operations that only rearrange or scale its results."""
    network, x = net_of(3, last)
    model = ExplainedModel(network, "maps")
    with pytest.warns(FusionCamWarning, match=r"\[0, 1\].*fusioncam\.tasks\.MultiLabel"):
        logits = model.record(x, 0).logits if grad else model.logits(x)
    assert torch.allclose(logits.sigmoid(), raw(network, x).flatten(1), atol=1e-6)


def test_a_sigmoid_in_torchscript_is_found():
    """The operations inside a scripted network are followed too."""
    network, x = net_of(3, nn.Sigmoid())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.trace is deprecated
        scripted = torch.jit.trace(network, x)
    with pytest.warns(FusionCamWarning, match="sigmoids"):
        ExplainedModel(scripted).logits(x)


NO_SIGMOIDS = {
    "weighted": lambda z: F.linear(z.sigmoid(), torch.full((3, 3), 0.1) + torch.eye(3) / 2),  # within [0, 1]
    "gate": lambda z: z * z.sigmoid(),
    "joined": lambda z: torch.cat([z[:, :1], z[:, 1:].sigmoid()], 1),
    "silu": F.silu,
    "log-softmax": lambda z: z.log_softmax(1),
    "log-sigmoid": F.logsigmoid,
    "scaled": lambda z: 5 * z.sigmoid(),
}


@pytest.mark.parametrize("last", NO_SIGMOIDS.values(), ids=NO_SIGMOIDS)
def test_logits_that_depend_on_sigmoids_are_left_alone(last):
    """A sigmoid inside of the network does not make its outputs probabilities."""
    network, x = net_of(3, last)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(ExplainedModel(network, "maps").logits(x), raw(network, x))


def test_logits_within_0_and_1_are_no_sigmoids():
    """Gates give values from sigmoids and others, here all within [0, 1]: only their origin separates them."""
    network, x = net_of(3, lambda z: (z * z.sigmoid()).abs() / 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ExplainedModel(network, "maps").logits(x)


def test_log_odds_within_0_and_1_are_no_sigmoids():
    """Those of sigmoids, as a detector returns them, are logits wherever they are."""
    network, x = net_of(3, lambda z: (0.5 + z.sigmoid() / 10).logit())
    model = ExplainedModel(network)
    assert 0 <= raw(network, x).min() <= raw(network, x).max() <= 1
    assert torch.equal(model.logits(x), raw(network, x))


def test_logarithms_of_probabilities_are_named():
    """Their softmax is the network's own probability, so they are used as they are, without a warning."""
    network, x = net_of(3, lambda z: z.log_softmax(1))
    model = ExplainedModel(network, "maps")
    assert torch.allclose(model.scores(x, 1, "probability"), raw(network, x)[:, 1].exp(), atol=1e-6)
    assert model.runner.reader.reading == "logarithms of probabilities"


ONE_SIGMOID = {
    "column": torch.sigmoid,
    "no column": lambda z: z[:, 0].sigmoid(),
    "sides of 1": lambda z: z.sigmoid()[..., None, None],
}


@pytest.mark.parametrize("last", ONE_SIGMOID.values(), ids=ONE_SIGMOID)
def test_one_sigmoid_is_the_probability(last):
    """The probability is the network's own and not the sigmoid of it, whatever the shape of the output."""
    network, x = net_of(1, last)
    with pytest.warns(FusionCamWarning, match="one output, a sigmoid.*tasks.MultiLabel"):
        probability = ExplainedModel(network, "maps").scores(x, 0, "probability")
    assert torch.allclose(probability, raw(network, x).flatten(), atol=1e-6)


@pytest.mark.parametrize("last", [lambda z: z[:, 0], lambda z: z[..., None, None]], ids=["no column", "sides of 1"])
def test_one_logit_of_any_shape_is_read(last):
    """One number per image is one output."""
    network, x = net_of(1, last)
    with pytest.warns(FusionCamWarning, match="one output.*tasks.Regression"):
        logits = ExplainedModel(network, "maps").logits(x)
    assert torch.equal(logits[:, 0], raw(network, x).flatten())


@pytest.mark.parametrize(
    ("classes", "last"), [(3, torch.sigmoid), (1, lambda z: z[:, 0].sigmoid()), (2, nn.Softmax(1))]
)
def test_a_label_of_a_network_with_probabilities_has_its_own(classes, last):
    """`MultiLabel` turns sigmoids and a softmax inside the network into log-odds, without a warning."""
    network, x = net_of(classes, last)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = ExplainedModel(MultiLabel(network, classes - 1), "wrapped.maps").scores(x, 1, "probability")
    assert torch.allclose(scores, raw(network, x).reshape(2, -1)[:, -1], atol=1e-6)


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.Sigmoid()])
def test_segmentation_reads_probabilities_as_logits(last):
    """The scores are those of the same network without its last function, up to a constant for the softmax."""
    convolution, x = nn.Conv2d(3, 2, 1), torch.rand(2, 3, 8, 8)
    region = torch.ones(8, 8, dtype=torch.bool)
    plain, other = (Segmentation(network, region)(x) for network in (convolution, nn.Sequential(convolution, last)))
    if isinstance(last, nn.Softmax):
        plain, other = (scores - scores.mean(1, keepdim=True) for scores in (plain, other))
    assert torch.allclose(plain, other, atol=1e-4)


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
