"""Layers that a function of the user reads: token layouts, parts of an output, feature pyramids."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import InputTypeError, LayerError, MethodError, SettingError

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LAYER = "encoder.layers.encoder_layer_1.ln_1"


@pytest.fixture(scope="module")
def vit():
    """Two blocks with 4 x 4 patches and random weights."""
    torch.manual_seed(3)
    network = VisionTransformer(8, 2, 2, 2, 8, 16, num_classes=3).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


def grid(tokens):
    """Return the maps of tokens after a class token."""
    return tokens[:, 1:].reshape(len(tokens), 4, 4, -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("name", ["grad-cam", "layer-cam", "shapley-cam", "score-cam", "ablation-cam", "recipro-cam"])
def test_a_function_reads_what_the_library_reads_by_itself(vit, name):
    """Activations, gradients, second derivatives, and changed maps that are written back."""
    given = METHODS[name](ExplainedModel(vit, LAYER, reshape=grid), X, [0, 2])

    torch.testing.assert_close(given, METHODS[name](ExplainedModel(vit, LAYER), X, [0, 2]), atol=2e-5, rtol=0)


def test_gradients_are_those_of_the_maps_that_were_read(vit):
    """A reversed order reverses activations and gradients alike."""
    record = ExplainedModel(vit, LAYER, reshape=grid).record(X, [0, 2])
    reversed_ = ExplainedModel(vit, LAYER, reshape=lambda tokens: grid(tokens).flip(-1)).record(X, [0, 2])

    torch.testing.assert_close(record.activations, reversed_.activations.flip(-1))
    torch.testing.assert_close(record.gradients, reversed_.gradients.flip(-1))


class Pyramid(nn.Module):
    """A network whose features are a mapping of two sizes."""

    def __init__(self):
        super().__init__()
        self.body = Levels()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        """Return the scores."""
        levels = self.body(x)
        return self.head(levels["fine"].mean((2, 3)) + levels["coarse"].mean((2, 3)))


class Levels(nn.Module):
    """Two maps in a mapping."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, padding=1)

    def forward(self, x):
        """Return the maps by their names."""
        fine = self.fine(x).relu()
        return {"fine": fine, "coarse": self.coarse(fine)}


def joined(levels):
    """Return both maps at the size of the coarse one."""
    return torch.cat([F.interpolate(maps.abs(), (4, 4)) for maps in levels.values()], 1)


def test_computed_maps_are_read_only():
    """Methods that only read work; gradients and changed maps have an error that names them."""
    model = ExplainedModel(Pyramid().eval(), "body", reshape=joined)

    assert model.record(X, 0).activations.shape == (2, 8, 4, 4)
    assert METHODS["eigen-cam"](model, X, 0).amax() == METHODS["score-cam"](model, X, 0).amax() == 1
    for name in ("grad-cam", "shapley-cam", "ablation-cam"):
        with pytest.raises(MethodError, match=r"computes maps instead of rearranging .* eigen-cam or score-cam"):
            METHODS[name](model, X, 0)


@pytest.mark.parametrize("function", [lambda maps: F.avg_pool2d(maps, 2), lambda maps: maps - 1e-9])
def test_computed_values_are_not_taken_for_values_of_the_output(function):
    """Not even where they are near one."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model = ExplainedModel(network.eval(), "0", reshape=function)

    with pytest.raises(MethodError, match="computes maps"):
        METHODS["grad-cam"](model, X, 0)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"reshape": "grid", "layer": LAYER}, InputTypeError, "expected a function .* got 'grid'"),
        ({"reshape": grid}, SettingError, "pass layer="),
        ({"reshape": lambda tokens: tokens, "layer": LAYER}, LayerError, r"returned \(2, 17, 8\) .* \(2, K, h, w\)"),
        (
            {"reshape": lambda tokens: None, "layer": LAYER},
            LayerError,
            "returned NoneType: return floating feature maps",
        ),
        (
            {"reshape": lambda tokens: grid(tokens)[:1], "layer": LAYER},
            LayerError,
            r"\(1, 8, 4, 4\) .* each of the 2 images",
        ),
    ],
)
def test_wrong_functions_have_an_error(vit, settings, error, message):
    """Each says what was returned and what is expected."""
    with pytest.raises(error, match=message):
        ExplainedModel(vit, **settings).record(X, 0)


def test_other_layers_are_read_as_usual(vit):
    """The function is for the model's layer; another model keeps it."""
    model = ExplainedModel(vit, LAYER, reshape=grid)

    assert model.record(X, 0, "conv_proj").activations.shape == (2, 8, 4, 4)
    assert model.with_layer("encoder.layers.encoder_layer_0").record(X, 0).activations.shape == (2, 8, 4, 4)
    with pytest.raises(LayerError, match=r"read by a function: name the layers"):
        model.layers.higher_resolution(X)
