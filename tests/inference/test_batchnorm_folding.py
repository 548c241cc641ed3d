"""Test BatchNorms folded into convolutions: fewer layers, the same scores, and an unchanged network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d, StdConv2d
from torch import nn

from fusioncam import ExplainedModel, Speed, cached_passes
from fusioncam.inference.batchnorm_folding import BatchNormFolding
from fusioncam.inference.hooks import find_adjacent_modules


def randomised(network):
    """Randomise every BatchNorm, and return the network in float64 and evaluation mode."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.running_var):
                if tensor is not None:
                    tensor.data = torch.rand_like(tensor) + 0.5
            for tensor in (module.bias, module.running_mean):
                if tensor is not None:
                    tensor.data = torch.randn_like(tensor)
    return network.double().eval()


class Joined(nn.Module):
    """Combine modules by the function ``how(self, x)``."""

    def __init__(self, how, **modules):
        super().__init__()
        self.how = how
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        """Return scores ``(N, channels)``."""
        return self.how(self, x).flatten(2).mean(2)


def in_sequence(self, x):
    """Convolve, then normalise."""
    return self.norm(self.conv(x))


def folding_of(network, x):
    """Return the folding of the network, tested on ``x``."""
    with torch.no_grad():
        return BatchNormFolding(network, lambda network: network(x))


FOLDABLE = {
    "1-D": (Joined(in_sequence, conv=nn.Conv1d(3, 4, 3), norm=nn.BatchNorm1d(4)), (2, 3, 9)),
    "2-D": (Joined(in_sequence, conv=nn.Conv2d(3, 4, 3, bias=False), norm=nn.BatchNorm2d(4)), (2, 3, 9, 9)),
    "3-D": (Joined(in_sequence, conv=nn.Conv3d(3, 4, 3), norm=nn.BatchNorm3d(4)), (2, 3, 5, 5, 5)),
    "groups": (Joined(in_sequence, conv=nn.Conv2d(4, 4, 3, groups=4), norm=nn.BatchNorm2d(4)), (2, 4, 9, 9)),
    "transposed": (Joined(in_sequence, conv=nn.ConvTranspose2d(3, 4, 3), norm=nn.BatchNorm2d(4)), (2, 3, 9, 9)),
    "no weights": (Joined(in_sequence, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4, affine=False)), (2, 3, 9, 9)),
    "with activation": (Joined(in_sequence, conv=nn.Conv2d(3, 4, 3), norm=BatchNormAct2d(4)), (2, 3, 9, 9)),
}


@pytest.mark.parametrize(("network", "shape"), FOLDABLE.values(), ids=FOLDABLE)
def test_folded_network_returns_the_same_scores(network, shape):
    """The BatchNorm is gone, and its activation remains."""
    network, x = randomised(network), torch.randn(shape, dtype=torch.float64)
    folding = folding_of(network, x)
    folded = folding(network)

    assert folding.pairs == [("conv", "norm")]
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in folded.modules())
    torch.testing.assert_close(folded(x), network(x), rtol=1e-12, atol=1e-12)


UNFOLDABLE = {
    "used twice": Joined(
        lambda self, x: self.conv(x) + self.norm(self.conv(x)), conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)
    ),
    "used next to the norm": Joined(
        lambda self, x: (lambda maps: maps + self.norm(maps))(self.conv(x)),
        conv=nn.Conv2d(3, 4, 3),
        norm=nn.BatchNorm2d(4),
    ),
    "weights computed in the pass": Joined(in_sequence, conv=StdConv2d(3, 4, 3, bias=True), norm=nn.BatchNorm2d(4)),
    "changed in place between": Joined(
        lambda self, x: self.norm(F.relu_(self.conv(x))), conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)
    ),
    "something between": Joined(
        lambda self, x: self.norm(self.conv(x).relu()), conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)
    ),
    "no statistics": Joined(in_sequence, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4, track_running_stats=False)),
    "another norm": Joined(in_sequence, conv=nn.Conv2d(3, 4, 3), norm=nn.GroupNorm(2, 4)),
    "two norms": Joined(
        lambda self, x: self.norm(self.conv(x)) + self.norm(self.conv(x)),
        conv=nn.Conv2d(3, 4, 3),
        norm=nn.BatchNorm2d(4),
    ),
}


@pytest.mark.parametrize("network", UNFOLDABLE.values(), ids=UNFOLDABLE)
def test_unfoldable_network_is_returned_unchanged(network):
    """A convolution with another use, or that computes its own weights, is not folded."""
    network, x = randomised(network), torch.randn(2, 3, 9, 9, dtype=torch.float64)
    folding = folding_of(network, x)

    assert folding.pairs == []
    assert folding(network) is network


def test_half_precision_is_not_folded():
    """The rounding of half precision would hide a change of the scores."""
    network = randomised(FOLDABLE["2-D"][0]).bfloat16()
    assert folding_of(network, torch.randn(2, 3, 9, 9).bfloat16()).pairs == []
    network.double()


@pytest.mark.parametrize(
    "rest",
    [[nn.BatchNorm2d(4)], [nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)]],
    ids=["a second norm", "no statistics"],
)
def test_unfoldable_norm_does_not_prevent_folding_of_others(rest):
    """A BatchNorm after a BatchNorm, or one without statistics, is kept."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *rest)
    network = randomised(Joined(lambda self, x: self.all(x), all=network))
    assert folding_of(network, torch.randn(2, 3, 9, 9, dtype=torch.float64)).pairs == [("all.0", "all.1")]


def test_network_without_batch_norms_needs_no_pass():
    """Without a BatchNorm the network is not run."""
    network = Joined(in_sequence, conv=nn.Conv2d(3, 4, 3), norm=nn.GroupNorm(2, 4))
    assert BatchNormFolding(network, lambda network: pytest.fail("a pass")).pairs == []


def test_nan_scores_are_not_folded():
    """NaN cannot be compared; the code that reads the scores reports it."""
    network = randomised(Joined(in_sequence, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)))
    assert folding_of(network, torch.full((2, 3, 9, 9), torch.nan, dtype=torch.float64)).pairs == []


def test_network_that_cannot_be_copied_is_not_folded():
    """Any error of the copy disables folding."""
    network = randomised(Joined(in_sequence, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)))
    network.generator = (number for number in [1])
    assert folding_of(network, torch.randn(2, 3, 9, 9, dtype=torch.float64)).pairs == []


def test_adjacent_modules_pass_a_tensor_directly():
    """Only the second convolution gets the very tensor that the BatchNorm returned."""
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)).eval()
    with find_adjacent_modules(network, (nn.Conv2d, nn.BatchNorm2d)) as pairs:
        network(torch.randn(1, 3, 4, 4))

    assert pairs == [("2", "3")]


def test_in_place_changes_and_repeated_runs_are_not_adjacent():
    """The tensor was changed in between, or is of another run."""
    conv, norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3).eval()
    changed = Joined(lambda self, x: self.norm(self.conv(x).relu_()), conv=conv, norm=norm)
    twice = Joined(lambda self, x: self.conv(self.norm(self.conv(x))), conv=conv, norm=norm)
    for network in (changed, twice):
        with find_adjacent_modules(network, (nn.Conv2d, nn.BatchNorm2d)) as pairs, torch.no_grad():
            network(torch.randn(1, 3, 4, 4))
        assert pairs == []


def case_of(count=80):
    """Return a network with a BatchNorm, an image and many masks."""
    network = randomised(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    )
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    return network, x, torch.rand(count, 1, 8, 8, dtype=torch.float64)


def masked(network, x, masks, **speed):
    """Return a model, and a function that computes the scores under the masks."""
    model = ExplainedModel(network, "0", speed=Speed(chunk=4, **speed))
    return model, lambda: model.masked_scores(x, masks, 2, readout="logit")


@pytest.mark.parametrize("workers", [1, 2])
def test_masked_scores_follow_the_weights(workers):
    """Weights of convolution and BatchNorm may change between calls, also without a change of version."""
    network, x, masks = case_of()
    _, compute = masked(network, x, masks, workers=workers)
    changes = (
        lambda: None,
        lambda: network[0].weight.data.mul_(2),
        lambda: network[1].running_mean.data.add_(1),
        lambda: setattr(network[1], "weight", nn.Parameter(torch.full((4,), 3.0, dtype=torch.float64))),
        lambda: network.__setitem__(1, randomised(nn.BatchNorm2d(4))),
        lambda: network.__setitem__(1, nn.GroupNorm(2, 4).double()),
    )
    for change in changes:
        change()
        plain = masked(network, x, masks, fold=False)[1]()
        torch.testing.assert_close(compute(), plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("count", "fold", "folded"), [(80, True, True), (80, False, False), (10, True, False)])
def test_folding_needs_many_passes(count, fold, folded, monkeypatch):
    """With many passes no BatchNorm runs; with few passes, or ``fold=False``, it does."""
    network, x, masks = case_of(count)
    _, compute = masked(network, x, masks, fold=fold, workers=1)
    compute()
    sizes = []
    original = nn.BatchNorm2d.forward
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda self, x: sizes.append(len(x)) or original(self, x))
    compute()

    assert bool(sizes) != folded


def test_network_is_unchanged_after_scoring():
    """Modules, parameters, buffers and hooks are the same as before."""
    network, x, masks = case_of()
    before = [*network.modules(), *network.parameters(), *network.buffers()]
    values = [tensor.clone() for tensor in network.state_dict().values()]
    masked(network, x, masks)[1]()

    after = [*network.modules(), *network.parameters(), *network.buffers()]
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert all(a.equal(b) for a, b in zip(network.state_dict().values(), values, strict=True))
    assert not any(module._forward_hooks for module in network.modules())


def test_passes_of_one_method_share_a_folded_network(monkeypatch):
    """Inside `cached_passes` the network is folded and copied once, outside once per call."""
    network, x, masks = case_of()
    _, compute = masked(network, x, masks, workers=2)
    folded = []
    original = BatchNormFolding.__call__
    monkeypatch.setattr(
        BatchNormFolding, "__call__", lambda self, network: folded.append(network) or original(self, network)
    )
    compute()
    folded.clear()
    with cached_passes():
        first, second = compute(), compute()
    assert len(folded) == 1
    compute()
    compute()
    assert len(folded) == 3
    assert first.equal(second)
