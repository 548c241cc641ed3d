"""Our methods as an ``Attribution`` of captum and an ``explain_func`` of Quantus, run by these libraries."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel
from captum.metrics import infidelity
from torch import nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.compat.captum import Attribution, FusionCamAttribution
from fusioncam.compat.quantus import explain_func
from fusioncam.errors import InputTypeError, SettingError

X = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    """A small network whose heatmaps are not constant."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    network = nn.Sequential(*layers)
    network[4].weight.data.abs_()
    return network.eval()


def test_attributions_are_heatmaps(network):
    """With a channel, for a class, one per image, or the predicted ones."""
    attribution = FusionCamAttribution(network, "grad-cam", network[1])
    expected = METHODS["grad-cam"](ExplainedModel(network, "1"), X, [0, 1, 2])

    assert isinstance(attribution, Attribution)
    assert not attribution.has_convergence_delta()
    torch.testing.assert_close(attribution.attribute(X, target=torch.tensor([0, 1, 2]))[:, 0], expected)
    torch.testing.assert_close(attribution.attribute((X,), target=0)[0], attribution.attribute(X, 0))
    torch.testing.assert_close(attribution.attribute(X), attribution.attribute(X, network(X).argmax(1)))


def test_captum_uses_the_attributions(network):
    """Its noise tunnel and its infidelity."""
    attribution = FusionCamAttribution(network, "grad-cam", "1", per_channel=True)
    smooth = NoiseTunnel(attribution).attribute(X, nt_samples=2, stdevs=0.01, target=1)
    faults = infidelity(network, lambda x: (noise := 0.1 * torch.randn_like(x), x - noise), X, smooth, target=1)

    assert smooth.shape == X.shape
    torch.testing.assert_close(smooth, attribution.attribute(X, target=1), atol=0.2, rtol=0)
    assert faults.isfinite().all()


def test_captum_s_other_arguments_have_an_error(network):
    """Several inputs and forward arguments."""
    attribution = FusionCamAttribution(network, "grad-cam", "1")
    with pytest.raises(InputTypeError, match="one input tensor, got 2"):
        attribution.attribute((X, X), 0)
    with pytest.raises(SettingError, match="wrap the network"):
        attribution.attribute(X, 0, additional_forward_args=(1,))


def test_quantus_measures_the_heatmaps(network):
    """A metric that calls the function itself, with the same result as for our heatmaps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports warn about packages that are not installed
        import quantus

        metric = quantus.PixelFlipping(features_in_step=64, disable_warnings=True, display_progressbar=False)
        arrays = {"x_batch": X.numpy(), "y_batch": np.array([0, 1, 2]), "softmax": True, "device": "cpu"}
        kwargs = {"method": "layer-cam", "layer": "1"}
        found = metric(network, a_batch=None, explain_func=explain_func, explain_func_kwargs=kwargs, **arrays)
        heatmaps = METHODS["layer-cam"](ExplainedModel(network, "1"), X, [0, 1, 2])[:, None]
        expected = metric(network, a_batch=heatmaps.numpy(), **arrays)

    np.testing.assert_allclose(found, expected, atol=1e-5)
