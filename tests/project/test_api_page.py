"""The page of the API: parameters or fields, results and an example of each entry."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from PIL import Image
from torch import nn

import fusioncam as fc
import fusioncam.bulk
from detectors import Queries
from fusioncam.utils.files import writable_folder
from reports import write_run
from samples import photo
from scans import write_nifti

griffe = pytest.importorskip("griffe", reason='the site needs pip install "fusioncam[docs]"')

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
MODULES = {"fusioncam.tasks", "fusioncam.errors"}  # their members are entries, or exceptions
NAMES = [name for name in re.findall(r"^::: (\S+)$", PAGE, re.MULTILINE) if name not in MODULES]
# what is described on a page of its own, is an exception, or is an earlier name
ELSEWHERE = {"METHODS", "METRICS", "FusionCamError", "FusionCamWarning", "sharing"}
# interfaces, which are not called with these parameters, and a block that has none
WITHOUT_PARAMETERS = {"fusioncam.methods.Method", "fusioncam.metrics.Metric", "fusioncam.cached_passes"}


def entry(name):
    """Return what is described under a name."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


def sections(name):
    """Return the sections of a docstring by their kind."""
    parsed = griffe.Docstring(inspect.getdoc(entry(name))).parse("google", warnings=False)
    return {section.kind.value: section.value for section in parsed}


def test_every_public_name_is_on_the_page():
    """Those of ``import fusioncam``."""
    assert {f"fusioncam.{name}" for name in set(fc.__all__) - ELSEWHERE} <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT_PARAMETERS])
def test_every_parameter_is_in_the_table(name):
    """In the order of the signature, as parameters or as fields, and the result of functions too."""
    found = sections(name)
    asked = [one for one in inspect.signature(entry(name)).parameters if not one.startswith("_")]

    assert [one.name for one in found.get("parameters") or found["attributes"]] == asked
    assert ("returns" in found) is not inspect.isclass(entry(name))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: a cat, a data set of two images and a scan."""
    (tmp_path / "photos").mkdir()
    for name in ("cat.jpg", "photos/cat.png", "photos/cup.png"):
        photo().save(tmp_path / name)
    write_nifti(tmp_path / "scan.nii.gz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_bulk(folder):
    """Write a bulk run of the cat."""
    plan = fusioncam.bulk.BulkPlan((str(folder / "cat.jpg"),), methods=("grad-cam",))
    fusioncam.bulk.explain_in_bulk(plan, str(writable_folder(folder / "maps")))


# what the entries of a module read
STORED = {
    "fusioncam.report": lambda folder: write_run(folder / "run", ["cat.jpg"]),
    "fusioncam.read_heatmaps": write_bulk,
    "fusioncam.bulk": write_bulk,
}


def network_of(dimensions, channels=3):
    """Return a network with two classes."""
    convolution, pooling = (nn.Conv2d, nn.AdaptiveAvgPool2d) if dimensions == 2 else (nn.Conv3d, nn.AdaptiveAvgPool3d)
    return nn.Sequential(convolution(channels, 4, 3), nn.ReLU(), pooling(1), nn.Flatten(), nn.Linear(4, 2))


class Clip(nn.Module):
    """An image tower, and a text tower that knows the length of a text."""

    def __init__(self):
        super().__init__()
        self.visual, self.logit_scale = network_of(2), nn.Parameter(torch.tensor(2.0))

    def encode_image(self, x):
        """Return embeddings of images."""
        return self.visual(x)

    def encode_text(self, lengths):
        """Return embeddings of texts."""
        return torch.stack([lengths.sin(), lengths.cos()], 1)


def context():
    """Return what the examples take for granted: networks, inputs and classes."""
    torch.manual_seed(0)
    network, x, target = network_of(2), torch.rand(2, 3, 64, 64), torch.tensor([0, 1])
    return {
        "fc": fc,
        "Image": Image,
        "network": network,
        "encoder": network,
        "model": fc.ExplainedModel(network),
        "unet": nn.Sequential(nn.Conv2d(3, 4, 5, 4), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1, bias=False)),
        "detector": Queries(no_object=False),
        "scan_network": network_of(3, channels=1),
        "video_network": network_of(3),
        "clip": Clip(),
        "tokenizer": lambda texts: torch.tensor([float(len(text)) for text in texts]),
        "x": x,
        "target": target,
        "images": x,
        "labels": target,
        "clips": torch.rand(2, 3, 8, 32, 32),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name, folder):
    """As they are, with small networks and their inputs."""
    for part, write in STORED.items():
        if name.startswith(part):
            write(folder)
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(entry(name)), re.DOTALL)
    exec(dedent(code), context())
