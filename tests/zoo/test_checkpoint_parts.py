"""Test that weights are found wherever they are in a checkpoint."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusioncam.errors import FusionCamWarning, WeightsError
from fusioncam.zoo.checkpoints import load_checkpoint
from samples import Small

WEIGHTS = {name: torch.rand(tensor.shape) for name, tensor in Small().state_dict().items()}


def at(prefix: str, weights: dict[str, Tensor] = WEIGHTS) -> dict[str, Tensor]:
    """Return the weights with a prefix before each name."""
    return {prefix + name: tensor for name, tensor in weights.items()}


def load(stored: object, folder: Path, network: nn.Module | None = None) -> dict[str, Tensor]:
    """Return the weights of a network after the checkpoint is loaded."""
    network = network or Small()
    torch.save(stored, folder / "mine.pt")
    load_checkpoint(network, folder / "mine.pt")
    return network.state_dict()


def same(loaded: dict[str, Tensor]) -> bool:
    """Return whether the loaded weights are those of the checkpoint."""
    return all(torch.equal(one, two) for one, two in zip(loaded.values(), WEIGHTS.values(), strict=True))


@pytest.mark.parametrize("prefix", ["model.", "net.", "a.b.c.", "module._orig_mod.student.backbone."])
@pytest.mark.parametrize("keys", [(), ("state_dict",), ("my", "own", "keys")])
def test_weights_are_found_at_any_location(prefix, keys, tmp_path):
    """Neither the prefix nor the keys of the dictionaries need to be known."""
    stored = at(prefix)
    for key in keys:
        stored = {"epoch": 3, key: stored, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}}
    assert same(load(stored, tmp_path))


def test_other_tensors_do_not_hide_the_weights(tmp_path):
    """Counters and losses raise a warning with the names of the file."""
    with pytest.warns(FusionCamWarning, match=r"2 tensors are not in the network .*loss\.weight, n_averaged"):
        assert same(load(at("module.") | {"n_averaged": torch.zeros(()), "loss.weight": torch.ones(2)}, tmp_path))


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "module.model."])
def test_a_prefix_of_the_network_itself_is_removed(prefix, tmp_path):
    """A wrapped network loads the weights of the network inside, also with another prefix."""
    assert same(load(at(prefix), tmp_path, nn.Sequential(OrderedDict(model=Small()))))


@pytest.mark.parametrize(
    "beside",
    [
        np.float64(0.9),
        np.float32(0.9),
        np.int64(3),
        np.bool_(True),
        argparse.Namespace(lr=0.1, layers=[1, 2], best=np.float64(1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_harmless_types_are_read(beside, tmp_path):
    """Numbers of NumPy and parsed arguments hold only data."""
    assert same(load({"state_dict": WEIGHTS, "beside": beside}, tmp_path))


def test_types_that_are_refused_are_named(tmp_path):
    """The error states which type is the reason."""
    with pytest.raises(WeightsError, match=r"refused.*samples\.Small.*could run code"):
        load({"state_dict": WEIGHTS, "model": Small()}, tmp_path)


def test_allowed_types_are_not_left_allowed(tmp_path):
    """The list of allowed types of torch is the same afterwards."""
    before = set(map(str, torch.serialization.get_safe_globals()))
    load(WEIGHTS, tmp_path)
    assert set(map(str, torch.serialization.get_safe_globals())) == before


def test_a_choice_among_several_is_reported(tmp_path):
    """The first of several weights that fit is used, with a warning; weights that do not fit are not chosen."""
    zeros = {name: torch.zeros_like(tensor) for name, tensor in WEIGHTS.items()}
    with pytest.warns(FusionCamWarning, match=r"'state_dict\.\*' is used; 'ema\.m\.\*' would fit as well"):
        assert same(load({"state_dict": WEIGHTS, "ema": at("m.", zeros)}, tmp_path))
    larger = {name: torch.zeros(9, 9) for name in WEIGHTS}
    assert same(load({"teacher": larger, "student": WEIGHTS}, tmp_path))


def test_the_names_of_the_file_are_shown(tmp_path):
    """If nothing fits, the error shows names of the largest part and changes nothing."""
    network = Small()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"missing: .*; the file has encoder\.0\.w, encoder\.1\.w"):
        load(
            {"a": {"encoder.0.w": torch.ones(1), "encoder.1.w": torch.ones(1)}, "b": {"x": torch.ones(1)}},
            tmp_path,
            network,
        )
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
