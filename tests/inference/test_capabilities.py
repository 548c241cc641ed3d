"""Networks in parts of which hooks do not run, or whose scores have no gradients."""

import copy
import warnings

import pytest
import torch
from torch import nn

import fusioncam as fc
from fusioncam.errors import LayerError, MethodError, ShapeError
from fusioncam.inference.capabilities import no_hooks_error
from fusioncam.methods.registry import as_method

REGION = ("score-cam", "recipro-cam", "ablation-cam", "eigen-cam", "rise(masks=16)")


class Net(nn.Module):
    """Its maps are computed in a context, such as ``torch.no_grad()``."""

    def __init__(self, context=torch.enable_grad):
        super().__init__()
        self.context = context
        self.maps = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 4, 3))
        self.head = nn.Linear(4, 5)
        self.head.weight.data.abs_()
        self.maps[2].weight.data.abs_()

    def forward(self, x):
        """Return the scores."""
        with self.context():
            features = self.maps(x).mean((2, 3))
        return self.head(features.clone())


def plain():
    """Return a network whose heatmaps are not constant."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    network[4].weight.data.abs_()
    return network.eval()


def deprecated(make):
    """Return what a function of torch returns that warns that it is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


X = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_hooks_run_around_a_scripted_part():
    """The output of a scripted part can be recorded, as can the layers behind it."""
    network = nn.Sequential(deprecated(lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3)))), *plain()[2:4])
    assert no_hooks_error(network, "0") is None
    assert fc.ExplainedModel(network, "0").record(X, 0).gradients.shape == (2, 4, 14, 14)
    with pytest.raises(LayerError, match="module '0', which is TorchScript"):
        fc.ExplainedModel(network, "0.0").record(X, 0)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_methods_without_gradients_explain_detached_parts(context):
    """They return the heatmaps of the same network with gradients; methods that need gradients raise the cause."""
    torch.manual_seed(0)
    network = Net().eval()
    detached = copy.deepcopy(network)
    detached.context = context
    for name in REGION:
        method = as_method(name)[1]
        expected, heatmaps = (method(fc.ExplainedModel(net, "maps"), X, 1) for net in (network, detached))
        torch.testing.assert_close(heatmaps, expected)
    assert fc.ExplainedModel(detached).layer_for(X) == "maps"
    with pytest.raises(MethodError, match=r"no_grad.*use a method that needs no gradients: score-cam"):
        fc.METHODS["grad-cam"](fc.ExplainedModel(detached, "maps"), X, 1)


def test_quantised_networks_are_named():
    """An int8 head leaves the activations, but no gradients."""
    network = deprecated(lambda: torch.ao.quantization.quantize_dynamic(Net().eval(), {nn.Linear}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that integers have no gradients
        assert fc.METHODS["score-cam"](fc.ExplainedModel(network), X, 1).shape == (2, 16, 16)
        with pytest.raises(MethodError, match=r"the network is quantised \(Linear\)"):
            fc.METHODS["grad-cam"](fc.ExplainedModel(network), X, 1)


def test_frozen_parameters_change_nothing():
    """Gradients of the activations need none of the parameters."""
    network = plain()
    frozen = copy.deepcopy(network).requires_grad_(False)
    heatmaps, expected = (fc.METHODS["grad-cam"](fc.ExplainedModel(net), X, 1) for net in (frozen, network))
    torch.testing.assert_close(heatmaps, expected)


def test_copies_made_in_a_pass_lose_the_hooks():
    """A copy that the network keeps runs no hooks after the pass."""

    class Copying(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.kept = plain(), []

        def forward(self, x):
            self.kept.append(copy.deepcopy(self.net))
            return self.net(x)

    network = Copying()
    fc.METHODS["grad-cam"](fc.ExplainedModel(network), X, 1)
    for kept in network.kept:
        assert kept(X).shape == (2, 5)


def test_images_of_another_shape_are_refused():
    """An exported network takes images of one shape, unless it was exported for others."""
    fixed = fc.ExplainedModel(torch.export.export(plain(), (X,)).module())
    with pytest.raises(ShapeError, match=r"exported for inputs of one shape and refuses x .* dynamic_shapes"):
        as_method("rise(masks=5)")[1](fixed, X[..., :8], 0)
