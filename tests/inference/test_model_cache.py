"""Test converted networks on disk: used by the next process, never trusted, and never necessary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel, Speed
from fusioncam.inference.engines import model_cache, selection
from fusioncam.inference.engines.fingerprint import file_key, fingerprint
from fusioncam.inference.engines.shared_weights import with_weights

X, MASKS = torch.rand(1, 3, 8, 8), torch.rand(4, 1, 8, 8)


def network_of(seed=0):
    """Return a small network with random weights."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def scores(network, engine="openvino"):
    """Return masked scores."""
    model = ExplainedModel(network, "0", speed=Speed(engine=engine))
    return model.masked_scores(X, MASKS, 0, readout="logit")


def entry_of(network):
    """Return the folder of the network's entry."""
    return model_cache.cache_folder() / file_key(fingerprint(network), network, torch.Size((1, 3, 8, 8)))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Use an empty cache."""
    monkeypatch.setenv("FUSIONCAM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def conversions(monkeypatch):
    """Count conversions."""
    counted, convert = [], selection.convert

    def counting(*args):
        counted.append(1)
        return convert(*args)

    monkeypatch.setattr(selection, "convert", counting)
    return counted


def test_an_equal_network_is_loaded(conversions):
    """A network with the same modules and weights is not converted again; another one is."""
    expected = scores(network_of(), "torch")
    for _ in range(2):
        assert torch.allclose(scores(network_of()), expected, rtol=0, atol=1e-5)
    assert len(conversions) == 1
    scores(network_of(seed=1))
    assert len(conversions) == 2


def test_entries_differ_with_code_shape_and_settings():
    """Two classes with the same modules and weights compute different things."""

    class Doubled(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * 2

    network, shape = network_of(), torch.Size((1, 3, 8, 8))
    doubled, strided = Doubled(*network), network_of()
    strided[0].stride = (2, 2)
    keys = {file_key(fingerprint(one), one, shape) for one in (network, doubled, strided, network_of())}
    assert len(keys) == 3
    assert file_key(fingerprint(network), network, torch.Size((1, 3, 16, 16))) not in keys


def large():
    """Return a network with 4 MB of weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 1024, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1024)).eval()


def test_entries_hold_no_weights():
    """They have some kilobytes, and the loaded model uses the memory of the network's own tensors."""
    network = large()
    expected = scores(network, "torch")
    assert torch.allclose(scores(network), expected, rtol=0, atol=1e-5)
    assert model_cache._size(entry_of(network)) < 100_000
    model = model_cache.load(entry_of(network).name, network)
    constants = [node.data for node in model.get_ops() if node.get_type_name() == "Constant"]
    assert {tensor.data_ptr() for tensor in network.parameters()} <= {one.ctypes.data for one in constants}
    assert len(model.get_parameters()) == 1
    assert torch.allclose(scores(large()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("other", [nn.Sequential(nn.Conv2d(3, 4, 1)), nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3))])
def test_weights_of_another_network_are_refused(other):
    """A tensor of that name is missing, or has another shape."""
    network = network_of()
    scores(network)
    assert model_cache.load(entry_of(network).name, network) is not None
    stored = model_cache.core().read_model(entry_of(network) / "model.xml")
    with pytest.raises(ValueError, match="the network has no tensor"):
        with_weights(stored, other)


def test_weights_in_another_order_of_memory_are_those_of_the_network(conversions):
    """An equal network with channels last cannot lend its memory, and is converted again."""
    expected = scores(large(), "torch")
    for network in (large(), large().to(memory_format=torch.channels_last), large()):
        assert torch.allclose(scores(network), expected, rtol=0, atol=1e-5)
    assert len(conversions) == 2


def test_tied_weights_and_constants_of_the_code_are_stored_too(conversions):
    """A tensor with two uses is one, and what is no tensor of the network stays in the file."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Conv2d(3, 3, 3, padding=1)
            self.second = nn.Conv2d(3, 3, 3, padding=1)
            self.second.weight = self.first.weight
            self.turned = nn.Parameter(torch.rand(3, 8).T)  # not contiguous

        def forward(self, x):
            x = self.second(self.first(x).relu()).mean((2, 3))
            return (x @ self.turned.T) * torch.arange(8.0)

    def scored(engine):
        model = ExplainedModel(Tied().eval(), "first", speed=Speed(engine=engine))
        return model.masked_scores(X, MASKS, 0, readout="probability")

    expected = scored("torch")
    for _ in range(2):
        assert torch.allclose(scored("openvino"), expected, rtol=0, atol=1e-5)
    assert len(conversions) == 1


def cut(entry):
    """Cut a file in half."""
    file = entry / "model.bin"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def exchange(entry):
    """Put another computation on the same tensors there, with its hashes."""
    other = network_of()
    other[1] = nn.Sigmoid()
    put_entry_of(other, entry)


def rename(entry):
    """Put a network there whose tensors have other names, with its hashes."""
    network = network_of()
    put_entry_of(nn.Sequential(network[0], network[1], nn.Identity(), *network[2:]).eval(), entry)


def reshape(entry):
    """Put a network there whose tensors have other shapes, with its hashes."""
    network = network_of()
    put_entry_of(nn.Sequential(nn.Conv2d(3, 4, 1), *network[1:]).eval(), entry)


def put_entry_of(other, entry):
    """Replace the files of an entry by those of another network."""
    scores(other)
    for file in entry_of(other).iterdir():
        (entry / file.name).write_bytes(file.read_bytes())


def not_json(entry):
    """Write something else in place of the hashes."""
    (entry / "entry.json").write_text("[1, 2")


def foreign(entry):
    """Put other XML there, with its hash."""
    (entry / "model.xml").write_text("<net/>")
    hashes = json.loads((entry / "entry.json").read_text())
    (entry / "entry.json").write_text(json.dumps(hashes | {"model.xml": model_cache._hash(b"<net/>")}))


def no_hashes(entry):
    """Remove the hashes."""
    (entry / "entry.json").unlink()


def a_file(entry):
    """Put a file in place of the folder."""
    for file in entry.iterdir():
        file.unlink()
    entry.rmdir()
    entry.write_text("not a folder")


@pytest.mark.parametrize("damage", [cut, exchange, rename, reshape, not_json, foreign, no_hashes, a_file])
def test_damaged_and_foreign_entries_are_replaced(damage, conversions):
    """Neither their scores nor their errors reach the caller, and the entry is written again."""
    network = network_of()
    expected = scores(network, "torch")
    scores(network_of())
    damage(entry_of(network))
    before = len(conversions)

    for _ in range(2):
        assert torch.allclose(scores(network_of()), expected, rtol=0, atol=1e-5)
    assert len(conversions) == before + 1


@pytest.mark.parametrize("problem", ["a file in its place", "read-only", "full"])
def test_a_folder_that_cannot_be_written_is_no_error(problem, folder, conversions, monkeypatch):
    """Every process then converts for itself."""

    def fail(*args, **kwargs):
        raise OSError("no space left on device" if problem == "full" else "read-only file system")

    if problem == "a file in its place":
        folder.write_text("")
    elif problem == "read-only":
        monkeypatch.setattr(model_cache.tempfile, "mkdtemp", fail)
    else:
        monkeypatch.setattr(model_cache, "_hash", fail)
    for _ in range(2):
        scores(network_of())
    assert len(conversions) == 2
    assert not list(model_cache._children(folder / "networks"))


def test_the_first_of_two_processes_wins(conversions, monkeypatch):
    """Both convert, one entry stays, and nothing else is left."""
    store = model_cache.store

    def twice(*entry):
        store(*entry)
        store(*entry)

    monkeypatch.setattr(model_cache, "store", twice)
    network = network_of()
    scores(network)
    assert list(model_cache.cache_folder().iterdir()) == [entry_of(network)]


def test_the_entries_used_least_recently_are_removed(monkeypatch):
    """The newest entry stays even if it is larger than the limit."""
    networks = [network_of(seed) for seed in range(3)]
    for network in networks[:2]:
        scores(network)
        time.sleep(0.02)
    scores(network_of(0))  # loaded, so the second one is now the oldest
    monkeypatch.setattr(model_cache, "LIMIT_BYTES", 2.5 * model_cache._size(entry_of(networks[0])))
    time.sleep(0.02)
    scores(networks[2])
    assert [entry_of(network).exists() for network in networks] == [True, False, True]

    monkeypatch.setattr(model_cache, "LIMIT_BYTES", 0)
    scores(network_of(3))
    assert list(model_cache.cache_folder().iterdir()) == [entry_of(network_of(3))]


def test_abandoned_parts_are_removed(monkeypatch):
    """A process that was killed leaves its temporary folder behind; one that is running keeps it."""
    folder = model_cache.cache_folder()
    (folder / ".part-running").mkdir(parents=True)
    scores(network_of())
    assert (folder / ".part-running").exists()
    monkeypatch.setattr(model_cache, "_ABANDONED_SECONDS", -1)
    scores(network_of(1))
    assert not (folder / ".part-running").exists()


def test_clear_removes_all_entries():
    """It returns how much they occupied, and 0 where there is nothing."""
    assert model_cache.clear() == 0
    scores(network_of())
    size = model_cache._size(entry_of(network_of()))
    assert model_cache.clear() == size > 0
    assert not model_cache.cache_folder().exists()


PROGRAM = """
import sys
import torch
from torch import nn
from fusioncam import ExplainedModel, Speed
from fusioncam.inference.engines import openvino_network, selection

def convert(*args):
    raise AssertionError("another process has converted this network")

selection.convert, properties, given = convert, openvino_network.properties, []
openvino_network.properties = lambda *args: given.append(args[:2]) or properties(*args)
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
model = ExplainedModel(network, "0", speed=Speed(engine="openvino"))
print(model.masked_scores(torch.ones(1, 3, 8, 8), torch.ones(4, 1, 8, 8), 0, readout="logit").tolist(), given)
"""


@pytest.mark.slow
def test_another_process_loads_the_network(conversions):
    """It converts nothing, and uses its share of threads: as many as torch has there."""
    expected = ExplainedModel(network_of(), "0").masked_scores(
        torch.ones(1, 3, 8, 8), torch.ones(4, 1, 8, 8), 0, readout="logit"
    )
    scores(network_of())
    assert len(conversions) == 1
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "1"], env=os.environ, capture_output=True, text=True, check=True
    )
    values, given = done.stdout.strip().split("]] ")
    assert torch.allclose(torch.tensor(json.loads(values + "]]")), expected, atol=1e-5)
    assert given == "[(1, 1)]"  # requests and threads
