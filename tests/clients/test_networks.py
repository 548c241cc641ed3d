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
from clients.table import CLIENTS

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
each = pytest.mark.parametrize("client", CLIENTS, ids=lambda one: f"{one.package}-{one.name.split(',')[0]}")


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


def test_the_page_lists_every_client():
    """With the lines of code that the tests run."""
    rows = re.findall(r"^\| `?([\w ]+?)`? \| (.*?) \| .* \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    stated = {(library, name): int(lines) for library, name, lines in rows}
    tested = {(one.package, one.name): one.lines for one in CLIENTS}
    assert {key: stated.get(key) for key in tested} == tested
