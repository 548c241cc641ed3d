"""A heatmap is never NaN: without information it is zero, and a warning is issued."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from families import quick
from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import FlatHeatmapWarning, NonFiniteError
from selection import OF_TRANSFORMERS, REPRESENTATIVES, slow_unless
from toys import CLASSES, Pool, Toy
from twins import attention


def healthy(toy, x):
    """Change nothing."""
    return toy, x


def without_weights(toy, x):
    """Set every parameter to 0."""
    for parameter in toy.parameters():
        parameter.data.zero_()
    return toy, x


def dead(toy, x):
    """Make the last ReLU output only zeros."""
    parameters = list(getattr(toy, "features", toy).parameters())
    parameters[-1].data.fill_(-100)
    return toy, x


def constant_maps(toy, x):
    """Make the last feature maps constant."""
    convolution = next(iter(getattr(toy, "features", toy).children()))
    convolution.weight.data.zero_()
    return toy, x


def headless(toy, x):
    """Make the logits independent of the feature maps."""
    (toy.head if isinstance(toy.head, nn.Linear) else toy.head[-1]).weight.data.zero_()
    return toy, x


def saturated(toy, x):
    """Give one class a probability of 1 under every mask."""
    (toy.head if isinstance(toy.head, nn.Linear) else toy.head[-1]).weight.data.mul_(1e4)
    return toy, x


def faint(toy, x):
    """Make the differences of scores tiny."""
    (toy.head if isinstance(toy.head, nn.Linear) else toy.head[-1]).weight.data.mul_(1e-6)
    return toy, x


def constant_image(toy, x):
    """Use an image of one colour."""
    return toy, torch.ones_like(x) * x[:, :, :1, :1]


def black_image(toy, x):
    """Use a black image, which equals the fill of the masks."""
    return toy, torch.zeros_like(x)


def glaring_image(toy, x):
    """Use values that no preprocessing produces."""
    return toy, 1e3 * x


CONDITIONS = [
    healthy, without_weights, dead, constant_maps, headless, saturated, faint,
    constant_image, black_image, glaring_image,
]  # fmt: skip


def small(channels, activation, pooled):
    """Return a small network whose head is average pooling and one linear layer, or more layers."""
    features = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, stride=2), activation(), nn.Conv2d(channels, channels, 3, padding=1)
    )
    features.append(nn.ReLU())
    more = [] if pooled else [nn.Conv2d(channels, channels, 3), nn.Softplus()]
    return Toy(features, nn.Sequential(*more, Pool(), nn.Linear(channels, CLASSES)))


CASES = {
    "seed": st.integers(0, 2**16),
    "channels": st.integers(1, 5),
    "activation": st.sampled_from([nn.ReLU, nn.Softplus, nn.Tanh]),
    "pooled": st.booleans(),
    "condition": st.sampled_from(CONDITIONS),
    "dtype": st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
    "target": st.lists(st.integers(0, CLASSES - 1), min_size=2, max_size=2),
}


def assert_valid(name, toy, x, target):
    """Assert that each heatmap fills [0, 1], or is zero with a warning; return the indices of flat ones."""
    method = quick(name)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        heatmaps = method(ExplainedModel(toy), x, target)
    messages = [str(warning.message) for warning in warned if issubclass(warning.category, FlatHeatmapWarning)]
    own = [text for text in messages if text.endswith(f"({method!r})") and "replaced by the region map" not in text]

    assert len(messages) == len(warned)
    assert heatmaps.isfinite().all()
    flat = {n for n, heatmap in enumerate(heatmaps) if not heatmap.any()}
    assert flat == {int(n) for text in own for n in re.findall(r"image (\d+)", text)} or name in STAND_IN
    assert not flat or messages
    for n, heatmap in enumerate(heatmaps):
        full = (1, 1) if name == "ones" else (0, 1)
        assert n in flat or (heatmap.min().item(), heatmap.max().item()) == full
    return flat


# methods whose flat result is replaced by the region map, which may be flat, too
STAND_IN = ("union-cam", "fusion-cam")


@pytest.mark.parametrize("name", [slow_unless(name in REPRESENTATIVES, name) for name in METHODS])
def test_flat_heatmaps_are_zero_with_a_warning(name):
    """For random networks, also without weights or with saturated scores, and flat images, in any precision."""

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(**CASES)
    def check(seed, channels, activation, pooled, condition, dtype, target):
        torch.manual_seed(seed)
        toy = attention.TinyViT() if name in OF_TRANSFORMERS else small(channels, activation, pooled or name == "cam")
        toy, x = condition(toy, torch.randn(2, 3, 8, 12))
        try:
            assert_valid(name, toy.eval().to(dtype), x.to(dtype), target)
        except NonFiniteError:
            # half precision overflows above 65,504, which raises an error
            assert dtype == torch.float16
            assert condition in (saturated, glaring_image)

    check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", sorted({*METHODS} - {"ones", "random", "center", "rise", "d-rise"}))
def test_network_without_weights_has_flat_heatmaps(name, dtype):
    """For an image of one colour, all methods warn except those that do not depend on network or image.

    RISE and D-RISE are excluded because they show where their random masks are open.
    """
    toy = attention.TinyViT() if name in OF_TRANSFORMERS else small(4, nn.ReLU, pooled=True)
    toy, x = without_weights(toy.eval(), torch.ones(2, 3, 8, 12))

    assert assert_valid(name, toy.to(dtype), x.to(dtype), [0, 1]) == {0, 1}
