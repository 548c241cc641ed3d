"""Loading networks by name, with their weights, preprocessing and class names, and the errors of it."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants as hub
from safetensors.torch import save_file
from timm.data import ImageNetInfo
from torch import nn

import samples
from fusioncam import ExplainedModel, Preprocessing, Speed, explain, load_model
from fusioncam.errors import (
    FusionCamError,
    FusionCamWarning,
    ImageError,
    LayerError,
    SettingError,
    TargetError,
    UnknownNameError,
    WeightsError,
)
from fusioncam.zoo import downloads
from fusioncam.zoo.checkpoints import fit, read_checkpoint
from fusioncam.zoo.loading import DEFAULT_MODEL, architecture, as_model
from samples import CAT, COFFEE, LABELS, ROCKET, Small, photo

TIMM, CLASSES = "timm:test_resnet", 3


def network(classes: int = CLASSES) -> nn.Module:
    """Return timm's smallest ResNet with random weights."""
    return timm.create_model("test_resnet", num_classes=classes).eval()


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two networks have the same tensors under the same names."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the current one, and unload its modules afterwards."""
    monkeypatch.chdir(tmp_path)
    loaded = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - loaded:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, text: str) -> None:
    """Write a module that can be imported immediately."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    importlib.invalidate_caches()


# -- the default model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (CAT, {"tiger cat", "tabby", "Egyptian cat"}),
        (COFFEE, {"espresso", "cup"}),
        (ROCKET, {"missile", "projectile"}),
    ],
    ids=["cat", "coffee", "rocket"],
)
def test_default_model_classifies_photographs(path, names, lite0):
    """The built-in weights are assigned to the right tensors: the best class of each photograph is correct."""
    logits = lite0.logits(lite0.preprocessing(photo(path))[None])
    assert lite0.labels[int(logits.argmax())].split(",")[0] in names


def test_default_model_is_complete(lite0):
    """It has ImageNet's class names, its own name, an input of 224 pixels, and is in evaluation mode."""
    assert (len(lite0.labels), lite0.name, lite0.preprocessing.size) == (1000, DEFAULT_MODEL, (224, 224))
    assert not any(module.training for module in lite0.network.modules())
    # its weights were trained on (pixel - 127) / 128
    assert {round(255 * mean) for mean in lite0.preprocessing.mean} == {127}
    assert {round(255 * std) for std in lite0.preprocessing.std} == {128}
    assert lite0.layers.default(torch.zeros(1, 3, 224, 224)) == "bn2"


def test_layer_can_be_set(lite0):
    """The given layer overrides the default."""
    assert load_model(layer="blocks.6").layers.default(torch.zeros(1, 3, 224, 224)) == "blocks.6"


def test_unknown_layer_is_reported_with_the_nearest():
    """The error is raised when the model is loaded."""
    with pytest.raises(LayerError, match=r"blocks\.66.*did you mean 'blocks\.6'"):
        load_model(layer="blocks.66")


def test_empty_layer_is_reported():
    """The empty string, for example from an unset variable of a script, does not mean the default."""
    with pytest.raises(LayerError, match="no layer ''"):
        load_model(layer="")


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_lite", "did you mean 'efficientnet_lite0'"),
        ("EfficientNet_Lite0", "did you mean 'efficientnet_lite0'"),
        ("timm:resnet5", "unknown timm model 'resnet5'; did you mean 'resnet5"),
        ("timm:resnet18.a1_in1", "unknown timm model 'resnet18.a1_in1'; did you mean 'resnet18.a1_in1k'"),
        ("torchvision:vgg61", "unknown torchvision classifier 'vgg61'; did you mean 'vgg1"),
        ("torchvision:fcn_resnet50", "unknown torchvision classifier"),
        ("timm:", "timm:NAME"),
        ("", "package.module:factory"),
        (
            "nonsense",
            "choose from efficientnet_lite0, efficientnet_lite2, timm:NAME, torchvision:NAME, hf:NAME, ultra",
        ),
        ("resnet50", "timm:resnet50"),
    ],
)
@pytest.mark.parametrize("load", [load_model, architecture], ids=["load_model", "architecture"])
def test_unknown_model_is_reported_with_the_nearest(load, name, message):
    """The error is raised before anything is loaded."""
    with pytest.raises(UnknownNameError) as caught:
        load(name)
    assert message in str(caught.value)
    assert "choose from ," not in str(caught.value)


def no_weights(*args: object, **kwargs: object) -> nn.Module:
    """Raise like a library without a network connection."""
    raise OSError("cannot reach the hub\nlong story")


@pytest.mark.parametrize(
    ("name", "module", "function"),
    [
        ("timm:resnet18", timm, "create_model"),
        ("torchvision:resnet18", torchvision.models, "get_model"),
    ],
)
def test_unavailable_weights_are_reported_with_an_alternative(name, module, function, monkeypatch):
    """Without a network connection the error names the model and the default, whose weights are built in."""
    monkeypatch.setattr(downloads, "_is_reachable", lambda url: False)
    monkeypatch.setattr(module, function, no_weights)
    with pytest.raises(WeightsError, match=f"{name}: pretrained weights unavailable: cannot reach the hub") as caught:
        load_model(name)
    assert DEFAULT_MODEL in str(caught.value)
    assert "--checkpoint" in str(caught.value)
    assert "long story" not in str(caught.value)
    assert "hub Use" not in str(caught.value)


def test_unsupported_preprocessing_is_not_reported_as_a_failed_download(monkeypatch):
    """The error of a pretrained network that needs padded images is about the preprocessing."""
    padded = timm.create_model("test_resnet", pretrained_cfg_overlay={"crop_mode": "border"})
    monkeypatch.setattr(downloads, "_is_reachable", lambda url: False)
    monkeypatch.setattr(timm, "create_model", lambda name, **settings: padded)
    with pytest.raises(WeightsError, match=r"preprocessing of timm is not supported.*one of your own") as caught:
        load_model(TIMM)
    assert "weights unavailable" not in str(caught.value)


def test_unreachable_hub_is_set_offline_during_the_load(monkeypatch):
    """The hub then uses its cache at once instead of retrying."""
    mine, seen = network(), {}

    def create(name: str, **settings: object) -> nn.Module:
        seen.update(settings, offline=hub.HF_HUB_OFFLINE, safe=os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD"))
        return mine

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    monkeypatch.setattr(downloads, "getproxies", dict)
    monkeypatch.setattr(downloads, "_is_reachable", lambda url: False)
    load_model(TIMM)
    assert seen == {"pretrained": True, "offline": True, "safe": "1"}
    assert hub.HF_HUB_OFFLINE is False
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    monkeypatch.setattr(downloads, "_is_reachable", lambda url: True)
    load_model(TIMM)
    assert seen["offline"] is False


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit", "torchvision:squeezenet1_1", DEFAULT_MODEL])
def test_architecture_needs_no_weights(name, monkeypatch):
    """Layers can be listed without a network connection."""
    monkeypatch.setattr(downloads, "_is_reachable", lambda url: pytest.fail("used the network connection"))
    explained = architecture(name)
    size = explained.preprocessing.size
    assert explained.layers.candidates(torch.zeros(1, 3, *size))


def test_torchvision_network_has_the_preprocessing_of_its_weights(monkeypatch):
    """The classes have ImageNet's names."""
    make = torchvision.models.get_model
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights, **settings: make(name, **settings))
    model = load_model("torchvision:squeezenet1_1", device="cpu")
    assert model.preprocessing == Preprocessing((224, 224), 256, "bilinear")
    assert model.labels[282] == "tiger cat"


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_oldest_torchvision_networks_load_without_a_warning(name):
    """The user could do nothing about that warning."""
    assert architecture(f"torchvision:{name}").preprocessing.size[0] in (224, 299)


@pytest.mark.parametrize("device", ["nope", "cpux", "cuda:99", "meta"])
def test_unavailable_device_is_reported(device):
    """The error names the device and is short."""
    with pytest.raises(SettingError, match=f"device '{device}' is not available on this machine") as caught:
        load_model(device=device)
    assert len(str(caught.value)) < 300


def test_unavailable_device_is_reported_for_a_given_model():
    """The device is also checked if the model is not given by name."""
    with pytest.raises(FusionCamError, match="nope"):
        explain(photo(), model=samples.small(), method="grad-cam", device="nope")


# -- checkpoints -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.bin", "weights.safetensors", "W.SAFETENSORS"])
def test_checkpoint_replaces_the_weights(name, tmp_path):
    """Checkpoints of torch and safetensors are loaded as saved."""
    mine = network(1000)
    save = save_file if name.lower().endswith("safetensors") else torch.save
    save(mine.state_dict(), tmp_path / name)
    assert same_weights(load_model(TIMM, checkpoint=tmp_path / name, device="cpu").network, mine)


def test_default_model_accepts_a_checkpoint(tmp_path, lite0):
    """The checkpoint replaces the built-in weights."""
    weights = {
        name: tensor + 1 if name == "classifier.bias" else tensor
        for name, tensor in lite0.network.state_dict().items()
    }
    torch.save(weights, tmp_path / "mine.pt")
    bias = load_model(checkpoint=tmp_path / "mine.pt", device="cpu").network.classifier.bias
    torch.testing.assert_close(bias, lite0.network.classifier.bias + 1)


def test_checkpoint_needs_no_download(tmp_path, monkeypatch):
    """With a checkpoint the pretrained weights are not downloaded first."""
    torch.save(network(1000).state_dict(), tmp_path / "mine.pt")
    create = timm.create_model

    def without_a_network(name: str, pretrained: bool = False, **settings: object) -> nn.Module:
        return no_weights() if pretrained else create(name, **settings)

    monkeypatch.setattr(timm, "create_model", without_a_network)
    assert load_model(TIMM, checkpoint=tmp_path / "mine.pt").labels[0].startswith("tench")


WRAPPINGS = {
    "plain": lambda weights: weights,
    "training": lambda weights: {"state_dict": weights, "epoch": 3, "optimizer": {"lr": 0.1}},
    "model_state_dict": lambda weights: {"model_state_dict": weights},
    "model": lambda weights: {"model": weights, "args": ["--lr", "1"]},
    "data parallel": lambda weights: {"module." + name: tensor for name, tensor in weights.items()},
    "compiled": lambda weights: {"_orig_mod." + name: tensor for name, tensor in weights.items()},
    "lightning": lambda weights: {"state_dict": {"model." + name: tensor for name, tensor in weights.items()}},
    "parallel, compiled": lambda weights: {"module._orig_mod." + name: one for name, one in weights.items()},
    "compiled, parallel": lambda weights: {"_orig_mod.module." + name: one for name, one in weights.items()},
    "both": lambda weights: {"state_dict": {"module." + name: tensor for name, tensor in weights.items()}},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_training_checkpoints_are_unwrapped(wrap, tmp_path):
    """The weights are found inside the structures that training scripts save."""
    weights = Small().state_dict()
    torch.save(wrap(weights), tmp_path / "training.pt")
    found = read_checkpoint(tmp_path / "training.pt")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_prefixes_are_removed_from_safetensors(tmp_path):
    """Both file formats are treated alike."""
    weights = Small().state_dict()
    save_file({"module." + name: tensor for name, tensor in weights.items()}, tmp_path / "parallel.safetensors")
    assert read_checkpoint(tmp_path / "parallel.safetensors").keys() == weights.keys()


def test_prefix_of_some_names_is_kept(tmp_path):
    """Only a prefix of every name is removed."""
    weights = {"module.weight": torch.zeros(1), "head.weight": torch.zeros(1)}
    torch.save(weights, tmp_path / "mixed.pt")
    assert read_checkpoint(tmp_path / "mixed.pt").keys() == weights.keys()


@pytest.mark.parametrize("wrap", [lambda name: name, lambda name: "module." + name], ids=["plain", "parallel"])
def test_network_with_a_prefix_of_its_own_loads_its_checkpoint(wrap, tmp_path, monkeypatch):
    """A network with an attribute called model, which looks like a prefix, loads the weights that it saved."""
    mine = nn.Sequential(OrderedDict(model=Small()))
    monkeypatch.setattr(samples, "mine", lambda: nn.Sequential(OrderedDict(model=Small())), raising=False)
    weights = {wrap(name): tensor + 1 for name, tensor in mine.state_dict().items()}
    torch.save(weights, tmp_path / "mine.pt")
    model = load_model("samples:mine", checkpoint=tmp_path / "mine.pt", device="cpu")
    torch.testing.assert_close(model.network.model.fc.bias, mine.model.fc.bias + 1)


def test_missing_tensors_are_named(tmp_path):
    """The error of a checkpoint of another network names the missing tensors."""
    weights = {name: tensor for name, tensor in Small().state_dict().items() if "fc" not in name}
    with pytest.raises(WeightsError, match=r"mine\.pt does not fit Small: 2 missing: fc\.weight, fc\.bias"):
        fit(Small(), weights, "mine.pt")


def test_many_missing_tensors_are_counted(lite0):
    """The error is short even if nothing matches."""
    with pytest.raises(WeightsError, match=r"missing: .* and \d+ more") as caught:
        fit(lite0.network, Small().state_dict(), "mine.pt")
    assert len(str(caught.value)) < 400


def test_tensors_of_another_shape_are_named(tmp_path):
    """The error of a head of another size names both shapes and the setting that helps."""
    torch.save(network(CLASSES).state_dict(), tmp_path / "mine.pt")
    with pytest.raises(
        WeightsError, match=r"of another shape: fc\.weight is \(3, \d+\), the network needs \(1000"
    ) as e:
        load_model(TIMM, checkpoint=tmp_path / "mine.pt")
    assert "num_classes" in str(e.value).replace("-", "_")


def test_mismatching_checkpoint_leaves_the_network_unchanged():
    """No tensor is loaded if any tensor does not fit."""
    mine = Small()
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    with pytest.raises(WeightsError):
        fit(mine, {name: torch.zeros(2) for name in before}, "mine.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in mine.state_dict().items())


def test_unused_tensor_does_not_hide_a_prefix():
    """A network with a prefix of its own loads a checkpoint with an additional tensor."""
    mine = nn.Sequential(OrderedDict(model=Small()))
    weights = {name: tensor + 1 for name, tensor in mine.state_dict().items()}
    with pytest.warns(FusionCamWarning, match=r"ema\.decay"):
        fit(mine, weights | {"ema.decay": torch.zeros(1)}, "mine.pt")
    torch.testing.assert_close(mine.model.fc.bias, weights["model.fc.bias"])


def test_unused_tensors_raise_a_warning():
    """The warning names the tensors that the network does not have."""
    with pytest.warns(FusionCamWarning, match=r"mine\.pt: 1 tensors? are not in the network .*: ema\.decay"):
        fit(Small(), Small().state_dict() | {"ema.decay": torch.zeros(1)}, "mine.pt")


class Touches:
    """Create a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["zip", "old", "pickle", "deep"])
@pytest.mark.parametrize("trusting", [False, True], ids=["", "trusting environment"])
def test_file_that_would_run_code_is_refused(kind, trusting, tmp_path, monkeypatch):
    """No code of a checkpoint is executed, whatever the environment allows, and the error states the reason."""
    if trusting:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    evil, path = Touches(tmp_path / "ran"), tmp_path / "mine.pt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(evil, protocol=2))
    else:
        stored = {"state_dict": Small().state_dict(), "epoch": evil} if kind == "deep" else evil
        torch.save(stored, path, _use_new_zipfile_serialization=kind != "old")
    with pytest.raises(WeightsError) as caught:
        load_model(TIMM, checkpoint=path)
    assert not (tmp_path / "ran").exists()
    assert re.search(r"mine\.pt: refused.*could run code", str(caught.value))


def test_pickled_network_is_refused(tmp_path):
    """The error advises to save a state dict instead."""
    torch.save(Small(), tmp_path / "mine.pt")
    with pytest.raises(WeightsError, match=r"refused.*save a state dict"):
        read_checkpoint(tmp_path / "mine.pt")


GARBAGE = {
    "nothing": b"",
    "text": b"hello, I am no checkpoint",
    "page": b"<!DOCTYPE html><html>404</html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n",
    "json": b'{"weights": 1}',
    "noise": bytes(range(256)) * 4,
    "zip": b"PK\x03\x04" + bytes(100),
    "pickle": b"\x80\x02",
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_unreadable_file_is_reported(content, suffix, tmp_path):
    """For example an empty file, a web page or a Git LFS pointer."""
    path = tmp_path / f"mine.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"mine\.{suffix}: not a readable checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_truncated_checkpoint_is_reported(suffix, tmp_path):
    """An incomplete download is not loaded in part."""
    path = tmp_path / f"mine.{suffix}"
    (torch.save if suffix == "pt" else save_file)(Small().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a readable checkpoint") as caught:
        read_checkpoint(path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "stored",
    [[1, 2], torch.zeros(3), {}, {"a": torch.zeros(1), "epoch": 3}, {0: torch.zeros(2), 1: torch.zeros(1)}],
    ids=["list", "tensor", "empty", "mixed", "numbers"],
)
def test_content_other_than_named_tensors_is_reported(stored, tmp_path):
    """Only names with tensors are a state dict."""
    torch.save(stored, tmp_path / "mine.pt")
    with pytest.raises(WeightsError, match="expected a state dict"):
        read_checkpoint(tmp_path / "mine.pt")


def test_keys_of_an_unknown_structure_are_reported(tmp_path):
    """The error names the keys of the file."""
    torch.save({"weights_of_mine": Small().state_dict(), "epoch": 3}, tmp_path / "mine.pt")
    with pytest.raises(WeightsError, match="weights_of_mine"):
        read_checkpoint(tmp_path / "mine.pt")


def test_error_does_not_advise_unsafe_loading(tmp_path):
    """A scripted network is refused without torch's hint to load it unsafely."""
    path = tmp_path / "mine.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scripting is deprecated
        torch.jit.script(nn.Linear(2, 2)).save(str(path))
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    assert "False" not in str(caught.value)


@pytest.mark.parametrize("name", ["nope.pt", "", "n" * 300])
def test_missing_checkpoint_is_reported(name, tmp_path):
    """A missing path, a folder and an impossible name raise errors of the library."""
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / name)


# -- classes ---------------------------------------------------------------------------------------------------


def test_num_classes_sets_the_size_of_the_head(tmp_path):
    """A fine-tuned network is loaded with its own head and without ImageNet's class names."""
    torch.save(network(CLASSES).state_dict(), tmp_path / "mine.pt")
    model = load_model(TIMM, checkpoint=tmp_path / "mine.pt", num_classes=CLASSES)
    assert model.logits(torch.zeros(1, 3, 160, 160)).shape == (1, CLASSES)
    assert model.labels is None


def test_class_names_of_the_default_model_need_its_head(tmp_path):
    """The default architecture with a head of three classes has no class names."""
    torch.save(timm.create_model("tf_efficientnet_lite0", num_classes=3).state_dict(), tmp_path / "mine.pt")
    assert load_model(checkpoint=tmp_path / "mine.pt", num_classes=3, device="cpu").labels is None
    torch.save(timm.create_model("tf_efficientnet_lite0").state_dict(), tmp_path / "mine.pt")
    assert len(load_model(checkpoint=tmp_path / "mine.pt", num_classes=1000, device="cpu").labels) == 1000


def test_labels_name_the_classes(tmp_path):
    """The class names of a file are the model's."""
    torch.save(network(CLASSES).state_dict(), tmp_path / "mine.pt")
    (tmp_path / "names.txt").write_text("oak\nbeech\nelm\n")
    model = load_model(TIMM, checkpoint=tmp_path / "mine.pt", num_classes=CLASSES, labels=tmp_path / "names.txt")
    assert model.labels == ("oak", "beech", "elm")
    assert explain(photo(), model=model, method="grad-cam", target="beech").target == 1


def test_num_classes_without_a_checkpoint_is_reported():
    """The heatmaps of an untrained head would be noise."""
    with pytest.raises(WeightsError, match="give the checkpoint"):
        load_model(num_classes=3)


def test_missing_labels_are_reported(tmp_path):
    """A missing file of class names raises an error of the library."""
    with pytest.raises(TargetError, match=r"nope\.txt"):
        load_model(labels=tmp_path / "nope.txt")


# -- factories -------------------------------------------------------------------------------------------------

FACTORY = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.mark.parametrize(("path", "name"), [("mynet.py", "mynet:make"), ("pack/age/net.py", "pack.age.net:make")])
def test_factory_is_imported_from_the_current_folder(path, name, current_folder):
    """The import path is restored afterwards."""
    write(current_folder / path, FACTORY)
    before = list(sys.path)
    model = load_model(name, device="cpu")
    assert model.logits(torch.zeros(1, 3, 224, 224)).shape == (1, 2)
    assert model.name == name
    assert sys.path == before


def test_changes_of_the_import_path_by_the_factory_are_kept(current_folder):
    """Only the entry of the library is removed from the path."""
    (current_folder / "lib").mkdir()
    write(current_folder / "pathnet.py", "import sys\nsys.path.insert(0, 'lib')\n" + FACTORY)
    before = list(sys.path)
    try:
        load_model("pathnet:make")
        assert sys.path == ["lib", *before]
    finally:
        sys.path[:] = before


def test_factory_may_return_an_explained_model(monkeypatch):
    """The ExplainedModel keeps its preprocessing, class names, layer and speed."""
    ready = ExplainedModel(
        Small(), "conv", preprocessing=Preprocessing((32, 32), 40), labels=LABELS, speed=Speed(chunk=3)
    )
    monkeypatch.setattr(samples, "ready", lambda: ready, raising=False)
    model = load_model("samples:ready", device="cpu")
    assert (model.network, model.layer, model.labels) == (ready.network, "conv", LABELS)
    assert (model.preprocessing, model.speed) == (ready.preprocessing, Speed(chunk=3))


def test_factory_says_how_the_network_is_called(monkeypatch):
    """What goes along with the image, which part of the output is read, and how the layer is read."""
    settings = {"extra": (torch.ones(1),), "vary": 0, "read": 0, "reshape": lambda output: output}
    ready = ExplainedModel(Small(), "conv", preprocessing=Preprocessing((32, 32), 40), **settings)
    monkeypatch.setattr(samples, "ready", lambda: ready, raising=False)
    model = load_model("samples:ready", device="cpu")
    calling = model.runner.calling
    assert (calling.extra, calling.vary, calling.read, model.reshape) == tuple(settings.values())
    assert load_model("samples:ready", "act", device="cpu").reshape is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:make", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("samples:nothing", "AttributeError.*nothing"),
        ("samples:fails", r"FileNotFoundError: my_weights\.pt"),
        ("samples:text", "must return an nn.Module or an ExplainedModel, got str"),
        ("samples:number", "not callable"),
        ("json:loads", "missing 1 required positional argument"),
        (":make", "returned no model"),
        ("a..b:make", "returned no model"),
    ],
)
def test_error_in_a_factory_is_reported(name, message):
    """The error names the factory and includes the error that it raised."""
    with pytest.raises(SettingError, match=message) as caught:
        load_model(name)
    assert name in str(caught.value)


@pytest.mark.parametrize("text", ["def make(:\n", "import sys\nsys.exit(3)\n", "1 / 0\n"])
def test_module_that_fails_to_import_is_reported(text, current_folder):
    """Also a syntax error and a module that exits the program."""
    write(current_folder / "slip.py", text)
    with pytest.raises(SettingError, match="slip:make returned no model"):
        load_model("slip:make")


def test_factory_accepts_a_checkpoint(tmp_path):
    """The checkpoint replaces the weights of the network that the factory returns."""
    weights = {name: tensor + 1 for name, tensor in Small().state_dict().items()}
    torch.save(weights, tmp_path / "mine.pt")
    model = load_model("samples:small", checkpoint=tmp_path / "mine.pt", device="cpu")
    torch.testing.assert_close(model.network.fc.bias, weights["fc.bias"])
    assert model.labels == LABELS


# -- networks and models ---------------------------------------------------------------------------------------


def test_network_has_default_preprocessing():
    """Any nn.Module is explained with the preprocessing of ImageNet."""
    mine = Small()
    model = as_model(mine, "conv", None)
    assert (model.network, model.layer, model.labels) == (mine, "conv", None)
    assert (model.preprocessing, model.name) == (Preprocessing(), "Small")


def test_timm_network_has_its_own_preprocessing():
    """It is read from the network's configuration; only a network with 1,000 classes has class names."""
    pretrained, tuned = as_model(network(1000), None, None), as_model(network(CLASSES), None, None)
    assert pretrained.preprocessing.size == tuned.preprocessing.size == (160, 160)
    assert pretrained.labels[0] == ImageNetInfo().index_to_description(0)
    assert tuned.labels is None


def test_grey_timm_network_has_grey_preprocessing():
    """A timm network with one input channel can be explained."""
    model = as_model(timm.create_model("test_resnet", in_chans=1, num_classes=CLASSES), None, None)
    assert model.logits(model.preprocessing(photo())[None]).shape == (1, CLASSES)


def test_wrong_number_of_input_channels_is_reported():
    """The error for an RGB image and a network of five channels is ours, after a warning about its preprocessing."""
    with (
        pytest.warns(FusionCamWarning, match="takes 5 channels"),
        pytest.raises(ImageError, match="takes 5 channels"),
    ):
        explain(photo(), model=Small(channels=5), method="grad-cam")


def test_explained_model_is_returned_unchanged():
    """With a layer, another model of the same network is returned."""
    ready = samples.small()
    assert as_model(ready, None, None) is ready
    other = as_model(ready, "conv", None)
    assert (other.network, other.layer, other.labels, other.name) == (ready.network, "conv", ready.labels, ready.name)


def test_device_moves_the_network():
    """An unavailable device is reported."""
    mine = Small()
    assert as_model(mine, None, "cpu").device.type == "cpu"
    with pytest.raises(SettingError, match="not available on this machine"):
        as_model(mine, None, "meta")


def test_name_is_loaded():
    """A string is the name of a model."""
    assert as_model(DEFAULT_MODEL, "blocks.6", "cpu").layer == "blocks.6"


@pytest.mark.parametrize("thing", [None, 3, Small, lambda x: x], ids=["None", "number", "class", "function"])
def test_other_types_are_reported(thing):
    """For example a class instead of an instance, a function or None."""
    with pytest.raises(FusionCamError, match=r"expected a network"):
        as_model(thing, None, None)


def test_network_without_classes_is_reported(monkeypatch):
    """Features are not classes: a heatmap for "class 532" of an embedding would be misleading."""
    features = timm.create_model("test_resnet", num_classes=0)
    monkeypatch.setattr("timm.create_model", lambda name, **settings: features)
    monkeypatch.setattr("fusioncam.zoo.downloads._is_reachable", lambda url: True)
    with pytest.raises(WeightsError, match="has no classes"):
        load_model("timm:test_resnet")
