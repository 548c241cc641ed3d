"""ONNX files with scores and heatmaps: ONNX Runtime alone computes what we compute."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from torch import nn

from fusioncam import METHODS, ExplainedModel
from fusioncam.compat.onnx_export import export_onnx
from fusioncam.errors import EngineError, MethodError, MissingExtraError, SettingError, ShapeError

X = torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(0))
OTHER = torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", ["cam", "recipro-cam", "recipro-cam(spread=gaussian, readout=logit)"])
def test_outputs_are_those_of_pytorch(network, tmp_path, method):
    """For another image than the one that was exported."""
    onnxruntime = pytest.importorskip("onnxruntime")
    network = copy.deepcopy(network)
    network.fc.weight.data *= 30  # otherwise probabilities differ by rounding only
    model = ExplainedModel(network, "layer4")
    path = export_onnx(model, X, tmp_path / "model.onnx", method)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores, heatmaps = session.run(["scores", "heatmaps"], {"image": OTHER.numpy()})
    logits = model.logits(OTHER)
    expected = METHODS[method](model, OTHER, logits.argmax(1))
    torch.testing.assert_close(torch.from_numpy(scores), logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.from_numpy(heatmaps), expected, atol=1e-4, rtol=0)
    assert expected.max() == 1


def test_networks_that_onnx_cannot_follow_have_an_error(network, tmp_path):
    """It says why; nothing is written."""
    pytest.importorskip("onnxruntime")

    class Bessel(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    model = ExplainedModel(nn.Sequential(Bessel(), *network), "3")
    with pytest.raises(EngineError, match=r"cannot be exported to ONNX: .*bessel"):
        export_onnx(model, X, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, "model.onnx", "grad-cam"), MethodError, "can hold cam and recipro-cam"),
        ((X.expand(2, -1, -1, -1), "model.onnx"), ShapeError, "one image"),
        ((X, "photo.jpg"), SettingError, r"ends in .onnx, got 'photo.jpg'"),
    ],
)
def test_mistakes_have_an_error(network, tmp_path, arguments, error, message):
    """Before anything is written."""
    x, name, *method = arguments
    with pytest.raises(error, match=message):
        export_onnx(ExplainedModel(network, "layer4"), x, tmp_path / name, *method)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(network, tmp_path, monkeypatch):
    """Before the network runs."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"ONNX files need onnx: pip install \"fusioncam\[onnx\]\""):
        export_onnx(ExplainedModel(network, "layer4"), X, tmp_path / "model.onnx")
