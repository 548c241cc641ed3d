"""Networks of TorchScript and torch.export: their layers have the names and the maps of the original modules."""

from __future__ import annotations

import copy
import io
import warnings

import pytest
import torch
from torch import Tensor, nn

import fusioncam as fc
from fusioncam.errors import LayerError
from fusioncam.inference.reachable import with_reachable_layers
from fusioncam.inference.scripted import ScriptedNetwork

METHODS = (
    *("grad-cam", "grad-cam++", "layer-cam", "hires-cam", "score-cam", "recipro-cam", "ablation-cam", "eigen-cam"),
    *("fusion-cam(budget=8)", "rise(masks=8)", "integrated-gradients(steps=4)"),
)


class Block(nn.Module):
    """A residual block, of which the network has two with the same program."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.act = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps."""
        return self.act(self.bn(self.conv(x)) + x)


class Net(nn.Module):
    """A small residual network with a branch in Python, whose maps are halved between the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = True
        self.stem, self.head = nn.Conv2d(3, 6, 3, 2), nn.Linear(6, 5)
        self.blocks = nn.Sequential(Block(), nn.MaxPool2d(2), Block())

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 5)``."""
        x = self.stem(x)
        if self.deep:
            x = self.blocks(x)
        return self.head(x.mean((2, 3)))


def original() -> Net:
    """Return the network, with statistics and weights that make no map constant."""
    torch.manual_seed(0)
    network = Net().eval()
    for block in (network.blocks[0], network.blocks[2]):
        block.bn.running_mean.uniform_(-0.2, 0.2)
        block.bn.running_var.uniform_(0.5, 2)
    return network


X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def quietly(make):
    """Return what a function of torch returns that warns that it is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def exported(network: nn.Module, *, strict: bool = False):
    """Return an exported program for any number of images."""
    axes = ({0: torch.export.Dim("images")},)
    return quietly(lambda: torch.export.export(network, (X,), dynamic_shapes=axes, strict=strict))


def exported_for(images: int):
    """Return a function from a network to a program for so many images only."""
    return lambda network: torch.export.export(network, (torch.rand(images, 3, 32, 32),))


def saved(program) -> io.BytesIO:
    """Return an exported program as a file."""
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return file


KINDS = {
    "script": torch.jit.script,
    "trace": lambda network: torch.jit.trace(network, X),
    "program": exported,
    "module": lambda network: exported(network, strict=True).module(),
    "one image": exported_for(1),
    "three images": exported_for(3),
    "loaded": lambda network: torch.export.load(saved(exported(network))),
}


@pytest.fixture(scope="module", params=KINDS)
def models(request) -> tuple[fc.ExplainedModel, fc.ExplainedModel]:
    """Return the model of a network, and that of its scripted or exported form."""
    network = original()
    return fc.ExplainedModel(network), fc.ExplainedModel(quietly(lambda: KINDS[request.param](network)))


@pytest.mark.parametrize("name", METHODS)
def test_heatmaps_are_those_of_the_modules(models, name):
    """Also those of methods that need gradients, and of the default layer."""
    expected, heatmaps = (fc.METHODS[name](model, X, 1) for model in models)
    assert heatmaps.amax() > heatmaps.amin()
    torch.testing.assert_close(heatmaps, expected, atol=1e-5, rtol=0)


def test_layers_have_the_names_of_the_modules(models):
    """In the same order, also those of modules that share a program; their maps and gradients are the same."""
    names = [[one.name for one in model.candidates(X)] for model in models]
    assert names[0] == names[1]
    assert {"stem", "blocks.0.conv", "blocks.2.bn", "blocks.2", "blocks"} <= set(names[1])
    assert models[0].layer_for(X) == models[1].layer_for(X)
    for name in names[0]:
        expected, record = (model.with_layer(name).record(X, 2) for model in models)
        torch.testing.assert_close(record.activations, expected.activations, atol=1e-6, rtol=0)
        torch.testing.assert_close(record.gradients, expected.gradients, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["script", "trace"])
@pytest.mark.parametrize("name", METHODS)
def test_frozen_networks_have_operations_as_layers(kind, name):
    """They have no modules; their BatchNorms are part of the convolutions."""
    network = original()
    frozen = quietly(lambda: torch.jit.freeze(KINDS[kind](network)))
    model = fc.ExplainedModel(frozen)
    assert model.layer_for(X) == "relu_1"
    expected = fc.METHODS[name](fc.ExplainedModel(network), X, 1)
    torch.testing.assert_close(fc.METHODS[name](model, X, 1), expected, atol=1e-5, rtol=0)


def test_graphs_without_modules_have_operations_as_layers():
    """As programs whose graphs were built or changed by a tool."""
    network = original()
    module = exported(network).module()
    for node in module.graph.nodes:
        node.meta.pop("nn_module_stack", None)
    model = fc.ExplainedModel(module)
    assert [one.name for one in model.candidates(X)][:2] == ["conv2d", "conv2d_1"]
    expected = fc.METHODS["grad-cam"](fc.ExplainedModel(network), X, 1)
    torch.testing.assert_close(fc.METHODS["grad-cam"](model, X, 1), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["script", "trace", "module"])
def test_the_network_of_the_user_is_unchanged(kind):
    """Its graph, outputs and flags; what it learns afterwards is explained."""
    network = quietly(lambda: KINDS[kind](original()))
    code, scores = str(network.graph), network(X)
    model = fc.ExplainedModel(network, "stem")
    before = model.record(X, 1).activations
    assert str(network.graph) == code
    assert torch.equal(network(X), scores)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(model.record(X, 1).activations, 2 * before)


@pytest.mark.parametrize("kind", ["trace", "script", "one image"])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mobilenetv3_small_100"])
@pytest.mark.slow
def test_networks_of_timm(kind, name):
    """Also those of tokens and windows, by the layer that is found without a name."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    network, x = timm.create_model(name, num_classes=7).eval(), torch.rand(1, 3, 224, 224)
    makes = {
        "trace": lambda: torch.jit.trace(network, x),
        "script": lambda: torch.jit.script(network),
        "one image": lambda: torch.export.export(network, (x,)),
    }
    expected, model = fc.ExplainedModel(network), fc.ExplainedModel(quietly(makes[kind]))
    assert model.layer_for(x) == expected.layer_for(x)
    for method in ("grad-cam", "eigen-cam"):
        torch.testing.assert_close(
            fc.METHODS[method](model, x, 1), fc.METHODS[method](expected, x, 1), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("kind", ["script", "program", "one image"])
def test_copies_have_layers_of_their_own(kind):
    """As those of metrics that change the parameters."""
    network = with_reachable_layers(quietly(lambda: KINDS[kind](original())))
    other = copy.deepcopy(network)
    torch.nn.init.zeros_(next(other.parameters()))
    kept, changed = (fc.ExplainedModel(one, "stem").record(X, 0).activations for one in (network, other))
    assert not torch.allclose(kept, changed)
    assert with_reachable_layers(network) is network


def test_unflattened_programs_run_hooks_themselves():
    """They have modules, but these do not say whether channels are first, so the layer is named."""
    network = original()
    expected, unflattened = (
        fc.ExplainedModel(one, "blocks.0") for one in (network, torch.export.unflatten(exported(network)))
    )
    torch.testing.assert_close(fc.METHODS["grad-cam"](unflattened, X, 1), fc.METHODS["grad-cam"](expected, X, 1))


class Shared(nn.Module):
    """Runs one layer twice, and another one in a loop of the language."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 3)``."""
        for _ in range(int(x.shape[2]) // 16):
            x = self.act(self.conv(x))
        return self.act(x + 1).mean((2, 3))


@pytest.mark.parametrize("kind", ["script", "program"])
def test_layers_that_run_several_times_are_reported(kind):
    """As those of the original modules are."""
    model = fc.ExplainedModel(quietly(lambda: KINDS[kind](Shared().eval())), "act")
    with pytest.raises(LayerError, match="layer 'act' ran 3 times in one pass"):
        model.record(X, 0)


def test_loops_are_followed():
    """The number of their runs depends on the image."""
    network = Shared().eval()
    scripted = fc.ExplainedModel(quietly(lambda: torch.jit.script(network)), "conv")
    expected = fc.METHODS["grad-cam"](fc.ExplainedModel(network, "conv"), X[..., :16, :16], 1)
    torch.testing.assert_close(fc.METHODS["grad-cam"](scripted, X[..., :16, :16], 1), expected)


def test_networks_that_cannot_be_saved_keep_the_error():
    """It says what the network is, and what to do."""
    network = quietly(lambda: torch.jit.optimize_for_inference(torch.jit.script(original())))
    model = fc.ExplainedModel(network)
    assert not isinstance(model.network, ScriptedNetwork)
    with pytest.raises(LayerError, match=r"TorchScript .*: use the method rise"):
        fc.METHODS["grad-cam"](model, X, 0)
