"""`fusioncam explain`: invalid requests, failing images and networks."""

from __future__ import annotations

import os
import shutil
import signal
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from command_line import FAST, SMALL, Ended, listed
from fusioncam.cli.explain_output import ExplanationWriter
from samples import CAT, Small, photo


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-m", "fusion-cam(thta=20)"], "fusion-cam has no setting 'thta'; did you mean 'theta'"),
        (["-m", "fusion-cam(theta=200)"], "theta must be a percentile between 0 and 100"),
        (["-m", "fusion-cam(theta=20"], "')' is missing"),
        (["-m", "grad-cam", "-m", ""], "unknown method ''"),
        (["-m", "fuse(rule=median)"], "'median'"),
        (["-m", "grad-cam(layer=actt)"], "no layer 'actt'; did you mean 'act'"),
        (["--layer", "actt"], "no layer 'actt'; did you mean 'act'"),
        (["--layer", ""], "no layer ''"),
        (["--model", "resnet5"], "unknown model 'resnet5'"),
        (["--model", "timm:resnet5"], "did you mean 'resnet5"),
        (["--model", "samples:fails"], "FileNotFoundError: my_weights.pt"),
        (["--model", "no_such:make"], "No module named 'no_such'"),
        (["--device", "gpu"], "device 'gpu' is not available on this machine"),
        (["--precision", "half"], "unknown precision 'half'"),
        (["--num-classes", "3"], "give the checkpoint"),
        (["--checkpoint", "nope.pt"], "nope.pt: no such file"),
        (["--labels", "nope.txt"], "cannot read the class names in nope.txt"),
        (["--out", "file/below"], "cannot write into file/below"),
        (["--out", "file"], "cannot write into file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_request_leaves_no_files(args, message, cli, photos, tmp_path):
    """An invalid option is one error and exit code 2; nothing is printed or written."""
    (tmp_path / "file").write_text("this is a file, not a folder")
    before = sorted(tmp_path.rglob("*"))
    result = cli("explain", photos / "cat.png", photos / "cup of coffee.jpg", *SMALL, *args)
    assert result.err.startswith("error: ")
    assert result.err.count(message) == 1
    assert (result.code, result.out) == (2, "")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--layer", "fc"], "not feature maps"),
        (["--model", "samples:twice", "--layer", "act"], "layer 'act' ran 2 times"),
        (["--target", "cdar"], "no class 'cdar'; did you mean 'cedar'"),
        (["--target", "5"], "class 5 does not exist: choose an index from 0 to 4"),
        (["--target", "-1"], "class -1 does not exist"),
        (["--target", "top9"], "choose from top1 to top5"),
        (["--target", ""], "the network has no class ''"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_request_that_fails_for_every_image_ends_with_2(args, message, cli, photos):
    """A class or layer that the network does not have is reported once, not for each image."""
    result = cli("explain", photos / "cat.png", photos / "cup of coffee.jpg", *SMALL, "-m", "grad-cam", *args)
    assert result.err.count(message) == 1
    assert (result.code, result.out.strip()) == (2, "")


def test_invalid_method_is_reported_before_the_model_is_loaded(cli, photos):
    """A misspelt method is reported without a download."""
    result = cli("explain", photos / "cat.png", "--model", "samples:fails", "-m", "gradcam")
    assert "did you mean 'grad-cam'" in result.err


def test_wrong_number_of_labels_is_reported_once(cli, photos, tmp_path):
    """Too few class names are one error, not one per image."""
    (tmp_path / "names.txt").write_text("oak\nbeech\n")
    result = cli("explain", photos, *FAST, "--labels", "names.txt")
    assert result.code == 2
    assert result.err.count("2 class names for a network of 5 classes") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["explain"],
        ["explain", "x.png", "--batch-size", "0"],
        ["explain", "x.png", "--batch-size", "many"],
        ["explain", "x.png", "--bath-size", "2"],
        ["expain", "x.png"],
        ["list", "modles"],
    ],
    ids=" ".join,
)
def test_invalid_arguments_are_reported_with_the_usage(args, cli):
    """Unknown options and commands end with 2 and print the usage."""
    result = cli(*args)
    assert result.code == 2
    assert "Usage: fusioncam" in result.err


def test_no_arguments_print_the_help(cli):
    """The program without arguments prints its commands and exit codes."""
    result = cli()
    for word in ("explain", "demo", "list", "--version", "Exit codes", "130"):
        assert word in result.out + result.err


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_shows_every_option(flag, cli):
    """The help of explain lists its options."""
    shown = cli("explain", flag).out
    for option in ("--model", "--layer", "--method", "--target", "--out", "--device", "--batch-size", "--json"):
        assert option in shown


def test_version_is_that_of_the_package(cli):
    """--version prints the version and nothing else."""
    assert cli("--version") == Ended(0, version("fusioncam") + "\n", "")


@pytest.mark.parametrize("paths", [["nope.png"], ["nope*.png"], ["empty"], [""]], ids=str)
def test_missing_image_is_reported(paths, cli, tmp_path):
    """A missing file, a pattern without a match, an empty folder and an empty path are reported by name."""
    (tmp_path / "empty").mkdir()
    photo(CAT, (60, 40)).save(tmp_path / "here.png")
    result = cli("explain", *paths, *FAST, "-q")
    assert result.code != 0
    assert result.err.startswith(f"failed: {paths[0]}")


@pytest.mark.parametrize("make", ["nan", "nan_first", "broken"])
@pytest.mark.parametrize("target", ["1", "elm"])
def test_failing_network_is_reported_per_image(make, target, cli, photos):
    """NaN and errors of the user's network are reported with the image, and explanations.json is valid."""
    result = cli("explain", photos / "cat.png", "--model", f"samples:{make}", "-m", "grad-cam", "--target", target)
    assert result.code != 0
    assert "cat.png" in result.err
    assert "weights of the attention" in result.err if make == "broken" else "nan" in result.err.lower()
    assert listed(Path("fusioncam-out"))["explanations"] == []


def test_interruption_keeps_finished_explanations(cli, photos, monkeypatch):
    """After Ctrl-C during a later image, the finished ones are listed and the exit code is 130."""
    passes = []

    def forward(self: Small, x: torch.Tensor) -> torch.Tensor:
        passes.append(len(x))
        if len(passes) > 12:
            raise KeyboardInterrupt
        return self.fc(self.act(self.conv(x)).mean((2, 3)))

    monkeypatch.setattr(Small, "forward", forward)
    names = [shutil.copy(photos / "cat.png", photos / f"{n}.png") for n in range(20)]
    result = cli("explain", *names, *FAST, "-q")
    facts = listed(Path("fusioncam-out"))
    assert result.code == 130
    assert 0 < len(facts["explanations"]) < 20
    assert facts["failures"] == []
    assert "stopped" in result.err


def test_interruption_of_the_estimate_leaves_an_empty_run(cli, photos, monkeypatch):
    """Ctrl-C before the first image, while passes are timed, ends as later ones do."""

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fusioncam.explanations.planned_time.plan_time", interrupted)
    result = cli("explain", *sorted(photos.iterdir())[:2], *FAST)
    assert (result.code, listed(Path("fusioncam-out"))["explanations"]) == (130, [])
    assert "stopped" in result.err


def test_an_image_that_is_being_written_is_finished(cli, photos, monkeypatch):
    """Ctrl-C between its files leaves none that is not listed."""
    save = ExplanationWriter._save_view

    def interrupted(self: ExplanationWriter, *arguments: object) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return save(self, *arguments)

    monkeypatch.setattr(ExplanationWriter, "_save_view", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    try:
        result = cli("explain", *sorted(photos.iterdir())[:2], *FAST)
    finally:
        signal.signal(signal.SIGINT, before)
    facts = listed(Path("fusioncam-out"))
    assert (result.code, len(facts["explanations"]), "earlier_files" in facts) == (130, 1, False)
