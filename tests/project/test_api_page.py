"""The page of the API: parameters, results and an example of what users call most."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from PIL import Image

import fusioncam as fc
import fusioncam.audit
import fusioncam.benchmark

griffe = pytest.importorskip("griffe", reason='the site needs pip install "fusioncam[docs]"')

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
FUNCTIONS = {
    "fusioncam.explain": fc.explain,
    "fusioncam.explain_each": fc.explain_each,
    "fusioncam.compare": fc.compare,
    "fusioncam.trust.check": fc.trust.check,
    "fusioncam.load_model": fc.load_model,
    "fusioncam.fuse": fc.fuse,
    "fusioncam.metrics.measure": fc.metrics.measure,
    "fusioncam.benchmark.benchmark": fusioncam.benchmark.benchmark,
    "fusioncam.audit.audit": fusioncam.audit.audit,
}
CLASSES = {"fusioncam.ExplainedModel": fc.ExplainedModel, "fusioncam.Preprocessing": fc.Preprocessing}
ALL = {**FUNCTIONS, **CLASSES, "fusioncam.cached_passes": fc.cached_passes}


def sections(entry):
    """Return the sections of a docstring by their kind."""
    parsed = griffe.Docstring(inspect.getdoc(entry)).parse("google", warnings=False)
    return {section.kind.value: section.value for section in parsed}


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_parameter_is_in_the_table(name):
    """In the order of the signature, and the result of functions too."""
    found = sections(ALL[name])
    asked = [one for one in inspect.signature(ALL[name]).parameters if not one.startswith("_")]

    assert f"\n::: {name}\n" in PAGE
    assert [one.name for one in found["parameters"]] == asked
    assert ("returns" in found) is (name in FUNCTIONS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a cat, and a data set of two images."""
    from skimage import data

    root = tmp_path_factory.mktemp("api")
    for name, pixels in {
        "cat.jpg": data.chelsea(),
        "photos/cat.png": data.chelsea(),
        "photos/cup.png": data.coffee(),
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_examples_run(name, folder, monkeypatch):
    """As they are, with a small network and its inputs."""
    monkeypatch.chdir(folder)
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(ALL[name]), re.DOTALL)
    torch.manual_seed(0)
    convolution, linear = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)
    network = torch.nn.Sequential(
        convolution, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), linear
    )
    names = {
        "fc": fc,
        "Image": Image,
        "network": network,
        "x": torch.rand(2, 3, 64, 64),
        "target": torch.tensor([0, 1]),
    }
    names["model"] = fc.ExplainedModel(network)
    exec(dedent(code), names)
