"""Heatmaps of the examples equal plain autograd, and their maps are where the image is changed."""

from __future__ import annotations

import copy
import os
import re
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fusioncam as fc
from clients.table import CLIENTS, EXAMPLES, Client, is_installed, of_pixels

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
CAMS = {
    "grad-cam": lambda maps, gradients: torch.einsum("nk...,nk->n...", maps, gradients.flatten(2).mean(2)),
    "layer-cam": lambda maps, gradients: (maps * gradients.relu()).sum(1),
}


def run(path, tmp_path_factory):
    """Return the names that an example defines; nothing is downloaded."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("YOLO_CONFIG_DIR", str(tmp_path_factory.mktemp("yolo")))
        patched.setenv("HF_HUB_OFFLINE", "1")
        return runpy.run_path(str(path))


@pytest.fixture(scope="module", params=[client.parameter for client in CLIENTS])
def client(request):
    """A client whose library is installed; in CI all are."""
    if not is_installed(request.param.needs):
        assert not os.environ.get("FUSIONCAM_REQUIRE_CLIENTS"), f"{request.param.needs} is not installed"
        pytest.skip(f"needs {request.param.needs}")
    return request.param


@pytest.fixture(scope="module")
def names(client, tmp_path_factory):
    """The names that an example defines."""
    return run(client.path, tmp_path_factory)


def with_callable(client, names):
    """Return the names with a network that is called and hooked as usual."""
    return names | {"network": client.eager()} if client.eager else names


def recorded(client, names, target):
    """Return the maps of a layer and the gradients of a score by plain autograd."""
    kept = []

    def hook(module, inputs, output):
        first = output if isinstance(output, torch.Tensor) else output[0]
        kept.append(first.detach().requires_grad_())
        replaced = kept[-1].clone()
        return replaced if isinstance(output, torch.Tensor) else (replaced, *output[1:])

    names = with_callable(client, names)
    network = names["network"] if client.eager else names["model"].network
    handle = network.get_submodule(client.layer).register_forward_hook(hook)
    scores = client.scores(names | {"x": torch.Tensor(names["x"])})
    handle.remove()
    target = int(scores.argmax()) if target is None else target
    (gradients,) = torch.autograd.grad(scores[:, target].sum(), kept[:1])
    return client.maps(kept[0].detach()), client.maps(gradients)


def test_the_heatmaps_of_the_example_are_those_of_plain_autograd(client, names):
    """At the layer that is chosen by itself."""
    assert names["model"].layer_for(names["x"]) == client.layer
    cam = CAMS[client.method](*recorded(client, names, client.target)).relu()
    cam = F.interpolate(cam[:, None], names["x"].shape[2:], mode=MODES[cam.dim() - 1])[:, 0]
    assert cam.max() > 0
    expected = (cam - cam.min()) / (cam.max() - cam.min())
    torch.testing.assert_close(names["heatmaps"], expected, atol=2e-5, rtol=0)


def test_the_maps_are_where_the_object_is(client, names):
    """An object that moves from one corner to the opposite one moves the change of the maps along every axis."""
    x, model = names["x"], names["model"].with_layer(client.earlier or client.layer)
    before = model.record(x, 0).activations
    first = middle_of((model.record(with_object(x, last=False), 0).activations - before).abs())
    second = middle_of((model.record(with_object(x, last=True), 0).activations - before).abs())
    assert (first < second).all()


def test_a_mirrored_object_is_at_the_mirrored_place(client, names):
    """Along each axis by itself, so that exchanged axes are noticed too."""
    x, model = names["x"], names["model"].with_layer(client.earlier or client.layer)

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


def test_scores_of_a_changed_image_are_those_of_the_network(client, names):
    """Region methods use no more; of a box they are the log-odds, halved with either sign."""
    changed = with_object(names["x"], last=False)
    with torch.no_grad():
        expected = client.scores(with_callable(client, names) | {"x": torch.Tensor(changed)})
    found = names["model"].logits(changed)[:, : expected.shape[1]]  # SigLIP's last class is "none of them"
    if "found" in names:
        expected = expected.diff() / 2 * torch.tensor([-1, 1])
    torch.testing.assert_close(found, expected, atol=1e-3 if "found" in names else 1e-5, rtol=1e-3)


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


@pytest.mark.parametrize("client", [client.parameter for client in CLIENTS if client.side], indirect=True)
@torch.no_grad()
def test_symmetric_networks_have_mirrored_heatmaps(client, names):
    """With kernels and positions that are their own mirror images, and sides that strides divide evenly."""
    network = copy.deepcopy(names["network"])
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            mirror_in(module.weight)
    for name, parameter in network.named_parameters():
        if "pos" in name:  # behind those of class tokens
            mirror_in(parameter[:, -16:].unflatten(1, (4, 4)).movedim(-1, 1))
    model = fc.ExplainedModel(network)
    x = torch.rand(1, 3, client.side, client.side, generator=torch.Generator().manual_seed(0))
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


@pytest.mark.slow
def test_a_sliding_window_has_the_heatmaps_of_its_windows(tmp_path_factory):
    """The score of a class is its highest one, and the heatmap of each window is its own, times its weight."""
    if not is_installed("monai"):
        assert not os.environ.get("FUSIONCAM_REQUIRE_CLIENTS"), "monai is not installed"
        pytest.skip("needs monai")
    names = run(EXAMPLES / "monai_sliding_window.py", tmp_path_factory)
    windows = names["x"].split(16, 2)

    scores = torch.cat([of_pixels(lambda output: output)(names | {"x": torch.Tensor(one)}) for one in windows])
    torch.testing.assert_close(names["model"].logits(names["x"])[0], scores.amax(0))
    inside = fc.ExplainedModel(fc.tasks.Segmentation(names["network"]))
    live = []
    for window, heatmap in zip(windows, names["heatmaps"].split(16, 1), strict=True):
        alone = fc.METHODS["grad-cam"](inside, torch.Tensor(window), 1)
        if heatmap.max() > 0:
            live.append(alone)
            torch.testing.assert_close(heatmap / heatmap.max(), alone, atol=1e-4, rtol=0)
    assert live


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_the_page_has_a_row_for_every_example(path):
    """With its method, and as many lines of code as it has between the network and the heatmaps."""
    (row,) = re.findall(rf"^\|.*\]\(clients\.md#{path.stem}\).*\|$", PAGE.read_text(), re.MULTILINE)
    *_, method, _, lines = (cell.strip() for cell in row.strip("|").split("|"))
    client = Client(path.stem, "")

    assert (method, lines) == (f"`{client.method}`", str(client.lines))
    assert path.stem == "monai_sliding_window" or path.stem in {one.stem for one in CLIENTS}
