"""The table of the page "Why not another library?" says what the installed libraries do."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from importlib.metadata import requires
from io import StringIO
from pathlib import Path

import captum.attr
import pytest
import torch
import torchcam.methods
from torch import Tensor, nn

import fusioncam as fc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # an escape in a docstring
    import pytorch_grad_cam

PAGE = Path(__file__).parents[2] / "docs" / "other-libraries.md"
LIBRARIES = ("fusioncam", "grad-cam", "torchcam", "captum")
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def cell(name: str, library: str) -> str:
    """Return what the table says of a library in the line of a name."""
    (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    return dict(zip(LIBRARIES, map(str.strip, line.split(" | ")), strict=True))[library]


def network(axes: int = 2) -> nn.Module:
    """Return a small network whose layer "1" has maps of so many axes, which all speak for each class."""
    torch.manual_seed(0)
    classifier = nn.Linear(4, 3)
    nn.init.uniform_(classifier.weight, 0.1, 1)
    return nn.Sequential(CONVOLUTIONS[axes](2, 4, 3), nn.ReLU(), POOLS[axes](1), nn.Flatten(), classifier).eval()


def images(axes: int = 2) -> Tensor:
    """Return two inputs."""
    return torch.randn(2, 2, *(16,) * axes, generator=torch.Generator().manual_seed(0))


def of_fusioncam(method: str, model: nn.Module, x: Tensor) -> object:
    """Explain two images by this library."""
    return fc.METHODS[{"GradCAM": "grad-cam", "ScoreCAM": "score-cam"}[method]](model, x, torch.tensor([0, 1]))


def of_grad_cam(method: str, model: nn.Module, x: Tensor) -> object:
    """Explain two images by pytorch-grad-cam."""
    targets = [pytorch_grad_cam.base_cam.ClassifierOutputTarget(index) for index in (0, 1)]
    return getattr(pytorch_grad_cam, method)(model, [model[1]])(x, targets)


def of_torchcam(method: str, model: nn.Module, x: Tensor) -> object:
    """Explain two images by torch-cam."""
    with getattr(torchcam.methods, method)(model, target_layer="1") as extractor:
        return extractor([0, 1], model(x))


def of_captum(method: str, model: nn.Module, x: Tensor) -> object:
    """Explain two images by captum; it has no Score-CAM, which is a `KeyError`."""
    return {"GradCAM": captum.attr.LayerGradCam}[method](model, model[1]).attribute(x, target=[0, 1])


CALLS = dict(zip(LIBRARIES, (of_fusioncam, of_grad_cam, of_torchcam, of_captum), strict=True))


def works(call: Callable[..., object], *arguments: object) -> bool:
    """Return whether a call raises no error."""
    try:
        with redirect_stderr(StringIO()):
            call(*arguments)
    except (ValueError, RuntimeError, TypeError, KeyError):
        return False
    return True


@pytest.mark.parametrize("library", LIBRARIES)
def test_frozen_networks_and_no_grad(library):
    """Whether Grad-CAM works on a network without gradients, and in a block without."""
    frozen = works(CALLS[library], "GradCAM", network().requires_grad_(False), images())
    with torch.no_grad():
        without = works(CALLS[library], "GradCAM", network(), images())

    words = ", ".join("yes" if one else "an error" for one in (frozen, without))
    assert cell("Grad-CAM of frozen networks, under `no_grad`", library) == words


@pytest.mark.parametrize("library", LIBRARIES)
def test_bfloat16(library):
    """Whether Grad-CAM works in bfloat16."""
    word = "yes" if works(CALLS[library], "GradCAM", network().bfloat16(), images().bfloat16()) else "an error"

    assert cell("bfloat16", library) == word


@pytest.mark.parametrize("library", LIBRARIES)
def test_network_after_a_call(library):
    """Whether the train flag and the gradients of the parameters are as before."""
    model = network().train()
    CALLS[library]("GradCAM", model, images())
    changes = ["in evaluation mode"] if not model.training else []
    changes += ["`.grad` filled"] if any(one.grad is not None for one in model.parameters()) else []

    assert cell("network after a call", library) == (", ".join(changes) or "unchanged")


@pytest.mark.parametrize("library", LIBRARIES)
def test_signals_and_volumes(library):
    """Which methods work on inputs with one axis, and on those with three."""
    methods = {"GradCAM": "Grad-CAM", "ScoreCAM": "Score-CAM"}
    found = [name for method, name in methods.items() if works(CALLS[library], method, network(1), images(1))]
    signals = {0: "neither", 1: " ".join(found), 2: "both"}[len(found)]
    volumes = "yes" if works(CALLS[library], "GradCAM", network(3), images(3)) else "an error"

    assert cell("Grad-CAM and Score-CAM of signals", library) == signals
    assert cell("Grad-CAM of volumes", library) == volumes


def test_numbers_of_methods():
    """Those that this library has without presets, and the classes of the others."""
    cams = pytorch_grad_cam.base_cam.BaseCAM
    of_pgc = [
        name
        for name, one in vars(pytorch_grad_cam).items()
        if inspect.isclass(one) and (issubclass(one, cams) or name in ("FinerCAM", "RefineCAM"))
    ]
    of_tc = [name for name, one in vars(torchcam.methods).items() if inspect.isclass(one) and name != "OutputTarget"]

    assert cell("CAM methods", "fusioncam") == "more than 40"
    assert 40 < len([name for name in fc.METHODS if ":" not in name]) < 60
    assert int(cell("CAM methods", "grad-cam").split(",")[0]) == len(of_pgc)
    assert int(cell("CAM methods", "torchcam")) == len(of_tc)


@pytest.mark.parametrize("library", LIBRARIES)
def test_numbers_of_packages(library):
    """Those that pip installs without extras, other than torch and torchvision."""
    needed = [re.split(r"[<>=;\s\[]", one)[0] for one in requires(library) or () if "extra" not in one]
    stated = cell("packages it needs besides torch and torchvision", library)

    assert int(stated.split(",")[0]) == len([name for name in needed if name not in ("torch", "torchvision")])
