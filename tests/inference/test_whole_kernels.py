"""Convolutions whose kernel covers the whole input are computed as products, with the same results."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fusioncam import ExplainedModel
from fusioncam.inference import whole_kernels
from fusioncam.inference.eval_mode import exclusive_eval

X = torch.rand(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def small_kernels_count(monkeypatch):
    """Kernels of any size count as large."""
    monkeypatch.setattr(whole_kernels, "_LARGE", 1)


@pytest.fixture
def products(monkeypatch):
    """The shapes of the products that are computed."""
    shapes = []
    linear = F.linear
    monkeypatch.setattr(F, "linear", lambda x, *rest: shapes.append(tuple(x.shape)) or linear(x, *rest))
    return shapes


def test_whole_kernel_is_a_product(products):
    """The scores and the gradient are those of the convolution; copies compute products of their own weights."""
    conv = nn.Conv2d(4, 5, 3)
    expected = conv(X)
    with exclusive_eval(conv, grad=True):
        torch.testing.assert_close(conv(X), expected)
        copied = copy.deepcopy(conv)
        copied.weight.data *= 2
        assert products == [(2, 36)]
        torch.testing.assert_close(copied(X) - copied.bias[:, None, None], 2 * (expected - conv.bias[:, None, None]))
    assert len(products) == 2
    assert "forward" not in vars(conv)
    assert conv(X).equal(expected)


@pytest.mark.parametrize(
    ("conv", "x"),
    [
        (nn.Conv2d(4, 5, 3), torch.rand(2, 4, 4, 4)),
        (nn.Conv2d(4, 5, 3), X[0]),
        (nn.Conv2d(4, 5, 3).to(memory_format=torch.channels_last), X),
        (nn.Conv2d(4, 5, 3, padding=1), X),
        (nn.Conv2d(4, 4, 3, groups=2), X),
        (nn.Conv2d(4, 5, 2, dilation=2), X),
        (type("Own", (nn.Conv2d,), {})(4, 5, 3), X),
    ],
    ids=["larger input", "one image", "channels last", "padding", "groups", "dilation", "subclass"],
)
def test_other_convolutions_stay_as_they_are(conv, x, products):
    """They return exactly what they return otherwise."""
    expected = conv(x)
    with exclusive_eval(conv, grad=False):
        assert conv(x).equal(expected)
    assert not products


def test_small_kernels_stay_as_they_are(products, monkeypatch):
    """Reordering them takes no time."""
    monkeypatch.undo()
    with exclusive_eval(conv := nn.Conv2d(4, 5, 3), grad=False):
        assert "forward" not in vars(conv)


def test_a_forward_of_the_users_own_is_kept():
    """It is neither replaced nor removed."""
    conv = nn.Conv2d(4, 5, 3)
    conv.forward = lambda x: x
    with exclusive_eval(conv, grad=False):
        assert conv(X) is X
    assert conv(X) is X


def test_masked_passes_use_products(products):
    """Scores of masked images in replicas are those of single passes."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 6), nn.Flatten())
    model, x, masks = ExplainedModel(network, "1"), torch.rand(1, 3, 6, 6), torch.rand(9, 1, 6, 6)
    scores = model.masked_scores(x, masks, 2, readout="logit")
    assert (4, 144) in products
    torch.testing.assert_close(scores[:, 0], network(x * masks)[:, 2])
    assert not any("forward" in vars(module) for module in network)
