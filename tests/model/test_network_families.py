"""Every method on every family of networks: it runs, gives heatmaps, and leaves no trace."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from families import ALL, FAMILIES, heatmaps_of, problem, quick
from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import MethodError
from fusioncam.functional.heatmaps import minmax, upsample, weighted_sum
from selection import REPRESENTATIVES
from twins import attention

pytestmark = pytest.mark.usefixtures("one_thread")


def of(names):
    """Return families as parameters: those of the long list are slow, those whose package is missing are skipped."""
    return [family_param(name in FAMILIES, name) for name in names]


def family_param(default, name, *others):
    """Return a family, with other values, as a parameter that is slow unless it belongs to the default selection."""
    missing = pytest.mark.skipif(not ALL[name].there, reason=f"needs {ALL[name].needs}")
    return pytest.param(name, *others, marks=[missing, *([] if default else [pytest.mark.slow])])


def traces(network):
    """All that a call could leave behind on a network, parameters and buffers apart."""
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in network.modules()]
    flags = [m.training for m in network.modules()]
    return hooks, flags, [(p.grad, p.requires_grad) for p in network.parameters()]


# they cut at a percentile: where tiny maps leave plateaus, rounding decides on which side one falls
CUTTING = ("fusion-cam:xplaincam", "meta-cam")


def rounding(x, double=1e-6, single=1e-2):
    """Give how far apart equal maps may lie.

    Small gains, and Grad-CAM++ where it divides by nearly 0, make much of the rounding of single precision.
    """
    return double if x.dtype == torch.float64 else single


@pytest.mark.parametrize(
    ("name", "method"),
    [
        family_param(name in FAMILIES and method in REPRESENTATIVES, name, method)
        for name, method in product(ALL, METHODS)
    ],
)
def test_method_serves_family(name, method):
    """Whole heatmaps, an image alone gets what it gets in a batch, and nothing is left; or a MethodError."""
    family, (network, x, _) = ALL[name], problem(name)
    next(network.children()).train()  # flags that differ
    before, values = traces(network), {key: value.clone() for key, value in network.state_dict().items()}

    with torch.no_grad():
        if family.refuses(method):
            with pytest.raises(MethodError, match=method):
                heatmaps_of(name, method, 0, 1)
            heatmaps = None
        else:
            heatmaps, warned = heatmaps_of(name, method, 0, 1)
            alone, _ = heatmaps_of(name, method, 1)
        assert not torch.is_grad_enabled()

    assert traces(network) == before
    assert all(value.equal(values[key]) for key, value in network.state_dict().items())
    if heatmaps is not None:
        assert_whole(heatmaps, x, warned, method)
        if method not in CUTTING:
            torch.testing.assert_close(alone[0], heatmaps[1], rtol=0, atol=rounding(x))


def assert_whole(heatmaps, x, warned, method):
    """A heatmap has the image's size and fills [0, 1]; if there is nothing to show it is zeros, with a warning."""
    assert heatmaps.shape == (len(x), *x.shape[2:])
    assert heatmaps.dtype == x.dtype
    assert not heatmaps.requires_grad
    for n, one in enumerate(heatmaps):
        if method != "ones" and any(f"image {n} " in text for text in warned) and not one.any():
            continue
        assert (one.min().item(), one.max().item()) == ((1, 1) if method == "ones" else (0, 1))


def head_of(network):
    """Give the weights of the last linear layer, which is the head."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1].weight.detach()


@pytest.mark.parametrize("name", of(name for name, family in ALL.items() if family.pooled))
def test_equal_behind_a_pooling_head(name):
    """There Grad-CAM equals XGrad-CAM, and HiResCAM equals CAM, which has no ReLU of its own."""
    network, x, target = problem(name)
    grad, xgrad, hires, cam = (
        heatmaps_of(name, one, 0, 1)[0] for one in ("grad-cam", "xgrad-cam", "hires-cam", "cam")
    )

    raw = weighted_sum(ExplainedModel(network).record(x, target).activations, head_of(network)[target])
    by_hand = [minmax(upsample(one, x.shape[2:])) for one in (raw.relu(), raw)]

    for one, other in [(grad, xgrad), (hires, by_hand[0]), (cam, by_hand[1])]:
        torch.testing.assert_close(one, other, rtol=0, atol=rounding(x, 1e-9, 1e-4))
    assert grad.any()


PLACED = ["3-D CNN", "torchvision VGG", "timm VGG", *(name for name, family in ALL.items() if family.attends)]


@pytest.mark.parametrize("name", of(PLACED))
def test_not_equal_where_places_differ(name):
    """A head that tells places apart tells Grad-CAM from HiResCAM, so that the equality above is no accident."""
    grad, hires = (heatmaps_of(name, one, 0, 1)[0] for one in ("grad-cam", "hires-cam"))

    assert (grad - hires).abs().max() > 1e-3


# what draws noise or knows places by itself does not turn with the image
OF_NOISE = ("smooth-grad-cam++", "expected-grad-cam", "ss-cam", "rise", "augmented", "random")


def even_cnn(channels=6):
    """A network to which left and right are the same: every kernel is its own mirror image."""
    torch.manual_seed(1)  # of this seed every method finds something
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, channels, 2, stride=2),
        nn.Softplus(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 3),
    ).double()
    for module in network:
        if isinstance(module, nn.Conv2d):
            module.weight.data += module.weight.data.flip(-1)
    return network.eval(), torch.randn(2, 3, 8, 12, dtype=torch.float64)


def even_transformer():
    """A transformer of the same kind: also the positions' embedding is its own mirror image."""
    network, x, _ = attention.problem()
    patches, positions = network.patch_embed.weight.data, network.pos_embed.data[:, 1:]
    patches += patches.flip(-1)
    positions += positions.reshape(1, 4, 6, -1).flip(2).reshape(positions.shape)
    return network, x


@pytest.mark.parametrize("method", sorted({*METHODS} - {*OF_NOISE}))
def test_the_heatmap_of_a_flipped_image_is_flipped(method):
    """Where left and right are the same to the network, the heatmap turns with the image."""
    network, x = even_transformer() if method == "legrad" else even_cnn()
    torch.testing.assert_close(network(x.flip(-1)), network(x))
    target = network(x).argmax(1)
    ask = lambda x: quick(method)(ExplainedModel(network), x, target)  # noqa: E731

    heatmaps, flipped = ask(x), ask(x.flip(-1))

    torch.testing.assert_close(flipped, heatmaps.flip(-1), rtol=0, atol=1e-9)
    if method not in ("center", "ones"):
        assert (heatmaps - heatmaps.flip(-1)).abs().max() > 0.1
