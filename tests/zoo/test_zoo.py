"""Names become networks with the weights, pixels and class names that belong to them, or clear errors."""

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
from fusioncam.errors import FusionCamError, FusionCamWarning, LayerError, TargetError, UnknownNameError, WeightsError
from fusioncam.zoo import loading
from fusioncam.zoo.checkpoints import fit, read_checkpoint
from fusioncam.zoo.loading import DEFAULT_MODEL, architecture, as_model
from samples import CAT, COFFEE, LABELS, ROCKET, Small, photo

TIMM, CLASSES = "timm:test_resnet", 3


def network(classes: int = CLASSES) -> nn.Module:
    """Make timm's smallest ResNet with weights of its own."""
    return timm.create_model("test_resnet", num_classes=classes).eval()


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Say whether two networks have the same tensors under the same names."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, text: str) -> None:
    """Write a module that can be imported at once."""
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
def test_the_default_model_knows_what_it_sees(path, names, lite0):
    """The built-in weights sit in the right places: each photograph's best class is what it shows."""
    logits = lite0.logits(lite0.preprocessing(photo(path))[None])
    assert lite0.labels[int(logits.argmax())].split(",")[0] in names


def test_the_default_model_is_complete(lite0):
    """It comes with ImageNet's names, in evaluation mode, under its own name, as an input of 224 pixels."""
    assert (len(lite0.labels), lite0.name, lite0.preprocessing.size) == (1000, DEFAULT_MODEL, (224, 224))
    assert not any(module.training for module in lite0.network.modules())
    # its weights were trained on (pixel - 127) / 128
    assert {round(255 * mean) for mean in lite0.preprocessing.mean} == {127}
    assert {round(255 * std) for std in lite0.preprocessing.std} == {128}
    assert lite0.layers.default(torch.zeros(1, 3, 224, 224)) == "bn2"


def test_the_layer_is_the_callers(lite0):
    """A layer given by name is the one explained."""
    assert load_model(layer="blocks.6").layers.default(torch.zeros(1, 3, 224, 224)) == "blocks.6"


def test_a_wrong_layer_is_told_with_the_nearest():
    """The error comes when the model is loaded."""
    with pytest.raises(LayerError, match=r"no layer 'blocks\.66'\. did you mean 'blocks\.6'"):
        load_model(layer="blocks.66")


def test_an_empty_layer_is_no_layer():
    """An unset variable in a script does not mean the default."""
    with pytest.raises(LayerError, match="no layer ''"):
        load_model(layer="")


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("efficientnet_lite", "did you mean 'efficientnet_lite2'"),
        ("EfficientNet_Lite0", "did you mean 'efficientnet_lite0'"),
        ("timm:resnet5", "timm has no model 'resnet5'. did you mean 'resnet5"),
        ("timm:resnet18.a1_in1", "timm has no model 'resnet18.a1_in1'. did you mean 'resnet18.a1_in1k'"),
        ("torchvision:vgg61", "torchvision has no classifier 'vgg61'. did you mean 'vgg1"),
        ("torchvision:fcn_resnet50", "torchvision has no classifier"),
        ("timm:", "timm:NAME"),
        ("", "package.module:factory"),
        ("nonsense", "choose from efficientnet_lite0, efficientnet_lite2, timm:NAME, torchvision:NAME, package.module:f"),
        ("resnet50", "timm:resnet50"),
    ],
)
@pytest.mark.parametrize("load", [load_model, architecture], ids=["load_model", "architecture"])
def test_unknown_models_are_answered_with_the_nearest(load, name, told):
    """An unknown name is answered with what was probably meant, before anything is loaded."""
    with pytest.raises(UnknownNameError) as caught:
        load(name)
    assert told in str(caught.value)
    assert "choose from ," not in str(caught.value)


def no_weights(*args: object, **kwargs: object) -> nn.Module:
    """Stand in for a library without a network."""
    raise OSError("cannot reach the hub\nlong story")


@pytest.mark.parametrize(
    ("name", "module", "function"),
    [
        ("timm:resnet18", timm, "create_model"),
        ("torchvision:resnet18", torchvision.models, "get_model"),
    ],
)
def test_weights_out_of_reach_are_told_with_a_way_out(name, module, function, monkeypatch):
    """Without a network the error names the model and the default, whose weights are built in."""
    monkeypatch.setattr(loading, "_reachable", lambda address: False)
    monkeypatch.setattr(module, function, no_weights)
    with pytest.raises(WeightsError, match=f"{name}: no pretrained weights: cannot reach the hub") as caught:
        load_model(name)
    assert DEFAULT_MODEL in str(caught.value)
    assert "--checkpoint" in str(caught.value)
    assert "long story" not in str(caught.value)
    assert "hub Without" not in str(caught.value)


def test_pixels_that_cannot_be_made_are_no_matter_of_the_download(monkeypatch):
    """A pretrained network that wants padded images is refused for that, not for want of weights."""
    padded = timm.create_model("test_resnet", pretrained_cfg_overlay={"crop_mode": "border"})
    monkeypatch.setattr(loading, "_reachable", lambda address: False)
    monkeypatch.setattr(timm, "create_model", lambda name, **settings: padded)
    with pytest.raises(WeightsError, match=r"not supported.*preprocessing of your own") as caught:
        load_model(TIMM)
    assert "no pretrained weights" not in str(caught.value)


def test_a_hub_out_of_reach_is_not_tried_again_and_again(monkeypatch):
    """Without a network the hub is told so for the time of the load, which goes to the cache at once."""
    mine, seen = network(), {}

    def create(name: str, **settings: object) -> nn.Module:
        seen.update(settings, offline=hub.HF_HUB_OFFLINE, safe=os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD"))
        return mine

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    monkeypatch.setattr(loading, "getproxies", dict)
    monkeypatch.setattr(loading, "_reachable", lambda address: False)
    load_model(TIMM)
    assert seen == {"pretrained": True, "offline": True, "safe": "1"}
    assert hub.HF_HUB_OFFLINE is False
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    monkeypatch.setattr(loading, "_reachable", lambda address: True)
    load_model(TIMM)
    assert seen["offline"] is False


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit", "torchvision:squeezenet1_1", DEFAULT_MODEL])
def test_an_architecture_needs_no_weights(name, monkeypatch):
    """Layers can be listed without a network."""
    monkeypatch.setattr(loading, "_reachable", lambda address: pytest.fail("asked the network"))
    explained = architecture(name)
    size = explained.preprocessing.size
    assert explained.layers.candidates(torch.zeros(1, 3, *size))


def test_torchvisions_networks_come_with_their_weights_settings(monkeypatch):
    """The pixels are prepared as the pretrained weights want them, and the classes have ImageNet's names."""
    make = torchvision.models.get_model
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights, **settings: make(name, **settings))
    model = load_model("torchvision:squeezenet1_1", device="cpu")
    assert model.preprocessing == Preprocessing((224, 224), 256, "bilinear")
    assert model.labels[282] == "tiger cat"


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_torchvisions_oldest_networks_load_without_a_warning(name):
    """A warning that the user can do nothing about is not shown."""
    assert architecture(f"torchvision:{name}").preprocessing.size[0] in (224, 299)


@pytest.mark.parametrize("device", ["nope", "cpux", "cuda:99", "meta"])
def test_devices_that_are_not_there_are_told(device):
    """The error names the device and stays short."""
    with pytest.raises(UnknownNameError, match=f"'{device}' is no device of this machine") as caught:
        load_model(device=device)
    assert len(str(caught.value)) < 300


def test_the_device_of_a_network_that_is_handed_over_counts_too():
    """A device is not silently passed over because the model is no name."""
    with pytest.raises(FusionCamError, match="nope"):
        explain(photo(), model=samples.small(), method="grad-cam", device="nope")


# -- checkpoints -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.bin", "weights.safetensors", "W.SAFETENSORS"])
def test_a_checkpoint_takes_the_place_of_the_weights(name, tmp_path):
    """What was saved is what is loaded, from torch's files and from safetensors."""
    mine = network(1000)
    save = save_file if name.lower().endswith("safetensors") else torch.save
    save(mine.state_dict(), tmp_path / name)
    assert same_weights(load_model(TIMM, checkpoint=tmp_path / name, device="cpu").network, mine)


def test_the_default_model_takes_a_checkpoint_too(tmp_path, lite0):
    """The default architecture with weights of one's own."""
    weights = {
        name: tensor + 1 if name == "classifier.bias" else tensor
        for name, tensor in lite0.network.state_dict().items()
    }
    torch.save(weights, tmp_path / "mine.pt")
    bias = load_model(checkpoint=tmp_path / "mine.pt", device="cpu").network.classifier.bias
    torch.testing.assert_close(bias, lite0.network.classifier.bias + 1)


def test_the_checkpoint_is_asked_for_no_download(tmp_path, monkeypatch):
    """With a checkpoint the pretrained weights are not fetched first."""
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
    """The weights are found within what training scripts save around them."""
    weights = Small().state_dict()
    torch.save(wrap(weights), tmp_path / "training.pt")
    found = read_checkpoint(tmp_path / "training.pt")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_prefixes_are_taken_off_in_safetensors_too(tmp_path):
    """Both kinds of file are read alike."""
    weights = Small().state_dict()
    save_file({"module." + name: tensor for name, tensor in weights.items()}, tmp_path / "parallel.safetensors")
    assert read_checkpoint(tmp_path / "parallel.safetensors").keys() == weights.keys()


def test_a_prefix_that_belongs_to_the_name_stays(tmp_path):
    """Only what stands before every name is taken off."""
    weights = {"module.weight": torch.zeros(1), "head.weight": torch.zeros(1)}
    torch.save(weights, tmp_path / "mixed.pt")
    assert read_checkpoint(tmp_path / "mixed.pt").keys() == weights.keys()


@pytest.mark.parametrize("wrap", [lambda name: name, lambda name: "module." + name], ids=["plain", "parallel"])
def test_a_network_whose_own_names_have_a_prefix_takes_its_checkpoint(wrap, tmp_path, monkeypatch):
    """A network that keeps its layers in an attribute called model loads what it saved."""
    mine = nn.Sequential(OrderedDict(model=Small()))
    monkeypatch.setattr(samples, "mine", lambda: nn.Sequential(OrderedDict(model=Small())), raising=False)
    weights = {wrap(name): tensor + 1 for name, tensor in mine.state_dict().items()}
    torch.save(weights, tmp_path / "mine.pt")
    model = load_model("samples:mine", checkpoint=tmp_path / "mine.pt", device="cpu")
    torch.testing.assert_close(model.network.model.fc.bias, mine.model.fc.bias + 1)


def test_missing_tensors_are_named(tmp_path):
    """A checkpoint of another network is refused with the names of what it lacks."""
    weights = {name: tensor for name, tensor in Small().state_dict().items() if "fc" not in name}
    with pytest.raises(WeightsError, match=r"mine\.pt does not fit Small: 2 missing: fc\.weight, fc\.bias"):
        fit(Small(), weights, "mine.pt")


def test_many_missing_tensors_are_counted(lite0):
    """The error stays readable where nothing fits."""
    with pytest.raises(WeightsError, match=r"missing: .* and \d+ more") as caught:
        fit(lite0.network, Small().state_dict(), "mine.pt")
    assert len(str(caught.value)) < 400


def test_tensors_of_another_shape_are_named(tmp_path):
    """A head of another size is refused with both shapes and the setting that helps."""
    torch.save(network(CLASSES).state_dict(), tmp_path / "mine.pt")
    with pytest.raises(
        WeightsError, match=r"of another shape: fc\.weight is \(3, \d+\), the network wants \(1000"
    ) as e:
        load_model(TIMM, checkpoint=tmp_path / "mine.pt")
    assert "num_classes" in str(e.value).replace("-", "_")


def test_a_network_that_is_not_fitted_keeps_its_weights():
    """A refused checkpoint changes nothing."""
    mine = Small()
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    with pytest.raises(WeightsError):
        fit(mine, {name: torch.zeros(2) for name in before}, "mine.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in mine.state_dict().items())


def test_more_than_a_network_with_a_prefix_has_is_loaded_too():
    """An odd tensor beside the others does not hide that all the names are right."""
    mine = nn.Sequential(OrderedDict(model=Small()))
    weights = {name: tensor + 1 for name, tensor in mine.state_dict().items()}
    with pytest.warns(FusionCamWarning, match=r"ema\.decay"):
        fit(mine, weights | {"ema.decay": torch.zeros(1)}, "mine.pt")
    torch.testing.assert_close(mine.model.fc.bias, weights["model.fc.bias"])


def test_tensors_without_a_place_are_warned_of():
    """More than the network has is loaded, with a warning that names the rest."""
    with pytest.warns(FusionCamWarning, match=r"mine\.pt: 1 tensors? .* no place in the network: ema\.decay"):
        fit(Small(), Small().state_dict() | {"ema.decay": torch.zeros(1)}, "mine.pt")


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["zip", "old", "pickle", "deep"])
@pytest.mark.parametrize("trusting", [False, True], ids=["", "trusting environment"])
def test_a_file_that_would_run_code_is_refused_and_not_run(kind, trusting, tmp_path, monkeypatch):
    """Nothing in a checkpoint is executed, whatever the environment says, and the error tells why it is refused."""
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


def test_a_whole_network_in_a_file_is_refused_with_what_to_do(tmp_path):
    """Who saved the network instead of its weights is told to save a state dict."""
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
def test_garbage_is_no_checkpoint(content, suffix, tmp_path):
    """An empty file, a web page or a pointer is told as what it is: not a checkpoint."""
    path = tmp_path / f"mine.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"mine\.{suffix}: not a readable checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_cut_off_checkpoint_is_told(suffix, tmp_path):
    """A download that stopped is not loaded in part."""
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
def test_other_contents_are_told(stored, tmp_path):
    """A file of other things than named tensors is no state dict."""
    torch.save(stored, tmp_path / "mine.pt")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_checkpoint(tmp_path / "mine.pt")


def test_unknown_wrappings_are_told_by_their_keys(tmp_path):
    """Who saved the weights under a name of his own reads which names the file has."""
    torch.save({"weights_of_mine": Small().state_dict(), "epoch": 3}, tmp_path / "mine.pt")
    with pytest.raises(WeightsError, match="weights_of_mine"):
        read_checkpoint(tmp_path / "mine.pt")


def test_unsafe_advice_is_not_passed_on(tmp_path):
    """A scripted network is refused without torch's hint to load it unsafely."""
    path = tmp_path / "mine.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scripting is on its way out
        torch.jit.script(nn.Linear(2, 2)).save(str(path))
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    assert "False" not in str(caught.value)


@pytest.mark.parametrize("name", ["nope.pt", "", "n" * 300])
def test_a_missing_checkpoint_is_told(name, tmp_path):
    """A path that is not there, a folder and an impossible name are the library's own errors."""
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / name)


# -- classes ---------------------------------------------------------------------------------------------------


def test_num_classes_makes_a_head_for_the_checkpoint(tmp_path):
    """A fine-tuned network is loaded with its own head, and is not given ImageNet's names."""
    torch.save(network(CLASSES).state_dict(), tmp_path / "mine.pt")
    model = load_model(TIMM, checkpoint=tmp_path / "mine.pt", num_classes=CLASSES)
    assert model.logits(torch.zeros(1, 3, 160, 160)).shape == (1, CLASSES)
    assert model.labels is None


def test_the_default_models_names_go_with_its_head(tmp_path):
    """The default architecture with a head of three classes is not given the first three of ImageNet's names."""
    torch.save(timm.create_model("tf_efficientnet_lite0", num_classes=3).state_dict(), tmp_path / "mine.pt")
    assert load_model(checkpoint=tmp_path / "mine.pt", num_classes=3, device="cpu").labels is None
    torch.save(timm.create_model("tf_efficientnet_lite0").state_dict(), tmp_path / "mine.pt")
    assert len(load_model(checkpoint=tmp_path / "mine.pt", num_classes=1000, device="cpu").labels) == 1000


def test_labels_name_the_classes(tmp_path):
    """Names from a file are the model's."""
    torch.save(network(CLASSES).state_dict(), tmp_path / "mine.pt")
    (tmp_path / "names.txt").write_text("oak\nbeech\nelm\n")
    model = load_model(TIMM, checkpoint=tmp_path / "mine.pt", num_classes=CLASSES, labels=tmp_path / "names.txt")
    assert model.labels == ("oak", "beech", "elm")
    assert explain(photo(), model=model, method="grad-cam", target="beech").target == 1


def test_num_classes_without_a_checkpoint_is_refused():
    """An untrained head would explain noise."""
    with pytest.raises(WeightsError, match="give the checkpoint"):
        load_model(num_classes=3)


def test_missing_labels_are_told(tmp_path):
    """A file of names that is not there is an error of the library."""
    with pytest.raises(TargetError, match=r"nope\.txt"):
        load_model(labels=tmp_path / "nope.txt")


# -- factories -------------------------------------------------------------------------------------------------

FACTORY = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.mark.parametrize(("path", "name"), [("mynet.py", "mynet:make"), ("pack/age/net.py", "pack.age.net:make")])
def test_a_factory_is_found_where_the_user_stands(path, name, here):
    """A function of a module in the current folder gives the network; the import path is as before."""
    write(here / path, FACTORY)
    before = list(sys.path)
    model = load_model(name, device="cpu")
    assert model.logits(torch.zeros(1, 3, 224, 224)).shape == (1, 2)
    assert model.name == name
    assert sys.path == before


def test_a_factory_that_changes_the_import_path_keeps_its_change(here):
    """What the user's own module puts on the path stays there; what we put there goes."""
    (here / "lib").mkdir()
    write(here / "pathnet.py", "import sys\nsys.path.insert(0, 'lib')\n" + FACTORY)
    before = list(sys.path)
    try:
        load_model("pathnet:make")
        assert sys.path == ["lib", *before]
    finally:
        sys.path[:] = before


def test_a_factory_may_give_a_ready_model(monkeypatch):
    """An ExplainedModel keeps its pixels, names, layer and speed."""
    ready = ExplainedModel(
        Small(), "conv", preprocessing=Preprocessing((32, 32), 40), labels=LABELS, speed=Speed(chunk=3)
    )
    monkeypatch.setattr(samples, "ready", lambda: ready, raising=False)
    model = load_model("samples:ready", device="cpu")
    assert (model.network, model.layer, model.labels) == (ready.network, "conv", LABELS)
    assert (model.preprocessing, model.speed) == (ready.preprocessing, Speed(chunk=3))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_such_module:make", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("samples:nothing", "AttributeError.*nothing"),
        ("samples:fails", r"FileNotFoundError: my_weights\.pt"),
        ("samples:text", "gives str, not an nn.Module"),
        ("samples:number", "not callable"),
        ("json:loads", "missing 1 required positional argument"),
        (":make", "gives no model"),
        ("a..b:make", "gives no model"),
    ],
)
def test_what_goes_wrong_in_a_factory_is_told(name, told):
    """The error names the factory and what it raised."""
    with pytest.raises(UnknownNameError, match=told) as caught:
        load_model(name)
    assert name in str(caught.value)


@pytest.mark.parametrize("text", ["def make(:\n", "import sys\nsys.exit(3)\n", "1 / 0\n"])
def test_a_module_that_does_not_import_is_told(text, here):
    """A slip in the user's module, and one that ends the program, are errors like the others."""
    write(here / "slip.py", text)
    with pytest.raises(UnknownNameError, match="slip:make gives no model"):
        load_model("slip:make")


def test_a_factory_takes_a_checkpoint(tmp_path):
    """Architecture from the user's code, weights from the user's file."""
    weights = {name: tensor + 1 for name, tensor in Small().state_dict().items()}
    torch.save(weights, tmp_path / "mine.pt")
    model = load_model("samples:small", checkpoint=tmp_path / "mine.pt", device="cpu")
    torch.testing.assert_close(model.network.fc.bias, weights["fc.bias"])
    assert model.labels == LABELS


# -- networks as they come -------------------------------------------------------------------------------------


def test_a_bare_network_gets_the_usual_pixels():
    """Any nn.Module is explained with ImageNet's settings."""
    mine = Small()
    model = as_model(mine, "conv", None)
    assert (model.network, model.layer, model.labels) == (mine, "conv", None)
    assert (model.preprocessing, model.name) == (Preprocessing(), "Small")


def test_a_timm_network_brings_its_own_pixels():
    """A network that timm made says itself what it wants; only with its 1,000 classes do they have names."""
    whole, tuned = as_model(network(1000), None, None), as_model(network(CLASSES), None, None)
    assert whole.preprocessing.size == tuned.preprocessing.size == (160, 160)
    assert whole.labels[0] == ImageNetInfo().index_to_description(0)
    assert tuned.labels is None


def test_a_grey_timm_network_is_given_grey_pixels():
    """A timm network made for one channel can be explained as it is."""
    model = as_model(timm.create_model("test_resnet", in_chans=1, num_classes=CLASSES), None, None)
    assert model.logits(model.preprocessing(photo())[None]).shape == (1, CLASSES)


def test_a_network_that_wants_other_channels_is_told_apart():
    """A network of five channels cannot see a photograph: the error speaks of channels."""
    with pytest.raises((FusionCamError, RuntimeError), match="channel"):
        explain(photo(), model=Small(channels=5), method="grad-cam")


def test_a_ready_model_is_taken_as_it_is():
    """An ExplainedModel is used itself; a layer makes another one of the same network."""
    ready = samples.small()
    assert as_model(ready, None, None) is ready
    other = as_model(ready, "conv", None)
    assert (other.network, other.layer, other.labels, other.name) == (ready.network, "conv", ready.labels, ready.name)


def test_a_device_moves_the_network():
    """A network that is handed over goes where it is told to."""
    mine = Small()
    assert as_model(mine, None, "cpu").device.type == "cpu"
    with pytest.raises(UnknownNameError, match="no device of this machine"):
        as_model(mine, None, "meta")


def test_a_name_is_loaded():
    """A text is a model's name."""
    assert as_model(DEFAULT_MODEL, "blocks.6", "cpu").layer == "blocks.6"


@pytest.mark.parametrize("thing", [None, 3, Small, lambda x: x], ids=["None", "number", "class", "function"])
def test_other_things_are_no_networks(thing):
    """A class that was not called, a function or None is refused with what is wanted."""
    with pytest.raises(FusionCamError, match=r"expected a network"):
        as_model(thing, None, None)


def test_a_network_without_classes_is_told(monkeypatch):
    """Features are no classes: a map of "class 532" of an embedding would mislead."""
    features = timm.create_model("test_resnet", num_classes=0)
    monkeypatch.setattr("fusioncam.zoo.loading.timm.create_model", lambda name, **settings: features)
    monkeypatch.setattr("fusioncam.zoo.loading._reachable", lambda address: True)
    with pytest.raises(WeightsError, match="comes without classes"):
        load_model("timm:test_resnet")
