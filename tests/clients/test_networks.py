"""Networks of other libraries: Grad-CAM equals plain autograd, and the maps are where the image is changed."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import fusioncam as fc
from clients.table import CLIENTS, REAL

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def name_of(client):
    """Return the name of a client in the list of tests."""
    return f"{client.package}-{client.name.split(',')[0]}"


each = pytest.mark.parametrize("client", CLIENTS, ids=name_of)


def mean_of_predicted(logits):
    """Return the mean logits of the pixels of each class that is predicted there, as Segmentation does."""
    masks = torch.stack([(logits.argmax(1) == c) for c in range(logits.shape[1])], 1).to(logits)
    pixels = masks.flatten(2).sum(2).clamp_min(1)
    return (logits * masks).flatten(2).sum(2) / pixels


@pytest.fixture
def made(client, tmp_path, monkeypatch):
    """Return the names that the code of a client defines; it skips where its library is missing."""
    if client.needs:
        monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
        pytest.importorskip(client.needs)
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    torch.manual_seed(0)
    names = {"torch": torch, "fc": fc, "mean_of_predicted": mean_of_predicted}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries
        exec("x = torch.rand(1, 3, 64, 64)\n" + client.make, names)
        names["network"].eval()
        names["original"] = names["x"]
        exec(client.code, names)
        yield names


def recorded(client, names, target):
    """Return the activations, gradients and scores of a client by plain autograd."""
    kept = []

    def hook(module, inputs, output):
        first = output if isinstance(output, torch.Tensor) else output[0]
        kept.append(first.detach().requires_grad_())
        replaced = kept[-1].clone()
        return replaced if isinstance(output, torch.Tensor) else (replaced, *output[1:])

    network = names["network"]
    handle = network.get_submodule(client.layer).register_forward_hook(hook)
    scores = eval(client.scores, names | {"x": names["original"]})
    handle.remove()
    (gradients,) = torch.autograd.grad(scores[:, target].sum(), kept[:1])
    return [eval(client.maps, {"out": one}) for one in (kept[0].detach(), gradients)]


def own_layer(client, names):
    """Return the layer of a client as our model names it."""
    inside = names["model"].network is not names["network"]
    return f"wrapped.{client.layer}" if inside else client.layer


@pytest.mark.slow
@each
def test_grad_cam_is_that_of_plain_autograd(client, made):
    """For the class with the highest map."""
    x, model = made["x"], made["model"].with_layer(own_layer(client, made))
    classes = range(model.logits(x).shape[1])
    expected = {}
    for target in classes:
        activations, gradients = recorded(client, made, target)
        weights = gradients.flatten(2).mean(2)
        cam = torch.einsum("nk...,nk->n...", activations, weights).relu()
        cam = F.interpolate(cam[:, None], x.shape[2:], mode=MODES[cam.dim() - 1])[0, 0]
        if cam.max() > 1e-9:
            expected[target] = (cam - cam.min()) / (cam.max() - cam.min())
    assert expected
    for target, heatmap in list(expected.items())[:2]:
        torch.testing.assert_close(fc.METHODS["grad-cam"](model, x, target)[0], heatmap, atol=2e-5, rtol=0)


@pytest.mark.slow
@each
def test_the_maps_are_where_the_object_is(client, made):
    """An object that moves from one corner to the opposite one moves the change of the maps along every axis."""
    x, model = made["x"], made["model"].with_layer(own_layer(client, made))
    before = model.record(x, 0).activations
    first = middle_of((model.record(with_object(x, last=False), 0).activations - before).abs())
    second = middle_of((model.record(with_object(x, last=True), 0).activations - before).abs())
    assert (first < second).all()


@pytest.mark.parametrize("client", [pytest.param(one, marks=one.marks, id=name_of(one)) for one in CLIENTS])
def test_a_mirrored_object_is_at_the_mirrored_place(client, made):
    """Along each axis by itself, so that exchanged axes are noticed too."""
    x, model = made["x"], made["model"].with_layer(own_layer(client, made))

    def place(images):
        changed, before = (model.record(one, 0).activations for one in images)
        maps = (changed - before).abs()
        return (middle_of(maps) + 0.5) / torch.tensor(maps.shape[2:])

    images = (with_object(x, last=False), x)
    first = place(images)
    for axis in range(x.dim() - 2):
        moved = place([image.flip(2 + axis) for image in images]) - first
        others = torch.cat([moved[:axis], moved[axis + 1 :]]).abs()
        assert moved[axis] > 0.02  # deep layers see nearly the whole image everywhere
        assert (others < moved[axis] / 2).all()


SYMMETRIC = {
    "ResNet": 65,
    "Vision Transformer": 64,
    "ConvNeXt": 64,
    "Vision Transformer with registers": 64,
    "ViT": 64,
}


@pytest.mark.parametrize(
    "client", [pytest.param(one, marks=one.marks, id=name_of(one)) for one in CLIENTS if one.name in SYMMETRIC]
)
@torch.no_grad()
def test_symmetric_networks_have_mirrored_heatmaps(client, made):
    """With kernels and positions that are their own mirror images, and sides that strides divide evenly."""
    for module in made["network"].modules():
        if isinstance(module, torch.nn.Conv2d):
            mirror_in(module.weight)
    for name, parameter in made["network"].named_parameters():
        if "pos" in name:  # behind those of class tokens
            mirror_in(parameter[:, -16:].unflatten(1, (4, 4)).movedim(-1, 1))
    side, model = SYMMETRIC[client.name], made["model"].with_layer(own_layer(client, made))
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    images = torch.cat([x, x.flip(2), x.flip(3)])
    for method in ("grad-cam", "recipro-cam"):
        found = (fc.METHODS[method](model, images, target) for target in range(4))
        heatmaps = next(maps for maps in found if maps[0].std() > 1e-3)  # that of some classes is empty
        for axis, mirrored in enumerate(heatmaps[1:]):
            torch.testing.assert_close(mirrored.flip(axis), heatmaps[0], atol=1e-3, rtol=0)
            assert (mirrored - heatmaps[0]).abs().max() > 0.01


def mirror_in(weights):
    """Average weights, in place, with their mirror images along the last two axes."""
    for axis in (-2, -1):
        weights.copy_((weights + weights.flip(axis)) / 2)


def with_object(x, *, last):
    """Return an image with other pixels in the first or the last corner."""
    corner = [slice(side - side // 4, side) if last else slice(side // 4) for side in x.shape[2:]]
    index = (..., *corner)
    changed = x.clone()
    changed[index] = 1 - changed[index]
    return changed


def middle_of(maps):
    """Return the centre of mass of maps ``(1, K, *s)`` along each axis."""
    mass = maps.sum((0, 1))
    indices = torch.stack(torch.meshgrid(*map(torch.arange, mass.shape), indexing="ij"))
    return (indices * mass).flatten(1).sum(1) / mass.sum()


@pytest.mark.slow
@each
def test_the_automatic_layer_and_a_region_method(client, made):
    """Both without naming a layer."""
    x, model = made["x"], made["model"]
    for method in ("grad-cam", "score-cam(budget=8)"):
        heatmap = fc.METHODS[method](model, x, 1)
        assert heatmap.shape == (1, *x.shape[2:])
        assert heatmap.isfinite().all()


@pytest.mark.parametrize("name", REAL)
def test_real_weights(name, cat):
    """Of the predicted class of a photograph and its mirror image."""
    loaded = fc.load_model(name, device="cpu")
    network, x = loaded.network, loaded.preprocessing(cat)[None]
    model = fc.ExplainedModel(network)
    target, kept = int(model.logits(x).argmax()), []
    handle = network.get_submodule(model.layer_for(x)).register_forward_hook(lambda *args: kept.append(args[2]))
    score = network(x)[0, target]
    handle.remove()
    (gradients,) = torch.autograd.grad(score, kept)
    cam = (kept[0].detach() * gradients.mean((2, 3), keepdim=True)).sum(1, keepdim=True).relu()
    cam = F.interpolate(cam, x.shape[2:], mode="bilinear")[0, 0]
    heatmap = fc.METHODS["grad-cam"](model, x, target)[0]
    torch.testing.assert_close(heatmap, (cam - cam.min()) / (cam.max() - cam.min()), atol=1e-5, rtol=0)
    mirrored = fc.METHODS["grad-cam"](model, x.flip(3), target)[0].flip(1)
    assert torch.corrcoef(torch.stack([heatmap.flatten(), mirrored.flatten()]))[0, 1] > 0.8


def test_the_page_lists_every_client():
    """With their weights and the lines of code that the tests run."""
    rows = re.findall(r"^\| `?([\w ]+?)`? \| (.*?) \| (\w+) \| .* \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    stated = {(library, name): (weights, int(lines)) for library, name, weights, lines in rows}
    tested = {(one.package, one.name): ("random", one.lines) for one in CLIENTS}
    tested |= {("timm", name): ("real", 1) for name in REAL.values()}
    assert {key: stated.get(key) for key in tested} == tested
