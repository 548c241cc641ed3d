"""Test methods on families of networks: they return heatmaps and leave the network unchanged.

On every family runs one method for each way to use a network, and on a few of them every method: the others differ in
what they compute, not in what they run.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from families import ALL, FAMILIES, heatmaps_of, problem, quick
from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import MethodError
from fusioncam.functional.heatmaps import minmax, upsample, weighted_sum
from selection import OF_TRANSFORMERS, REPRESENTATIVES, WAYS, WITH_NOISE
from twins import attention

pytestmark = pytest.mark.usefixtures("one_thread")


def of(names):
    """Return families as parameters: those of the long list are slow, those whose package is missing are skipped."""
    return [family_param(name in FAMILIES, name) for name in names]


def family_param(default, name, *others):
    """Return a family, with other values, as a parameter that is slow unless it belongs to the default selection."""
    missing = pytest.mark.skipif(not ALL[name].available, reason=f"needs {ALL[name].needs}")
    return pytest.param(name, *others, marks=[missing, *([] if default else [pytest.mark.slow])])


def state_of(network):
    """Return the state of a network that a call must restore, except for parameters and buffers."""
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in network.modules()]
    flags = [m.training for m in network.modules()]
    return hooks, flags, [(p.grad, p.requires_grad) for p in network.parameters()]


# a CNN, tokens, channels last, and trained weights in single precision; signals and volumes are among the toys
FOR_EVERY_METHOD = ("timm ResNet", "timm ViT", "torchvision Swin", "EfficientNet Lite 0")
# methods with a percentile: where tiny maps have plateaus, rounding decides on which side of it a plateau is
WITH_PERCENTILE = ("fusion-cam:xplaincam", "meta-cam")


def tolerance(x, double=1e-6, single=1e-2):
    """Return the tolerance for equal maps.

    Small gains, and Grad-CAM++ where it divides by nearly 0, amplify the rounding of single precision.
    """
    return double if x.dtype == torch.float64 else single


@pytest.mark.parametrize(
    ("name", "method"),
    [
        family_param(name in FAMILIES and method in REPRESENTATIVES, name, method)
        for name, method in product(ALL, METHODS)
        if name in FOR_EVERY_METHOD or method in WAYS or (name in FAMILIES and method in REPRESENTATIVES)
    ],
)
def test_method_supports_family(name, method):
    """Heatmaps are valid and independent of the batch, and the network is unchanged; or there is a MethodError."""
    family, (network, x, _) = ALL[name], problem(name)
    next(network.children()).train()  # flags that differ
    before, values = state_of(network), {key: value.clone() for key, value in network.state_dict().items()}

    with torch.no_grad():
        if family.refuses(method):
            with pytest.raises(MethodError, match=method):
                heatmaps_of(name, method, 0, 1)
            heatmaps = None
        else:
            heatmaps, warned = heatmaps_of(name, method, 0, 1)
            alone, _ = heatmaps_of(name, method, 1)
        assert not torch.is_grad_enabled()

    assert state_of(network) == before
    assert all(value.equal(values[key]) for key, value in network.state_dict().items())
    if heatmaps is not None:
        assert_valid(heatmaps, x, warned, method)
        if method not in WITH_PERCENTILE:
            torch.testing.assert_close(alone[0], heatmaps[1], rtol=0, atol=tolerance(x))


def assert_valid(heatmaps, x, warned, method):
    """Assert that a heatmap has the image's size and the range [0, 1], or is zeros with a warning."""
    assert heatmaps.shape == (len(x), *x.shape[2:])
    assert heatmaps.dtype == x.dtype
    assert not heatmaps.requires_grad
    for n, heatmap in enumerate(heatmaps):
        if method != "ones" and any(f"image {n} " in text for text in warned) and not heatmap.any():
            continue
        assert (heatmap.min().item(), heatmap.max().item()) == ((1, 1) if method == "ones" else (0, 1))


def head_of(network):
    """Return the weights of the last linear layer, which is the head."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1].weight.detach()


@pytest.mark.parametrize("name", of(name for name, family in ALL.items() if family.pooled))
def test_methods_that_agree_before_average_pooling(name):
    """Grad-CAM equals XGrad-CAM there, and HiResCAM equals CAM, which has no ReLU."""
    network, x, target = problem(name)
    grad, xgrad, hires, cam = (
        heatmaps_of(name, method, 0, 1)[0] for method in ("grad-cam", "xgrad-cam", "hires-cam", "cam")
    )

    raw = weighted_sum(ExplainedModel(network).record(x, target).activations, head_of(network)[target])
    by_hand = [minmax(upsample(cam, x.shape[2:])) for cam in (raw.relu(), raw)]

    for first, second in [(grad, xgrad), (hires, by_hand[0]), (cam, by_hand[1])]:
        torch.testing.assert_close(first, second, rtol=0, atol=tolerance(x, 1e-9, 1e-4))
    assert grad.any()


LOCATION_DEPENDENT = [
    "3-D CNN",
    "torchvision VGG",
    "timm VGG",
    *(name for name, family in ALL.items() if family.attends),
]


@pytest.mark.parametrize("name", of(LOCATION_DEPENDENT))
def test_grad_cam_differs_where_the_head_depends_on_location(name):
    """Where the head depends on the location, Grad-CAM and HiResCAM differ, so that the test above can fail."""
    grad, hires = (heatmaps_of(name, method, 0, 1)[0] for method in ("grad-cam", "hires-cam"))

    assert (grad - hires).abs().max() > 1e-3


def symmetric_cnn(channels=6):
    """Return a network that is invariant to mirroring, since every kernel is its own mirror image."""
    torch.manual_seed(1)  # with this seed no heatmap is flat
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


def symmetric_transformer():
    """Return such a transformer, whose position embedding is its own mirror image too."""
    network, x, _ = attention.problem()
    patches, positions = network.patch_embed.weight.data, network.pos_embed.data[:, 1:]
    patches += patches.flip(-1)
    positions += positions.reshape(1, 4, 6, -1).flip(2).reshape(positions.shape)
    return network, x


@pytest.mark.parametrize("method", sorted({*METHODS} - {*WITH_NOISE}))
def test_heatmap_of_a_mirrored_image_is_mirrored(method):
    """If the network is invariant to mirroring, the heatmap is mirrored with the image."""
    network, x = symmetric_transformer() if method in OF_TRANSFORMERS else symmetric_cnn()
    torch.testing.assert_close(network(x.flip(-1)), network(x))
    target = network(x).argmax(1)
    explain = lambda x: quick(method)(ExplainedModel(network), x, target)  # noqa: E731

    heatmaps, flipped = explain(x), explain(x.flip(-1))

    torch.testing.assert_close(flipped, heatmaps.flip(-1), rtol=0, atol=1e-9)
    if method not in ("center", "ones"):
        assert (heatmaps - heatmaps.flip(-1)).abs().max() > 0.1
