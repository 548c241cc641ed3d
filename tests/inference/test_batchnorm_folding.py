"""BatchNorms folded into convolutions: fewer layers, the same scores, and the network as it was."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d, StdConv2d
from torch import nn

from fusioncam import ExplainedModel, Speed, cached_passes
from fusioncam.inference.batchnorm_folding import Folding
from fusioncam.inference.hooks import find_adjacent_modules


def lively(network):
    """Give every BatchNorm statistics and weights that matter, and the network float64 in evaluation."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for one in (module.weight, module.running_var):
                if one is not None:
                    one.data = torch.rand_like(one) + 0.5
            for one in (module.bias, module.running_mean):
                if one is not None:
                    one.data = torch.randn_like(one)
    return network.double().eval()


class Joined(nn.Module):
    """Puts modules together as ``how(self, x)`` says."""

    def __init__(self, how, **modules):
        super().__init__()
        self.how = how
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        """Give scores ``(N, channels)``."""
        return self.how(self, x).flatten(2).mean(2)


def in_a_row(self, x):
    """Convolve, normalise."""
    return self.norm(self.conv(x))


def folding_of(network, x):
    """Look for what can be folded."""
    with torch.no_grad():
        return Folding(network, lambda one: one(x))


FOLDABLE = {
    "1-D": (Joined(in_a_row, conv=nn.Conv1d(3, 4, 3), norm=nn.BatchNorm1d(4)), (2, 3, 9)),
    "2-D": (Joined(in_a_row, conv=nn.Conv2d(3, 4, 3, bias=False), norm=nn.BatchNorm2d(4)), (2, 3, 9, 9)),
    "3-D": (Joined(in_a_row, conv=nn.Conv3d(3, 4, 3), norm=nn.BatchNorm3d(4)), (2, 3, 5, 5, 5)),
    "groups": (Joined(in_a_row, conv=nn.Conv2d(4, 4, 3, groups=4), norm=nn.BatchNorm2d(4)), (2, 4, 9, 9)),
    "transposed": (Joined(in_a_row, conv=nn.ConvTranspose2d(3, 4, 3), norm=nn.BatchNorm2d(4)), (2, 3, 9, 9)),
    "no weights": (Joined(in_a_row, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4, affine=False)), (2, 3, 9, 9)),
    "with activation": (Joined(in_a_row, conv=nn.Conv2d(3, 4, 3), norm=BatchNormAct2d(4)), (2, 3, 9, 9)),
}


@pytest.mark.parametrize(("network", "shape"), FOLDABLE.values(), ids=FOLDABLE)
def test_what_is_folded_gives_the_same_scores(network, shape):
    """Without the BatchNorm, and with what it does besides."""
    network, x = lively(network), torch.randn(shape, dtype=torch.float64)
    folding = folding_of(network, x)
    folded = folding(network)

    assert folding.pairs == [("conv", "norm")]
    assert not any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in folded.modules())
    torch.testing.assert_close(folded(x), network(x), rtol=1e-12, atol=1e-12)


UNFOLDABLE = {
    "needed elsewhere": Joined(
        lambda self, x: self.conv(x) + self.norm(self.conv(x)), conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)
    ),
    "needed beside": Joined(
        lambda self, x: (lambda maps: maps + self.norm(maps))(self.conv(x)),
        conv=nn.Conv2d(3, 4, 3),
        norm=nn.BatchNorm2d(4),
    ),
    "weights made in the pass": Joined(in_a_row, conv=StdConv2d(3, 4, 3, bias=True), norm=nn.BatchNorm2d(4)),
    "changed in place between": Joined(
        lambda self, x: self.norm(F.relu_(self.conv(x))), conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)
    ),
    "something between": Joined(
        lambda self, x: self.norm(self.conv(x).relu()), conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)
    ),
    "no statistics": Joined(in_a_row, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4, track_running_stats=False)),
    "another norm": Joined(in_a_row, conv=nn.Conv2d(3, 4, 3), norm=nn.GroupNorm(2, 4)),
    "two norms": Joined(
        lambda self, x: self.norm(self.conv(x)) + self.norm(self.conv(x)),
        conv=nn.Conv2d(3, 4, 3),
        norm=nn.BatchNorm2d(4),
    ),
}


@pytest.mark.parametrize("network", UNFOLDABLE.values(), ids=UNFOLDABLE)
def test_what_cannot_be_folded_is_left(network):
    """Where the convolution is needed as it is, or makes its weights itself, the network goes as it is."""
    network, x = lively(network), torch.randn(2, 3, 9, 9, dtype=torch.float64)
    folding = folding_of(network, x)

    assert folding.pairs == []
    assert folding(network) is network


def test_half_precision_is_left():
    """Its rounding would hide whether folding changes the scores."""
    network = lively(FOLDABLE["2-D"][0]).bfloat16()
    assert folding_of(network, torch.randn(2, 3, 9, 9).bfloat16()).pairs == []
    network.double()


@pytest.mark.parametrize(
    "rest",
    [[nn.BatchNorm2d(4)], [nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)]],
    ids=["a second norm", "no statistics"],
)
def test_what_cannot_be_folded_spoils_no_other(rest):
    """A BatchNorm behind a BatchNorm, or one without statistics, stays where it is."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *rest)
    network = lively(Joined(lambda self, x: self.all(x), all=network))
    assert folding_of(network, torch.randn(2, 3, 9, 9, dtype=torch.float64)).pairs == [("all.0", "all.1")]


def test_without_batch_norms_no_pass_is_made():
    """There is nothing to look for."""
    network = Joined(in_a_row, conv=nn.Conv2d(3, 4, 3), norm=nn.GroupNorm(2, 4))
    assert Folding(network, lambda one: pytest.fail("a pass")).pairs == []


def test_scores_that_are_no_numbers_are_left():
    """Nothing can be compared; that they are none is told by those who read them."""
    network = lively(Joined(in_a_row, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)))
    assert folding_of(network, torch.full((2, 3, 9, 9), torch.nan, dtype=torch.float64)).pairs == []


def test_a_network_that_cannot_be_copied_is_left():
    """With whatever error that comes."""
    network = lively(Joined(in_a_row, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)))
    network.kept = (one for one in [1])
    assert folding_of(network, torch.randn(2, 3, 9, 9, dtype=torch.float64)).pairs == []


def test_pairs_are_those_handed_on_directly():
    """Of three modules in a row two pairs, none across another or back in time."""
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)).eval()
    with find_adjacent_modules(network, (nn.Conv2d, nn.BatchNorm2d)) as pairs:
        network(torch.randn(1, 3, 4, 4))

    assert pairs == [("2", "3")]


def test_no_pair_is_changed_in_place_or_runs_twice():
    """What is handed on is not what was given, or given by another run."""
    conv, norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3).eval()
    changed = Joined(lambda self, x: self.norm(self.conv(x).relu_()), conv=conv, norm=norm)
    twice = Joined(lambda self, x: self.conv(self.norm(self.conv(x))), conv=conv, norm=norm)
    for network in (changed, twice):
        with find_adjacent_modules(network, (nn.Conv2d, nn.BatchNorm2d)) as pairs, torch.no_grad():
            network(torch.randn(1, 3, 4, 4))
        assert pairs == []


def asked(count=80):
    """Give a model with a BatchNorm, an image and many masks."""
    network = lively(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)))
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    return network, x, torch.rand(count, 1, 8, 8, dtype=torch.float64)


def masked(network, x, masks, **speed):
    """Give the scores under the masks."""
    model = ExplainedModel(network, "0", speed=Speed(chunk=4, **speed))
    return model, lambda: model.masked_scores(x, masks, 2, readout="logit")


@pytest.mark.parametrize("workers", [1, 2])
def test_masked_scores_follow_the_weights(workers):
    """Those of convolution and BatchNorm may change between calls, also where torch does not see it."""
    network, x, masks = asked()
    _, ask = masked(network, x, masks, workers=workers)
    changes = (
        lambda: None,
        lambda: network[0].weight.data.mul_(2),
        lambda: network[1].running_mean.data.add_(1),
        lambda: setattr(network[1], "weight", nn.Parameter(torch.full((4,), 3.0, dtype=torch.float64))),
        lambda: network.__setitem__(1, lively(nn.BatchNorm2d(4))),
        lambda: network.__setitem__(1, nn.GroupNorm(2, 4).double()),
    )
    for change in changes:
        change()
        plain = masked(network, x, masks, fold=False)[1]()
        torch.testing.assert_close(ask(), plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("count", "fold", "folded"), [(80, True, True), (80, False, False), (10, True, False)])
def test_folding_where_many_passes_come(count, fold, folded, monkeypatch):
    """BatchNorms then run no more; for a few passes, or if not wanted, they do."""
    network, x, masks = asked(count)
    _, ask = masked(network, x, masks, fold=fold, workers=1)
    ask()
    seen = []
    original = nn.BatchNorm2d.forward
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda self, x: seen.append(len(x)) or original(self, x))
    ask()

    assert bool(seen) != folded


def test_the_network_is_left_as_it_was():
    """Its modules, parameters, buffers and hooks."""
    network, x, masks = asked()
    before = [*network.modules(), *network.parameters(), *network.buffers()]
    values = [one.clone() for one in network.state_dict().values()]
    masked(network, x, masks)[1]()

    after = [*network.modules(), *network.parameters(), *network.buffers()]
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert all(one.equal(other) for one, other in zip(network.state_dict().values(), values, strict=True))
    assert not any(one._forward_hooks for one in network.modules())


def test_the_sweeps_of_one_method_share_a_folded_network(monkeypatch):
    """Within `sharing` it is folded and copied once; outside each sweep does it anew."""
    network, x, masks = asked()
    _, ask = masked(network, x, masks, workers=2)
    made = []
    original = Folding.__call__
    monkeypatch.setattr(Folding, "__call__", lambda self, network: made.append(network) or original(self, network))
    ask()
    made.clear()
    with cached_passes():
        first, second = ask(), ask()
    assert len(made) == 1
    ask()
    ask()
    assert len(made) == 3
    assert first.equal(second)
