"""Networks in ONNX files: methods without gradients explain them as they explain the network that was exported."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fusioncam import METHODS, METRICS, ExplainedModel, FusionCamWarning, explain, load_model
from fusioncam.errors import MethodError, ShapeError, WeightsError
from fusioncam.inference import hooks
from fusioncam.zoo.checkpoints import load_checkpoint
from fusioncam.zoo.onnx_files import OnnxNetwork
from samples import Small

NEEDS = 'ONNX files need pip install "fusioncam[onnx]"'
onnx = pytest.importorskip("onnx", reason=NEEDS)
pytest.importorskip("onnxruntime", reason=NEEDS)
RISE = "rise(masks=20)"


def _as_modules(network):
    """Return the parts of a residual network, of which the first two end with maps."""
    return (
        nn.Sequential(network.first, nn.ReLU()),
        _Around(network.second),
        nn.AvgPool2d(3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        network.head,
    )


class _Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, maps):
        return (maps + self.inner(maps)).relu()


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


WITHOUT_GRADIENTS = {
    *("eigen-cam", "kpca-cam", "fem", "score-cam", "score-cam:official", "score-cam:xplaincam", "score-cam:cic"),
    *("faster-score-cam", "ss-cam", "is-cam", "ablation-cam", "recipro-cam", "poly-cam", "occlusion", "rise", "hsic"),
    *("sobol", "two-sided-occlusion"),
    *("d-rise", "random", "center", "ones", "edges"),
}
FEWER_PASSES = {
    "rise": RISE,
    "d-rise": "d-rise(masks=20)",
    "hsic": "hsic(masks=40)",
    "sobol": "sobol(designs=2, cells=4)",
    "ss-cam": "ss-cam(samples=3)",
}


class Residual(nn.Module):
    """Two convolutions around which the maps go, and tensors whose names are those of attributes of modules."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 5)
        self.head.weight.data.uniform_(0, 4)

    def forward(self, x):
        """Return scores ``(N, 5)``."""
        maps = self.first(x).relu()
        maps = (maps + self.second(maps)).relu()
        return self.head(F.avg_pool2d(maps, 3).mean((2, 3)))


def model_of(path):
    """Return the model of a file, without the warning about its preprocessing."""
    with pytest.warns(FusionCamWarning, match="ImageNet"):
        return load_model(f"onnx:{path}", device="cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the model of a file for any number of images."""
    return model_of(exported(tmp_path_factory.mktemp("onnx") / "model.onnx", None))


@pytest.mark.parametrize("name", METHODS)
def test_methods_without_gradients_have_the_heatmaps_of_the_network(model, name):
    """The others say which methods work."""
    expected = ExplainedModel(Small())
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    method = METHODS[FEWER_PASSES.get(name, name)]
    if name in WITHOUT_GRADIENTS:
        torch.testing.assert_close(method(model, x, 1), method(expected, x, 1), atol=1e-4, rtol=0)
    else:
        with pytest.raises(MethodError, match="recipro-cam"):
            method(model, x, 1)


@pytest.mark.parametrize("batch", [1, None])
@pytest.mark.parametrize("layer", ["/Relu_output_0", "/Relu_1_output_0", None])
def test_layers_before_others_can_be_changed(tmp_path, layer, batch):
    """Also where another part of the network reads the image, or the layer's maps once more."""
    network = Residual().eval()
    path = exported(tmp_path / "model.onnx", batch, network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the preprocessing
        model = load_model(f"onnx:{path}", layer, device="cpu")
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = ExplainedModel(nn.Sequential(*_as_modules(network)), "0" if layer == "/Relu_output_0" else "1")
    assert model.layer_for(x) == (layer or "/Relu_1_output_0")
    for name in (
        "ablation-cam",
        "recipro-cam",
        "score-cam",
    ):  # one location changes the probability by rounding errors
        torch.testing.assert_close(METHODS[name](model, x, 1), METHODS[name](expected, x, 1), atol=1e-3, rtol=0)


def test_later_layers_follow_earlier_changes(tmp_path):
    """Two layers are replaced in one pass."""
    network = Residual().eval()
    model, x = model_of(exported(tmp_path / "model.onnx", None, network)), torch.rand(1, 3, 32, 32)
    seen = []
    changes = {
        "/Relu_output_0": lambda maps: maps * 2,
        "/Relu_1_output_0": lambda maps: seen.append(maps) or maps + 1,
    }
    with torch.no_grad(), hooks.replace_outputs(model.network, changes):
        scores = model.network(x)
        maps = network.first(x).relu() * 2
        maps = (maps + network.second(maps)).relu()
        expected = network.head(F.avg_pool2d(maps + 1, 3).mean((2, 3)))
    torch.testing.assert_close(seen[0], maps)
    torch.testing.assert_close(scores, expected)


def test_names_of_tensors_are_names_of_layers(tmp_path):
    """Those with dots, and those of attributes of modules."""
    image, maps, named = (onnx.helper.make_tensor_value_info(n, 1, ["n", 3, 8, 8]) for n in ("image", "a.b", "eval"))
    nodes = [
        onnx.helper.make_node("Relu", ["image"], ["a.b"]),
        onnx.helper.make_node("Sigmoid", ["a.b"], ["eval"]),
        onnx.helper.make_node("Neg", ["eval"], ["a"]),
        onnx.helper.make_node("GlobalMaxPool", ["a"], ["pooled"]),
        onnx.helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    scores = onnx.helper.make_tensor_value_info("scores", 1, ["n", 3])
    graph = onnx.helper.make_graph(nodes, "named", [image], [scores], value_info=[maps, named])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opset), tmp_path / "named.onnx")
    x = torch.rand(2, 3, 8, 8) - 0.5
    model = ExplainedModel(OnnxNetwork(tmp_path / "named.onnx"))
    names = [candidate.name for candidate in model.candidates(x)]
    assert names == ["a.b", "eval_", "a"]
    records = [model.with_layer(name).record(x, 0).activations for name in names]
    for record, expected in zip(records, (x.relu(), x.relu().sigmoid(), -x.relu().sigmoid()), strict=True):
        torch.testing.assert_close(record, expected)


def test_images_are_explained(tmp_path, cat):
    """By the default layer; methods with gradients have an error."""
    model = model_of(exported(tmp_path / "model.onnx", 1))
    explanation = explain(cat, model=model, method="recipro-cam")
    assert explanation.layer == "/act/Relu_output_0"
    with pytest.raises(
        MethodError, match=r"the network is an ONNX file.*use a method that needs no gradients: score-cam"
    ):
        explain(cat, model=model, method="grad-cam")


def test_images_that_a_file_does_not_take_are_refused(tmp_path):
    """By the sides that it states."""
    model = model_of(exported(tmp_path / "model.onnx", 1))
    with pytest.raises(ShapeError, match=r"takes image \(1, 3, 32, 32\), got x \(1, 3, 16, 16\)"):
        model.logits(torch.rand(1, 3, 16, 16))


def test_weights_of_a_file_are_neither_replaced_nor_randomised(tmp_path):
    """They are no parameters."""
    path = exported(tmp_path / "model.onnx", 1)
    torch.save(Small().state_dict(), tmp_path / "small.pt")
    model, x = model_of(path), torch.rand(1, 3, 32, 32)
    with pytest.raises(WeightsError, match="OnnxNetwork has no parameters; leave it out"):
        load_checkpoint(model.network, tmp_path / "small.pt")
    with pytest.raises(MethodError, match="OnnxNetwork has no parameters that can be randomised"):
        METRICS["model-randomisation"](model, x, 0, torch.rand(1, 32, 32), method=METHODS["recipro-cam"])


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
