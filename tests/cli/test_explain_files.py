"""`fusioncam explain`: which files it replaces, keeps, and leaves out of its inputs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from command_line import FAST, SMALL, names_of, strict
from fusioncam.errors import LayerError
from fusioncam.explanations.explain import explain_batches
from samples import CAT, photo

BOTH = (*FAST, "-m", "layer-cam")


def image_at(path: str) -> bytes:
    """Write a small photograph and return its bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    photo(CAT, (60, 40)).save(path)
    return Path(path).read_bytes()


# -- inputs and other files are never replaced ----------------------------------------------------------------------


def test_inputs_in_the_output_folder_are_kept(cli, tmp_path):
    """Neither the image itself nor one that is opened later is replaced by a figure, and a note says so."""
    before = {name: image_at(name) for name in ("sub/x.png", "x.png", "y.png")}
    result = cli("explain", "sub/x.png", "x.png", "../" + tmp_path.name + "/y.png", *BOTH, "--out", ".", "-q")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("note: kept files in . that no earlier run wrote: the results of 3 images have a")
    assert {name: Path(name).read_bytes() for name in before} == before
    figures = [one["files"][0] for one in strict(Path("explanations.json").read_bytes())["explanations"][::2]]
    assert figures == ["x-2.png", "x-3.png", "y-2.png"]


def test_a_second_run_replaces_the_results_of_the_first(cli):
    """It uses the same names and lists the results of earlier runs that it does not replace."""
    image_at("cat.png")
    assert cli("explain", "cat.png", *BOTH, "--out", ".").code == 0
    assert cli("explain", "cat.png", *FAST, "-m", "eigen-cam", "--out", ".").code == 0
    facts = cli("explain", "cat.png", *BOTH, "--out", ".", "--json").json
    assert facts["explanations"][0]["files"] == ["cat-2.png", "cat-2.grad-cam.png", "cat-2.grad-cam.npy"]
    assert facts["earlier_files"] == ["cat-2.eigen-cam.npy", "cat-2.eigen-cam.png"]
    assert {path.stem.split(".")[0] for path in Path().glob("*.png")} == {"cat", "cat-2"}


@pytest.mark.parametrize("name", ["explanations.json", "report.html"])
def test_lists_and_reports_of_others_are_kept(name, cli):
    """A file of the user's that is named like one of the run is not replaced, and the message says so."""
    image_at("cat.png")
    Path(name).write_text("<p>my own</p>")
    result = cli("explain", "cat.png", *FAST, "--out", ".")
    assert Path(name).read_text() == "<p>my own</p>"
    assert "fusioncam did not write" in result.err
    if name == "explanations.json":
        assert (result.code, result.out, sorted(path.name for path in Path().iterdir())) == (2, "", ["cat.png", name])


def test_class_names_in_other_scripts_fit_into_a_file_name(cli, photos, tmp_path):
    """Long names of image, method and class together have at most 255 bytes."""
    labels = [f"{'日本' * 60}{number}" for number in range(5)]
    (tmp_path / "names.txt").write_text("\n".join(labels), encoding="utf-8")
    (photos / "cat.png").rename(photos / ("猫" * 80 + ".png"))
    spec = "fusion-cam(region=score-cam(readout=probability, softmax=false, normalise=before), theta=10)"
    command = ("explain", photos / ("猫" * 80 + ".png"), *SMALL, "-m", spec, "--target", "top5")
    assert cli(*command, "--labels", "names.txt").code == 0
    assert len({name.encode() for name in names_of()}) == 11


# -- results of earlier runs are no inputs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "paths", "out"),
    [("photos", ".", "."), ("photos", "*.png", "."), (".", "photos", "."), (".", "photos", "photos")],
)
def test_images_below_the_output_folder_are_explained(folder, paths, out, cli, photos, monkeypatch):
    """Only the results of an earlier run are left out, and a note says how many."""
    monkeypatch.chdir(photos.parent / folder)
    (photos / "bad.jpg").unlink()
    first = cli("explain", paths, *FAST, "--out", out)
    second = cli("explain", paths, *FAST, "--out", out)
    assert (first.code, first.err, second.code) == (0, "", 0)
    assert second.out == first.out
    views = [] if paths == "*.png" else photos.glob("*.input.jpg")
    results = len([*photos.glob("*.grad-cam.png"), *views])
    assert second.err.startswith(f"note: left out {results} of " if results else "")
    assert second.err.count("\n") == bool(results)


def test_results_in_any_folder_are_left_out(cli, photos):
    """Results that another run wrote into another folder are no inputs either, but an image beside them is one."""
    cli("explain", photos / "cat.png", *FAST, "--out", photos / "maps")
    cli("explain", photos / "cat.png", *SMALL, "-m", "layer-cam", "--out", photos / "maps")
    image_at(str(photos / "maps" / "mine.png"))
    result = cli("explain", photos, *FAST, "--out", "out", "--json")
    images = [Path(one["image"]).name for one in result.json["explanations"]]
    assert images == ["cat.png", "cup of coffee.jpg", "mine.png"]
    assert "left out 3 of 7 images" in result.err


@pytest.mark.parametrize("more", [[], ["-q"], ["--json"]])
def test_a_folder_of_results_only_is_an_invalid_request(more, cli, photos):
    """Nothing remains to explain: the exit code is 2, nothing is written, and the error says what to do."""
    cli("explain", photos / "cat.png", *FAST, "--out", "out")
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    result = cli("explain", "out", *FAST, "--out", "out", *more)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(
        "error: nothing to explain: left out 2 of 2 images, results that the explanations.json"
    )
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


def test_a_result_that_is_named_is_explained(cli, photos):
    """Naming the file is a request, however it is spelled."""
    cli("explain", photos / "cat.png", *FAST, "--out", "out")
    overlay = Path("out/cat.grad-cam.png").read_bytes()
    assert cli("explain", "./out/cat.grad-cam.png", *FAST, "--out", "out").code == 0
    assert Path("out/cat.grad-cam.png").read_bytes() == overlay


def test_a_run_that_stops_lists_what_it_wrote(cli, photos, monkeypatch):
    """An error that every image would raise ends the run; the files of the images before it are listed."""
    module = sys.modules[explain_batches.__module__]
    explain_batch = module._explain_batch

    def stop_at_coffee(model, batch, *settings):
        if "coffee" in str(batch[0]):
            raise LayerError("no feature maps at this size")
        return explain_batch(model, batch, *settings)

    monkeypatch.setattr(module, "_explain_batch", stop_at_coffee)
    result = cli("explain", photos, *FAST)
    assert (result.code, result.err) == (2, "error: no feature maps at this size\n")
    assert names_of() == ["cat.grad-cam.png", "cat.grad-cam.npy"]


def test_files_that_are_not_images_are_counted(cli, photos, tmp_path):
    """The note states their number and kinds; the results of an earlier run are not among them."""
    (photos / "bad.jpg").unlink(missing_ok=True)
    for name in ("notes.txt", "raw.cr2", "more.txt"):
        (photos / name).write_text("x")
    before = {path.name for path in photos.iterdir()}

    for _ in range(2):
        result = cli("explain", photos, *FAST, "--out", photos)
        assert result.code == 0, result.err
        others = len(before) - len([name for name in before if name.endswith((".png", ".jpg"))])
        assert f"left out {others} files that are not images (.cr2, .txt)" in result.err
