"""Test which names are suggested for an unknown one."""

from __future__ import annotations

import pytest
import torchvision

from fusioncam import ExplainedModel
from fusioncam.errors import LayerError, suggestion


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("gradcam", ["xgrad-cam", "grad-cam"], "grad-cam"),
        ("Grad_CAM++", ["grad-cam", "grad-cam++"], "grad-cam++"),
        ("frist", ["fists", "first"], "first"),
        ("insert", ["deletion", "insertion"], "insertion"),
        ("score", ["ss-cam", "score-cam"], "score-cam"),
        ("memory", ["seconds", "peak memory"], "peak memory"),
        ("layer5", ["layer4.0", "layer4"], "layer4"),
        ("layer4", ["wrapped.net.layer4", "wrapped.layer4", "wrapped.layer4.0"], "wrapped.layer4"),
        ("resnet5", ["resnet50.a1_in1k", "resnest"], "resnet50.a1_in1k"),
        ("golden retreiver", ["curly-coated retriever", "Golden retriever"], "Golden retriever"),
    ],
)
def test_a_near_name_is_suggested(name, known, nearest):
    """Near are names with another case, separators or prefix, and with about one wrong letter in four."""
    assert suggestion(name, known) == f"did you mean '{nearest}'?"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("layer4", ["classifier", "features", "player", "avgpool"]),
        ("encoder", ["decoder"]),
        ("median", ["mean", "max"]),
        ("cat", ["car", "bat", "cattle", "crate"]),
        ("tree", ["tree frog"]),
        ("x", ["y", "xx"]),
        ("", ["a"]),
        ("++", ["grad-cam++"]),
    ],
)
def test_names_that_only_share_letters_are_listed(name, known):
    """A name that has nothing to do with the given one is not suggested."""
    assert suggestion(name, known) == f"choose from {', '.join(known)}"


def test_layers_of_another_family_are_listed():
    """`layer4` is a layer of ResNets; a MobileNet has a module named `classifier`."""
    network = torchvision.models.mobilenet_v3_small(num_classes=3)
    with pytest.raises(LayerError, match=r"no layer 'layer4'; choose from features, features\.0,"):
        ExplainedModel(network, "layer4")
