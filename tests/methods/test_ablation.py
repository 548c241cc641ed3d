"""Partial passes start at the layer: equal to full passes, cheaper, and replaced by full passes if necessary."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import families
from fusioncam import METHODS, ExplainedModel, Speed
from fusioncam.errors import LayerError
from fusioncam.inference.costs import count_passes
from fusioncam.methods.ablation import SingleLocation, WithoutChannel
from fusioncam.model import layer_ablation
from toys import CLASSES, TOYS, Pool, Twice, problem

SMALL = ["timm ResNet", "timm ViT", "torchvision Swin", "1-D CNN", "3-D CNN"]
LARGER = ["torchvision DenseNet", "torchvision ConvNeXt", "timm MaxViT"]


# passes of the trial of a layer, once for every layer and image size
TRIAL = 4


def by_full_passes(model, x, changes, target, layer):
    """Score every change of every image by a full pass of its own."""
    scores = torch.full(changes.shape[:2], torch.nan, dtype=x.dtype)
    for change, image in getattr(changes, "active", torch.ones(changes.shape[:2])).nonzero().tolist():

        def swap(module, args, output, change=change):
            which, layout = torch.tensor([change]), model.layers.layout(layer, output.shape, x[:1])
            return layout.output(changes(layout.maps(output)[0], which), output)

        hook = model.network.get_submodule(layer).register_forward_hook(swap)
        with torch.no_grad():
            scores[change, image] = model.network(x[image : image + 1])[0, target[image]]
        hook.remove()
    return scores


def assert_equals_full_passes(model, x, target, layer=None, atol=1e-12):
    """Assert that scores without a channel, and of a single location, equal full passes; return the pass counter."""
    layer = layer or model.layers.default(x)
    activations = model.record(x, target, layer).activations
    with count_passes() as meter:
        for changes in (WithoutChannel(activations), SingleLocation(activations, spread=True)):
            scores = model.ablated_scores(x, changes, target, readout="logit", layer=layer)
            expected = by_full_passes(model, x, changes, target, layer)
            torch.testing.assert_close(scores.to(x), expected, rtol=0, atol=atol, equal_nan=True)
            assert scores[~scores.isnan()].std() > 0
    return meter


# -- equal to full passes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("toy_name", TOYS)
def test_partial_passes_equal_full_passes_on_toys(toy_name):
    """On every toy, at its last feature maps."""
    toy, x, target = problem(toy_name)

    assert assert_equals_full_passes(ExplainedModel(toy, "features"), x, target).partial > 0


def of_families():
    """Return small networks, and larger ones marked as slow."""
    return [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)]


@pytest.mark.parametrize("name", of_families())
def test_partial_passes_equal_full_passes_on_families(name):
    """On networks of timm and torchvision; except for the trial, there is one full pass per image."""
    network, x, target = families.problem(name)

    meter = assert_equals_full_passes(ExplainedModel(network), x, target, atol=1e-9)

    assert meter.passes == TRIAL + 2 * len(x)
    assert meter.partial == meter.planned - meter.passes > 0


def test_partial_passes_equal_full_passes_in_float32():
    """In single precision, copies in a batch have the scores of single ones."""
    _, x, target = families.problem("timm ResNet")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = families.steady(families.FAMILIES["timm ResNet"].build(), x.shape[1:]).eval()

    assert_equals_full_passes(ExplainedModel(network), x.float(), target, atol=1e-6)


@pytest.mark.parametrize("layer", ["features.0", "features.1", "features.2", "features.4", "head.0"])
def test_partial_passes_equal_full_passes_at_any_layer(layer):
    """Before, at and after in-place operations."""
    toy, x, target = problem("small")

    assert assert_equals_full_passes(ExplainedModel(toy), x, target, layer).partial > 0


# -- networks without partial passes --------------------------------------------------------------------------


class Branches(nn.Module):
    """Two joined branches, as in GoogLeNet: concatenated, added or multiplied."""

    def __init__(self, join):
        super().__init__()
        self.stem, self.join = nn.Conv2d(3, 4, 3), join
        self.left, self.right = nn.Conv2d(4, 5, 3, padding=1), nn.Conv2d(4, 5, 1)
        self.head = nn.Sequential(Pool(), nn.Tanh(), nn.LazyLinear(CLASSES))

    def forward(self, x):
        """Return scores."""
        x = self.stem(x).relu()
        return self.head(self.join(self.left(x).relu(), self.right(x)))


def concatenated(left, right):
    """Concatenate channels, which requires equal batch sizes."""
    return torch.cat([left, right], 1)


def branches(join, kind=Branches):
    """Return a network of branches with two images."""
    network = kind(join)
    network(torch.randn(1, 3, 8, 8))
    return network.double().eval(), torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 2])


@pytest.mark.parametrize("layer", ["left", "right"])
def test_concatenated_branch_falls_back_to_full_passes(layer):
    """The batch sizes differ, so that the scores are computed and counted as full passes."""
    network, x, target = branches(concatenated)

    meter = assert_equals_full_passes(ExplainedModel(network, speed=Speed(chunk=3)), x, target, layer)

    assert meter.partial == 0
    assert meter.passes == meter.planned >= 2 * (5 + 6 * 6)  # channels and locations of two images


@pytest.mark.parametrize("layer", ["left", "right", "stem"])
def test_added_branch_supports_partial_passes(layer):
    """One image broadcasts to all copies; the stem of both branches also supports them."""
    network, x, target = branches(torch.add)

    assert assert_equals_full_passes(ExplainedModel(network), x, target, layer).partial > 0


def test_network_that_depends_on_the_batch_size_falls_back_to_full_passes():
    """There is no error, but the scores of copies differ."""

    class Shared(Branches):
        def forward(self, x):
            left = self.left(self.stem(x))
            return self.head(self.join(left, left) * len(left) / len(x))

    network, x, target = branches(concatenated, Shared)

    meter = assert_equals_full_passes(ExplainedModel(network, "left"), x, target, "left")

    assert meter.partial == 0


def test_rounding_that_depends_on_the_batch_size_is_tolerated():
    """A GPU rounds a single image differently from a batch, by more than the square root of the machine epsilon."""

    class Rounded(Branches):
        def forward(self, x):
            return super().forward(x) * (1 + 1e-6 * (len(x) == 1))

    network, x, target = branches(torch.add, Rounded)

    with count_passes() as meter:
        METHODS["ablation-cam"](ExplainedModel(network, "left"), x, target)

    assert meter.partial > 0


def test_branch_of_googlenet_falls_back_to_full_passes():
    """A branch of an Inception block of torchvision's GoogLeNet."""
    block = families.tv.googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False).inception3a
    network = nn.Sequential(
        nn.Conv2d(3, 192, 3, stride=4), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, CLASSES)
    )
    network = families.steady(network, (3, 32, 32)).double().eval()
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)

    joined = assert_equals_full_passes(ExplainedModel(network), x, [1], "1")
    branch = assert_equals_full_passes(ExplainedModel(network), x, [1], "1.branch3.1.conv")

    assert (joined.passes, joined.partial > 0) == (TRIAL + 2, True)
    assert branch.partial == 0


@pytest.mark.parametrize(("layer", "times"), [("relu", 2), ("idle", 0)])
def test_layer_that_does_not_run_once_is_reported(layer, times):
    """The layer must run exactly once."""
    changes = torch.ones(1, 1, 4, 8, 8)

    with pytest.raises(LayerError, match=f"'{layer}' ran {times} times in one pass"):
        ExplainedModel(Twice(), layer).ablated_scores(
            torch.rand(1, 3, 8, 8), WithoutChannel(changes[0]), 0, readout="logit"
        )


# -- number of passes -----------------------------------------------------------------------------------------


def test_inactive_channels_need_no_pass():
    """Two of six channels are 0 everywhere; their score is NaN."""
    toy, x, target = problem("dead")
    model = ExplainedModel(toy, "features")
    activations = model.record(x, target).activations
    active = (activations != 0).flatten(2).any(2)
    assert active[:, [0, 2]].logical_not().all()

    with count_passes() as meter:
        scores = model.ablated_scores(x, WithoutChannel(activations), target, readout="logit")

    assert meter.partial == active.sum() < 12
    assert scores.isnan().equal(~active.T)


def test_layer_is_tried_once():
    """The second call runs only partial passes; another image size needs another trial."""
    toy, x, target = problem("small")
    model = ExplainedModel(toy, "features")

    def passes(x):
        activations = toy.features(x).detach()
        with count_passes() as meter:
            model.ablated_scores(x, WithoutChannel(activations), target, readout="logit")
        return meter.passes

    assert [passes(x), passes(x), passes(x[..., :6])] == [TRIAL + 2, 2, TRIAL + 2]


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_batches_limited_by_memory_have_the_same_scores(copies, monkeypatch):
    """A batch has as many copies of the layer's output as the memory allows, and at least one."""
    toy, x, target = problem("small")
    changes = WithoutChannel(ExplainedModel(toy, "features").record(x, target).activations)
    call = lambda: ExplainedModel(toy, "features").ablated_scores(x, changes, target, readout="probability")  # noqa: E731
    expected, sizes = call(), []
    size = toy.features(x[:1]).numel() * 8
    toy.head.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    monkeypatch.setattr(layer_ablation, "_BYTES", copies * size + size // 2 if copies > 1 else 1)

    scores = call()

    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-12, equal_nan=True)
    assert max(sizes[4:]) == copies  # the first four are the traced pass and the trial


@pytest.mark.parametrize(("layer", "least"), [("bn2", 100), ("conv_head", 1280)])
def test_ablation_cam_of_the_default_model_needs_few_full_passes(layer, least, lite0, cat):
    """All active channels of 1,280 use partial passes; before the ReLU every channel is active."""
    x = lite0.preprocessing(cat)[None]
    model = lite0.with_layer(layer)  # without a previous trial of the layer
    activations = model.record(x, 281).activations
    active = int((activations != 0).flatten(2).any(2).sum())
    chunks = -(-active // (layer_ablation._BYTES // (activations.numel() * 4)))

    with count_passes() as meter:
        METHODS["ablation-cam"](model, x, 281)

    assert meter.passes == 1 + TRIAL + chunks <= 7
    assert least <= meter.partial == active <= 1280
