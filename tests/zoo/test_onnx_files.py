"""Networks in ONNX files: RISE explains them as it explains the network that was exported."""

from __future__ import annotations

import warnings

import pytest
import torch

from fusioncam import METHODS, ExplainedModel, FusionCamWarning, explain, load_model
from fusioncam.errors import LayerError, WeightsError
from samples import Small

pytest.importorskip("onnxruntime", reason='ONNX files need pip install "fusioncam[onnx]"')
RISE = "rise(masks=20)"


def exported(path, batch, network=None):
    """Export a network for one image, or for any number."""
    axes = {} if batch == 1 else {"dynamic_axes": {"image": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the exporter
        x = torch.rand(1, 3, 32, 32)
        torch.onnx.export(network or Small().eval(), (x,), path, input_names=["image"], dynamo=False, **axes)
    return path


@pytest.mark.parametrize("batch", [1, None])
def test_scores_and_heatmaps_are_those_of_the_network(tmp_path, batch):
    """Also of files that take one image at a time."""
    path, x = exported(tmp_path / "model.onnx", batch), torch.rand(3, 3, 32, 32)
    with pytest.warns(FusionCamWarning, match=r"cropped to the input \(32, 32\) that the file states"):
        model = load_model(f"onnx:{path}", device="cpu")
    expected = ExplainedModel(Small())
    torch.testing.assert_close(model.logits(x), expected.logits(x))
    torch.testing.assert_close(METHODS[RISE](model, x, 1), METHODS[RISE](expected, x, 1), atol=1e-5, rtol=0)
    assert model.preprocessing.size == (32, 32)


def test_images_are_explained(tmp_path, cat):
    """No layer is needed; methods that need one say so."""
    path = exported(tmp_path / "model.onnx", 1)
    with pytest.warns(FusionCamWarning, match="ImageNet"):
        model = load_model(f"onnx:{path}", device="cpu")
    explanation = explain(cat, model=model, method=RISE)
    assert explanation.layer == "none"
    with pytest.raises(
        LayerError, match="hooks do not run in the network, which is an ONNX file: use the method rise"
    ):
        explain(cat, model=model, method="grad-cam")


class Two(Small):
    """A network of two inputs."""

    def forward(self, x, y):
        """Return scores ``(N, classes)``."""
        return super().forward(x + y)


def test_files_that_cannot_be_used_are_reported(tmp_path):
    """A missing file, a damaged one, and one of other inputs."""
    (tmp_path / "torn.onnx").write_bytes(b"\x08\x07" * 20)
    with pytest.raises(WeightsError, match="no such file"):
        load_model("onnx:none.onnx")
    with pytest.raises(WeightsError, match="ONNX Runtime cannot load it"):
        load_model(f"onnx:{tmp_path / 'torn.onnx'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        x = torch.rand(1, 3, 32, 32)
        torch.onnx.export(Two().eval(), (x, x), tmp_path / "two.onnx", dynamo=False)
    with pytest.raises(WeightsError, match="it must have one input of float32"):
        load_model(f"onnx:{tmp_path / 'two.onnx'}")
