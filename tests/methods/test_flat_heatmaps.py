"""A heatmap is never NaN: where there is nothing to show it is zeros, and a warning says so."""

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
from selection import REPRESENTATIVES, slow_unless
from toys import CLASSES, Pool, Toy
from twins import attention


def healthy(toy, x):
    """Leave all as it is."""
    return toy, x


def without_weights(toy, x):
    """Set every parameter to 0."""
    for parameter in toy.parameters():
        parameter.data.zero_()
    return toy, x


def dead(toy, x):
    """Let nothing pass the last ReLU."""
    parameters = list(getattr(toy, "features", toy).parameters())
    parameters[-1].data.fill_(-100)
    return toy, x


def constant_maps(toy, x):
    """Let the last maps be the same at every place."""
    convolution = next(iter(getattr(toy, "features", toy).children()))
    convolution.weight.data.zero_()
    return toy, x


def headless(toy, x):
    """Let no logit depend on the maps."""
    (toy.head if isinstance(toy.head, nn.Linear) else toy.head[-1]).weight.data.zero_()
    return toy, x


def saturated(toy, x):
    """Let one class have all of the probability, whatever is masked."""
    (toy.head if isinstance(toy.head, nn.Linear) else toy.head[-1]).weight.data.mul_(1e4)
    return toy, x


def faint(toy, x):
    """Let scores differ by next to nothing."""
    (toy.head if isinstance(toy.head, nn.Linear) else toy.head[-1]).weight.data.mul_(1e-6)
    return toy, x


def constant_image(toy, x):
    """Show one colour."""
    return toy, torch.ones_like(x) * x[:, :, :1, :1]


def black_image(toy, x):
    """Show nothing, which is what fills the masks, too."""
    return toy, torch.zeros_like(x)


def glaring_image(toy, x):
    """Show numbers that no preprocessing gives."""
    return toy, 1e3 * x


AILMENTS = [
    healthy, without_weights, dead, constant_maps, headless, saturated, faint,
    constant_image, black_image, glaring_image,
]  # fmt: skip


def small(channels, activation, pooled):
    """Build a small network, whose head is one linear layer behind the average, or more."""
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
    "ailment": st.sampled_from(AILMENTS),
    "dtype": st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
    "target": st.lists(st.integers(0, CLASSES - 1), min_size=2, max_size=2),
}


def assert_told(name, toy, x, target):
    """Heatmaps are finite and fill [0, 1], or are zeros of which a warning tells, image by image."""
    method = quick(name)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        heatmaps = method(ExplainedModel(toy), x, target)
    told = [str(one.message) for one in warned if issubclass(one.category, FlatHeatmapWarning)]
    of_its_own = [
        text for text in told if text.endswith(f"({method!r})") and "replaced by the region map" not in text
    ]

    assert len(told) == len(warned)
    assert heatmaps.isfinite().all()
    flat = {n for n, one in enumerate(heatmaps) if not one.any()}
    assert flat == {int(n) for text in of_its_own for n in re.findall(r"image (\d+)", text)} or name in STAND_IN
    assert not flat or told
    for n, one in enumerate(heatmaps):
        full = (1, 1) if name == "ones" else (0, 1)
        assert n in flat or (one.min().item(), one.max().item()) == full
    return flat


# where their own result is flat the region map is shown, which may be flat, too
STAND_IN = ("union-cam", "fusion-cam")


@pytest.mark.parametrize("name", [slow_unless(name in REPRESENTATIVES, name) for name in METHODS])
def test_flat_maps_are_zeros_and_told(name):
    """Over random networks with nothing in them, dead layers, saturated scores, flat images, in any precision."""

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(**CASES)
    def hold(seed, channels, activation, pooled, ailment, dtype, target):
        torch.manual_seed(seed)
        toy = attention.TinyViT() if name == "legrad" else small(channels, activation, pooled or name == "cam")
        toy, x = ailment(toy, torch.randn(2, 3, 8, 12))
        try:
            assert_told(name, toy.eval().to(dtype), x.to(dtype), target)
        except NonFiniteError:
            # half precision ends at 65,504, and an error tells of it
            assert dtype == torch.float16
            assert ailment in (saturated, glaring_image)

    hold()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", sorted({*METHODS} - {"ones", "random", "center", "rise"}))
def test_nothing_to_see_is_flat(name, dtype):
    """A network without weights and an image of one colour: every method says so that looks at anything.

    The others are placed by hand, or, as RISE, show where their masks happen to be open.
    """
    toy = attention.TinyViT() if name == "legrad" else small(4, nn.ReLU, pooled=True)
    toy, x = without_weights(toy.eval(), torch.ones(2, 3, 8, 12))

    assert assert_told(name, toy.to(dtype), x.to(dtype), [0, 1]) == {0, 1}
