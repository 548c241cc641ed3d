"""Test the forms in which a layer may be passed: names, indices, modules and lists of one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel
from fusioncam.errors import LayerError


def network():
    """Return a network with nested sequences."""
    stage = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()))
    return nn.ModuleDict({"stage": stage, "head": nn.Linear(4, 2)})


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (lambda net: "stage.1", "stage.1"),
        (lambda net: "stage[-1]", "stage.1"),
        (lambda net: "stage[1][0]", "stage.1.0"),
        (lambda net: "stage[1][-1]", "stage.1.1"),
        (lambda net: "['stage'][0]", "stage.0"),
        (lambda net: net["stage"][-1], "stage.1"),
        (lambda net: [net["stage"][1][0]], "stage.1.0"),
        (lambda net: ["stage.0"], "stage.0"),
        (lambda net: (net["stage"],), "stage"),
    ],
)
def test_layer_is_found_in_every_form(form, name):
    """The model keeps the dotted name."""
    net = network()

    assert ExplainedModel(net, form(net)).layer == name
    assert ExplainedModel(net).with_layer(form(net)).layer == name


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda net: net, "ModuleDict passed as layer is the network itself.*such as 'head'"),
        (lambda net: nn.ReLU(), "ReLU passed as layer is not part of this network"),
        (lambda net: 3, "dotted name of a layer such as 'head', or a module of the network, got int 3"),
        (lambda net: [], "got 0: an empty list"),
        (lambda net: [net["stage"][0], "stage.1"], "got 2: 'stage.0', 'stage.1'; pass the name of one"),
        (lambda net: "stage[7]", r"no layer 'stage\[7\]'"),
        (lambda net: "stage[-7]", r"no layer 'stage\[-7\]'"),
    ],
)
def test_other_forms_are_reported(form, message):
    """The error states what to pass instead."""
    net = network()

    with pytest.raises(LayerError, match=message):
        ExplainedModel(net, form(net))


def test_module_is_accepted_by_a_single_call():
    """Records and changed maps take a module in place of the target layer."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model, x = ExplainedModel(net), torch.rand(1, 3, 8, 8)

    assert model.record(x, 0, net[0]).layer == model.record(x, 0, "0").layer == "0"


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (lambda net: torch.compile(net, backend="eager"), "_orig_mod.0"),
        (nn.DataParallel, "module.0"),
        (lambda net: nn.DataParallel(torch.compile(net, backend="eager")), "module._orig_mod.0"),
    ],
)
def test_names_fit_with_and_without_wrappers(wrap, name):
    """torch.compile and DataParallel add a part to every name."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

    assert ExplainedModel(wrap(net), "0").layer == name
    assert ExplainedModel(wrap(net), name).layer == name
    assert ExplainedModel(net, name).layer == "0"
    with pytest.raises(LayerError):
        ExplainedModel(wrap(net), "2")
