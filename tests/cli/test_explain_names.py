"""`fusioncam explain`: unusual names of files, classes and methods."""

from __future__ import annotations

import gc
import io
import os
import sys
import weakref
from pathlib import Path

import pytest

import samples
from command_line import FAST, SMALL, listed, names_of, strict
from fusioncam.cli.explain_output import ExplanationWriter
from fusioncam.explanations.explain import explain_batches
from samples import CAT, COFFEE, ROCKET, photo


def test_images_with_the_same_name_have_separate_files(cli, tmp_path):
    """Two folders may both contain a cat.png, and a third image may have the name of the numbered one."""
    for name in ("a/cat.png", "b/cat.png", "c/cat-2.png", "d/cat.jpg"):
        (tmp_path / name).parent.mkdir()
        photo(CAT, (60, 40)).save(tmp_path / name)
    assert cli("explain", "a", "b", "c", "d", *FAST).code == 0
    assert len(names_of()) == 8


def test_image_named_like_a_heatmap_has_separate_files(cli, tmp_path):
    """cat.png and cat.grad-cam.png, explained by two methods, do not overwrite each other."""
    for name in ("cat.png", "cat.grad-cam.png"):
        photo(CAT, (60, 40)).save(tmp_path / name)
    assert cli("explain", "cat.png", "cat.grad-cam.png", *FAST, "-m", "score-cam").code == 0
    assert len(names_of()) == 10


def test_classes_with_the_same_name_have_separate_files(cli, photos):
    """ImageNet has two classes named crane: with top5 each has its own heatmap."""
    result = cli("explain", photos / "cat.png", "--model", "samples:alike", "-m", "grad-cam", "--target", "top5")
    assert result.code == 0
    assert len(names_of()) == 11


def test_methods_with_long_names_have_separate_files(cli, photos):
    """Two SPECs that differ only after the 80th character do not overwrite each other."""
    spec = "fusion-cam(region=score-cam(readout=probability, softmax=false, normalise=before), theta={})"
    assert cli("explain", photos / "cat.png", *SMALL, "-m", spec.format(10), "-m", spec.format(90)).code == 0
    assert len(names_of()) == 5


def test_repeated_method_runs_once(cli, photos):
    """The same method given twice yields one heatmap."""
    assert cli("explain", photos / "cat.png", *FAST, "-m", " grad-cam ").code == 0
    assert len(names_of()) == 2


@pytest.mark.parametrize(
    "name", ["[b]x.png", "[x] [1].png", "a b.png", "猫 é.png", "$x^2$ _y_.png", "-x.png", "100%.png"]
)
def test_names_are_printed_literally(name, cli, tmp_path):
    """Brackets, dollar signs and other scripts in a file name are no markup and cause no warning."""
    folder = tmp_path / "in"
    folder.mkdir()
    photo(CAT, (60, 40)).save(folder / "x.png")
    (folder / "x.png").rename(folder / name)
    result = cli("explain", "in", *FAST, "-m", "score-cam")
    assert (result.code, result.err) == (0, "")
    assert result.out.count(name) >= 2


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["table", "json"])
def test_ascii_terminal_does_not_stop_the_run(more, cli, tmp_path, monkeypatch):
    """If stdout cannot encode a name, the run finishes and prints a replacement."""
    photo(CAT, (60, 40)).save(tmp_path / "猫.png")
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert cli("explain", "猫.png", *FAST, *more).code == 0
    plain.flush()
    shown = plain.buffer.getvalue().decode()
    printed = strict(shown)["explanations"][0]["image"] if more else shown
    assert ("猫" if more else "grad-cam") in printed
    assert listed(Path("fusioncam-out"))["explanations"][0]["image"] == "猫.png"


def test_class_names_are_printed_literally(cli, photos):
    """The class name '[/red] [bold]5' is not read as markup."""
    result = cli("explain", photos / "cat.png", "--model", "samples:marked", "-m", "grad-cam")
    assert result.code == 0
    assert "[/red] [bold]" in result.out


def test_file_name_that_is_not_utf8(cli, tmp_path):
    """File names of old archives may have other encodings: the images are explained, and the JSON is valid."""
    path = os.fsencode(tmp_path / "in") + b"/caf\xe9.png"
    (tmp_path / "in").mkdir()
    photo(CAT, (60, 40)).save(tmp_path / "x.png")
    try:
        (tmp_path / "x.png").rename(os.fsdecode(path))
    except OSError:
        pytest.skip("this file system accepts only UTF-8")
    assert cli("explain", "in", *FAST, "-m", "score-cam").code == 0
    assert len(strict(Path("fusioncam-out/explanations.json").read_bytes())["explanations"]) == 2


def test_very_long_file_name(cli, tmp_path):
    """An image whose name leaves no room for a suffix is explained like the others."""
    for name in ("a.png", "n" * 250 + ".png", "z.png"):
        photo(CAT, (60, 40)).save(tmp_path / name)
    assert cli("explain", "a.png", "n" * 250 + ".png", "z.png", *FAST).code == 0
    assert len(names_of()) == 6


def test_impossible_path_does_not_affect_others(cli, photos):
    """A path longer than the system allows fails; the next image is explained."""
    result = cli("explain", "n" * 300, photos / "cat.png", *FAST, "-q")
    assert result.code == 1
    assert len(names_of()) == 2


def test_results_of_an_earlier_run_are_not_explained(cli, photos, monkeypatch):
    """Explaining a folder twice, with the results inside it, explains the same images both times."""
    monkeypatch.chdir(photos)
    first = cli("explain", ".", *FAST, "--json").json
    second = cli("explain", ".", *FAST, "--json").json
    assert [one["image"] for one in second["explanations"]] == [one["image"] for one in first["explanations"]]


def test_run_keeps_no_pixels(tmp_path):
    """Saved explanations are freed, so that memory does not grow with the number of images."""
    writer, model, given = ExplanationWriter(tmp_path, quiet=True), samples.small(), []

    def each():
        for of_image in explain_batches([CAT, COFFEE, ROCKET], model, ["grad-cam"], None):
            given.extend(map(weakref.ref, of_image))
            yield of_image

    writer.save(each())
    gc.collect()
    assert [reference() for reference in given] == [None] * 3
    assert writer.finish(model) == 0
    assert len(listed(tmp_path)["explanations"]) == 3


@pytest.mark.parametrize("target", ["label", "leaves.csv", "leaves.csv:kind"])
def test_each_image_has_the_class_of_its_folder_or_of_a_table(target, cli, tmp_path):
    """An image without a class fails alone, and a table that is missing is one line."""
    for name in ("elm/a.png", "ash/b.png", "oak/c.png"):
        (tmp_path / name).parent.mkdir()
        photo(CAT, (60, 40)).save(tmp_path / name)
    rows = ["path,label,kind", "elm/a.png,elm,elm", "ash/b.png,ash,ash", "oak/c.png,,oak"]
    (tmp_path / "leaves.csv").write_text("\n".join(rows))
    ended = cli("explain", "elm", "ash", "oak", *FAST, "--labels", labels(tmp_path), "--target", target, "--json")

    assert ended.code == 1
    assert [one["class_name"] for one in strict(ended.out)["explanations"]] == ["elm", "ash"]
    assert "oak/c.png" in strict(ended.out)["failures"][0]["error"]
    assert cli("explain", "elm", *FAST, "--target", "missing.csv").err.startswith("error: cannot read missing.csv")
    assert "does not apply to bulk runs" in cli("explain", "elm", *FAST, "--bulk", "--target", target).err


def labels(folder: Path) -> Path:
    """Write the class names of the small network."""
    path = folder / "names.txt"
    path.write_text("\n".join(samples.LABELS))
    return path
