"""Networks that copy themselves during a pass: no copy keeps or runs a hook of the pass."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.inference import hooks
from samples import Small

COPIES = {
    "deep copy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
}


class Copying(nn.Module):
    """Runs a copy of its network before the network, as a predictor does that sets itself up, and keeps it."""

    def __init__(self, make_copy) -> None:
        super().__init__()
        self.inner, self.make_copy, self.kept = Small(), make_copy, []

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        copied = self.make_copy(self.inner)
        self.kept.append(copied)
        copied(x.flip(-1))
        return self.inner(x)


HOOKED = {
    "capture": lambda network: hooks.capture(network, ["inner.conv", "inner.act"]),
    "replace": lambda network: hooks.replace_outputs(network, {"inner.act": lambda output: output * 2}),
    "trace": lambda network: hooks.trace(network),
    "adjacent": lambda network: hooks.find_adjacent_modules(network, (nn.Conv2d, nn.ReLU)),
}


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("hooked", HOOKED.values(), ids=HOOKED)
def test_no_copy_runs_or_keeps_hooks(hooked, make_copy):
    """The pass has one run of each layer, and afterwards the copy returns what a new one returns."""
    network, x = Copying(make_copy), torch.rand(1, 3, 24, 24)
    with hooked(network) as found:
        network(x)
    if isinstance(found, dict):
        assert {layer: len(outputs) for layer, outputs in found.items()} == {"inner.conv": 1, "inner.act": 1}
    if found and not isinstance(found, dict) and isinstance(found[0], hooks.ModuleCall):
        assert [call.name for call in found] == ["inner.conv", "inner.act", "inner.fc", "inner"]
    (kept,) = network.kept
    torch.testing.assert_close(kept(x), Small()(x))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in kept.modules())
    assert not hooks.has_hooks(network)
    pickle.dumps(kept)


@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam"])
def test_heatmaps_are_those_of_the_network_without_copies(method):
    """The layer is found in the network itself."""
    x = torch.rand(2, 3, 24, 24)
    network = Copying(copy.deepcopy).eval()
    heatmaps = METHODS[method](ExplainedModel(network), x, 1)

    torch.testing.assert_close(heatmaps, METHODS[method](ExplainedModel(Small()), x, 1))
    for kept in network.kept:
        kept(x)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in kept.modules())


def test_a_shallow_copy_runs_no_hooks():
    """It shares the hooks of its module, as the replicas of DataParallel do."""
    network = Small()
    with hooks.capture(network, ["act"]) as outputs:
        copy.copy(network.act)(torch.rand(1, 6, 4, 4))
        assert outputs["act"] == []
        network.act(torch.rand(1, 6, 4, 4))
    assert len(outputs["act"]) == 1


def replicated(parallel, x):
    """Run the network as DataParallel does on several GPUs: in copies that share its hooks, each in a thread."""
    copies = {module: module._replicate_for_data_parallel() for module in parallel.module.modules()}
    for module, copied in copies.items():
        copied._modules = {name: copies[child] for name, child in module._modules.items()}
        copied._parameters = dict(module._parameters)
    parts = [part for part in x.chunk(2) if len(part)]
    with ThreadPoolExecutor(len(parts)) as threads:
        return torch.cat(list(threads.map(copies[parallel.module], parts)))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("method", ["grad-cam", "score-cam", "ablation-cam", "rise(masks=8)"])
def test_data_parallel(method, several, monkeypatch):
    """Passes without hooks run in its copies, those with hooks in the network itself."""
    if several:
        monkeypatch.setattr(nn.DataParallel, "forward", replicated)
    network, x = Small().eval(), torch.rand(3, 3, 24, 24)
    expected = METHODS[method](ExplainedModel(network), x, 1)
    for layer in (None, "act", "module.act"):
        model = ExplainedModel(nn.DataParallel(network), layer)
        torch.testing.assert_close(METHODS[method](model, x, 1), expected)
        assert model.layer_for(x) == "module.act"


def test_hooks_of_the_user_stay():
    """A copy has them too, and they count as hooks."""
    network = Small()
    network.act.register_forward_hook(lambda module, args, output: None)
    with hooks.trace(nn.Sequential(network)):
        copied = copy.deepcopy(network)
    copied(torch.rand(1, 3, 24, 24))
    assert len(copied.act._forward_hooks) == 1
    assert hooks.has_hooks(copied)
