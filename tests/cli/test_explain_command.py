"""`fusioncam explain`: what it writes, prints and returns."""

from __future__ import annotations

import os
import shutil
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import samples
from command_line import FAST, SMALL, Ended, Fork, listed, start_program, wait_for
from fusioncam import Speed, explain_each
from samples import CAT, Small, photo

# -- in a process of its own --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_folder_with_a_bad_image(photos, tmp_path):
    """The good images have heatmaps, the bad one is reported, and the exit code is 1."""
    out = tmp_path / "out"
    result = wait_for(start_program("explain", photos, *FAST, "-m", "fusion-cam", "--out", out))
    assert result.code == 1
    assert result.err == f"failed: {photos / 'bad.jpg'}: not an image in a known format (13 bytes)\n"
    assert result.out.count(" cat.png ") == 2
    assert "cup of coffee.jpg" in result.out
    facts = listed(out)
    assert [(Path(one["image"]).name, one["method"]) for one in facts["explanations"]] == [
        ("cat.png", "grad-cam"),
        ("cat.png", "fusion-cam"),
        ("cup of coffee.jpg", "grad-cam"),
        ("cup of coffee.jpg", "fusion-cam"),
    ]
    assert [one["image"] for one in facts["failures"]] == [str(photos / "bad.jpg")]
    assert (out / "cat.png").is_file()


@pytest.mark.slow
def test_ctrl_c_keeps_finished_explanations(tmp_path):
    """The interrupted program ends at once with 130, and explanations.json lists everything that was finished."""
    for n in range(30):
        photo(CAT, (60, 40)).save(tmp_path / f"{n:02}.png")
    out = tmp_path / "out"
    program = Fork("explain", tmp_path, "--model", "samples:slow", "-m", "grad-cam", "--out", out)
    while not program.ended() and len(list(out.glob("*.npy"))) < 2:
        time.sleep(0.05)
    os.kill(program.pid, signal.SIGINT)
    result = program.wait()
    assert result.code == 130
    done = len(listed(out)["explanations"])
    assert 2 <= done < 30
    assert f"stopped: {done} heatmaps are in {out}" in result.err


# -- output ----------------------------------------------------------------------------------------------------


def test_misspelt_method_is_one_line_without_traceback(cli, photos, tmp_path):
    """The error suggests the nearest name; nothing else is printed and nothing is written."""
    result = cli("explain", photos, *SMALL, "-m", "gradcam", "--out", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: unknown method 'gradcam'; did you mean 'grad-cam'?")
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_json_output_equals_the_file(cli, photos):
    """--json prints the contents of explanations.json and nothing else."""
    result = cli("explain", photos / "cat.png", *FAST, "--out", "out", "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json == listed(Path("out"))
    assert result.json["model"] == "samples:small"
    assert result.json["preprocessing"]["size"] == [32, 32]


def test_json_contains_failures(cli, photos):
    """If every image fails, stdout is still JSON, and the failures are also printed on stderr."""
    result = cli("explain", photos / "bad.jpg", *FAST, "--json")
    assert result.json["explanations"] == []
    assert "known format" in result.json["failures"][0]["error"]
    assert result.err.startswith("failed: ")
    assert result.code == 1


def test_quiet_prints_only_failures(cli, photos):
    """-q prints nothing on success; failures are printed all the same."""
    assert cli("explain", photos / "cat.png", *FAST, "-q") == Ended(0, "", "")
    result = cli("explain", photos, *FAST, "-q")
    assert (result.code, result.out) == (1, "")
    assert "bad.jpg" in result.err


def test_table_shows_the_explanation(cli, photos):
    """The table has the image, class, probability, method and gain, below the path of the file."""
    result = cli("explain", photos / "cat.png", *SMALL, "-m", "fusion-cam", "--target", "white birch")
    row = next(line for line in result.out.splitlines() if "cat.png" in line)
    assert "birch" in row
    assert "%" in row
    assert "fusion-cam" in row
    assert row.count("+") + row.count("-0.") == 1
    assert result.out.startswith("fusioncam-out/cat.fusion-cam.png\n")


def test_no_table_and_no_report_without_heatmaps(cli, photos):
    """If every image fails, no table is printed and no report is written."""
    assert cli("explain", photos / "bad.jpg", *FAST).out.strip() == ""
    assert not Path("fusioncam-out/report.html").exists()


def test_default_output_folder(cli, photos):
    """Without --out the files are in fusioncam-out in the current folder."""
    cli("explain", photos / "cat.png", *FAST)
    assert [one["files"] for one in listed(Path("fusioncam-out"))["explanations"]] == [
        ["cat.grad-cam.png", "cat.grad-cam.npy"]
    ]


def test_saved_heatmap_equals_that_of_the_library(cli, photos):
    """The .npy file holds the float32 heatmap that the Python interface returns."""
    cli("explain", photos / "cat.png", *FAST)
    (expected,) = explain_each([photos / "cat.png"], model=samples.small(), methods=["grad-cam"])
    assert np.array_equal(np.load("fusioncam-out/cat.grad-cam.npy"), expected.heatmap.numpy())


def test_several_methods_are_compared_in_a_figure(cli, photos):
    """With two methods there is a figure of the image and both overlays, listed with the first method."""
    cli("explain", photos / "cat.png", *FAST, "-m", "score-cam")
    first, second = listed(Path("fusioncam-out"))["explanations"]
    assert first["files"] == ["cat.png", "cat.grad-cam.png", "cat.grad-cam.npy"]
    assert second["files"] == ["cat.score-cam.png", "cat.score-cam.npy"]
    with Image.open("fusioncam-out/cat.png") as grid, Image.open("fusioncam-out/cat.grad-cam.png") as one:
        assert grid.width > 3 * one.width
        assert grid.width > 1.5 * grid.height


def test_each_class_has_its_own_files(cli, photos):
    """--target top2 writes two heatmaps named after their classes, and a figure of both."""
    cli("explain", photos / "cat.png", *FAST, "--target", "top2")
    explanations = listed(Path("fusioncam-out"))["explanations"]
    names = {one["files"][-1] for one in explanations}
    assert names == {f"cat.grad-cam.{one['label'].split(',')[0]}.npy" for one in explanations}
    assert len(names) == 2


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batch_size_changes_only_the_speed(batch_size, cli, photos):
    """For every batch size the same images fail, and the heatmaps are the same and in the same order."""
    result = cli("explain", photos, *FAST, "-m", "fusion-cam", "--batch-size", batch_size)
    assert result.code == 1
    facts = listed(Path("fusioncam-out"))
    assert [Path(one["image"]).stem for one in facts["explanations"]] == ["cat", "cat", *["cup of coffee"] * 2]
    (alone,) = explain_each([photos / "cat.png"], model=samples.small(), methods=["grad-cam"])
    saved = torch.from_numpy(np.load("fusioncam-out/cat.grad-cam.npy"))
    torch.testing.assert_close(saved, alone.heatmap, atol=1e-4, rtol=0)


def test_warning_of_a_constant_heatmap_names_the_image(cli, photos):
    """Each image with a constant heatmap has its own warning."""
    shutil.copy(photos / "cat.png", photos / "dog.png")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = cli(
            "explain", photos / "cat.png", photos / "dog.png", "--model", "samples:flat", "-m", "grad-cam", "-q"
        )
    assert result.code == 0
    lines = [line for line in result.err.splitlines() if "constant" in line]
    assert len(lines) == 2
    assert "cat.png" in lines[0]
    assert "dog.png" in lines[1]


def test_unsupported_method_is_an_invalid_request(cli, photos):
    """A method that fails for every image ends with 2, and the error names methods that work."""
    result = cli("explain", photos / "cat.png", *SMALL, "-m", "legrad")
    assert result.code == 2
    assert "use grad-cam, layer-cam or recipro-cam" in result.err


# -- the user's models ---------------------------------------------------------------------------------------------


def test_checkpoint_and_labels_are_used(cli, photos, tmp_path):
    """--checkpoint loads a state dict and --labels the class names."""
    weights = Small().state_dict()
    weights["fc.bias"] = torch.tensor([0.0, 0, 0, 99, 0])
    torch.save({"state_dict": {"module." + name: tensor for name, tensor in weights.items()}}, tmp_path / "mine.pt")
    (tmp_path / "names.txt").write_text("oak\nbeech\nelm\nlinden\npine\n")
    result = cli("explain", photos / "cat.png", *FAST, "--checkpoint", "mine.pt", "--labels", "names.txt", "--json")
    (explanation,) = result.json["explanations"]
    assert (explanation["target"], explanation["label"]) == (3, "linden")
    assert explanation["probability"] > 0.99


def test_layer_option(cli, photos):
    """--layer sets the layer that explanations.json states."""
    result = cli("explain", photos / "cat.png", *FAST, "--layer", "conv", "--json")
    assert result.json["explanations"][0]["layer"] == "conv"


@pytest.mark.parametrize(("precision", "same"), [("exact", True), ("bfloat16", False)])
def test_precision_option(precision, same, cli, photos):
    """--precision sets the precision of passes over masked images; the default is exact."""
    request = ("explain", photos / "cat.png", *SMALL, "-m", "score-cam")
    assert cli(*request, "--out", "plain").code == 0
    assert cli(*request, "--out", "precise", "--precision", precision).code == 0
    heatmaps = [np.load(Path(out, "cat.score-cam.npy")) for out in ("plain", "precise")]
    assert np.array_equal(*heatmaps) == same
    np.testing.assert_allclose(*heatmaps, atol=0.05)


def test_demo_accepts_a_precision(cli, monkeypatch):
    """It becomes the speed of the loaded model; without it the model keeps its own speed."""
    speeds = []

    def load(**settings):
        speeds.append(settings["speed"])
        return samples.small()

    monkeypatch.setattr("fusioncam.zoo.loading.load_model", load)
    assert cli("demo", "-m", "grad-cam", "--precision", "bfloat16").code == 0
    assert cli("demo", "-m", "grad-cam").code == 0
    assert speeds == [Speed(precision="bfloat16"), None]


# -- the trust card ------------------------------------------------------------------------------------------------


def test_check_is_stored_and_printed(cli, photos):
    """--check writes each trust card into explanations.json and prints its level, questions and sentences."""
    result = cli("explain", photos / "cat.png", *FAST, "-m", "fusion-cam", "--out", "out", "--check")
    assert (result.code, result.err) == (0, "")
    for one in listed(Path("out"))["explanations"]:
        card = one["check"]
        assert f"cat.png, cedar, {one['method']}" in result.out
        assert f"{card['passes']:,} passes" in result.out
        for question in card["questions"]:
            assert question["question"].split()[1] in result.out
        assert card["words"].split(":")[0] in " ".join(result.out.split())
    assert result.out.count("All in all") == 2


def test_check_is_in_json_only_if_requested(cli, photos):
    """--json contains the cards; without --check there are neither cards nor the column of levels."""
    checked = cli("explain", photos / "cat.png", *FAST, "--out", "out", "--check", "--json")
    assert checked.json["explanations"][0]["check"]["level"] in ("good", "mixed", "poor")
    plain = cli("explain", photos / "cat.png", *FAST, "--out", "plain")
    assert "check" not in listed(Path("plain"))["explanations"][0]
    assert "trust" not in plain.out


def test_many_trust_cards_are_not_printed(cli, photos):
    """With many heatmaps the table shows the levels, and a line says where the cards are."""
    methods = [part for name in ("grad-cam", "layer-cam", "random", "center") for part in ("-m", name)]
    result = cli("explain", photos, *SMALL, *methods, "--out", "out", "--check")
    levels = [one["check"]["level"] for one in listed(Path("out"))["explanations"]]
    assert len(levels) == 8
    assert "All in all" not in result.out
    assert (
        sum(result.out.count(f"{mark} {level}") for mark, level in zip("●◐○", ("good", "mixed", "poor"), strict=True))
        == 8
    )
    assert "8 trust cards are in explanations.json" in result.out


def test_class_names_in_trust_cards_are_printed_literally(cli, photos):
    """Class names are not read as markup."""
    marked = ("--model", "samples:marked", "-m", "grad-cam")
    result = cli("explain", photos / "cat.png", *marked, "--out", "out", "--check")
    assert result.code == 0
    assert result.out.count("[/red] [bold]") >= 2


# -- the report ----------------------------------------------------------------------------------------------------


def test_explain_writes_a_report(cli, photos):
    """Its path is printed, and `fusioncam report` writes it again without the images and without a network."""
    result = cli("explain", photos, *FAST, "--out", "out")
    page = Path("out", "report.html")
    before = page.read_bytes()
    assert f"report: {page.absolute().as_uri()}\n" in result.out
    assert b"cup of coffee.jpg" in before
    assert b"not an image in a known format" in before

    page.unlink()
    shutil.rmtree(photos)
    following = "next: fusioncam export out --format coco"
    assert cli("report", "out") == Ended(0, f"report: {page.absolute().as_uri()}\n{following}\n", "")
    assert page.read_bytes() == before
    assert cli("report", "out", "--json").json == {"folder": "out", "written": [str(page)]}


def test_explain_without_a_report(cli, photos):
    """--no-report writes no report."""
    result = cli("explain", photos / "cat.png", *FAST, "--out", "out", "--no-report")

    assert "report: " not in result.out
    assert not Path("out", "report.html").exists()


def test_heatmaps_remain_if_the_report_fails(cli, photos):
    """The exit code is 1 and the reason is printed."""
    Path("out", "report.html").mkdir(parents=True)
    result = cli("explain", photos / "cat.png", *FAST, "--out", "out")

    assert result.code == 1
    assert "no report: cannot write" in result.err


def test_report_of_an_empty_folder(cli):
    """The error is one line and the exit code is 2."""
    Path("empty").mkdir()
    result = cli("report", "empty")

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: empty has neither plan.json nor explanations.json")


def test_frame_chooses_a_page(cli, tmp_path):
    """A page of a stack is explained by its number, and a page that is missing is a failure of this image."""
    pages = [photo(CAT, (60, 40)), photo(CAT, (60, 40)).rotate(180)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    result = cli("explain", tmp_path / "stack.tif", *FAST, "--frame", "2", "--out", tmp_path / "out")
    assert result.code == 0
    (expected,) = explain_each([pages[1]], model=samples.small(), methods=["grad-cam"])
    assert np.array_equal(np.load(next((tmp_path / "out").glob("*.npy"))), expected.heatmap.numpy())
    result = cli("explain", tmp_path / "stack.tif", *FAST, "--frame", "3", "--out", tmp_path / "none")
    assert (result.code, "it has no frame 3: choose 1 to 2" in result.err) == (1, True)


# -- overlays -------------------------------------------------------------------------------------------------------


def test_overlays_have_the_chosen_style(cli, photos):
    """The options are the arguments of ``Explanation.overlay``; raw heatmaps are listed with the others."""
    options = ("--colormap", "viridis", "--opacity", "0.9", "--no-fade", "--view", "crop", "--contour", "0.5")
    assert cli("explain", photos / "cat.png", *FAST, *options, "--boxes", "--colorbar", "--raw", "tiff").code == 0
    (one,) = explain_each([photos / "cat.png"], model=samples.small(), methods=["grad-cam"])
    style = {"colormap": "viridis", "fade": False, "view": "crop", "contour": 0.5, "boxes": True, "colorbar": True}
    with Image.open("fusioncam-out/cat.grad-cam.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(one.overlay(0.9, **style)))
    (facts,) = listed(Path("fusioncam-out"))["explanations"]
    assert (facts["raw"], facts["view"]) == (["cat.grad-cam.tiff"], "cat.input.jpg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--colormap", "virids"], "unknown colormap 'virids'; did you mean 'viridis'"),
        (["--opacity", "50"], "opacity must be between 0 and 1, got 50"),
        (["--view", "zoom"], "unknown view 'zoom'"),
        (["--raw", "bmp"], "unknown raw format 'bmp'"),
        (["--contour", "0.5", "--bulk"], "overlays have no options in bulk runs"),
    ],
)
def test_wrong_styles_are_reported_before_anything_is_loaded(options, message, cli, photos):
    """The exit code is 2, and nothing is written."""
    result = cli("explain", photos / "cat.png", "--model", "samples:missing", *options)
    assert result.code == 2
    assert message in result.err
    assert not Path("fusioncam-out").exists()


def test_the_whole_image_is_explained(cli, photos):
    """With --view whole the network receives an image of 3:2 as it is, and the heatmap has its proportions."""
    assert cli("explain", photos / "cat.png", *FAST, "--view", "whole").code == 0
    (facts,) = listed(Path("fusioncam-out"))["explanations"]
    height, width = np.load("fusioncam-out/cat.grad-cam.npy").shape
    assert width / height == pytest.approx(facts["size"][0] / facts["size"][1], abs=0.03)
    assert facts["window"] == [0, 0, *facts["size"]]


def test_networks_of_one_size_do_not_receive_whole_images(cli, photos):
    """The error comes before any image is explained, and says what to do."""
    result = cli("explain", photos / "cat.png", "--model", "samples:fixed_size", "-m", "grad-cam", "--view", "whole")
    assert result.code == 2
    assert "--view whole needs a network that takes any size, and " in result.err
    assert result.err.endswith(": leave it out\n")


def test_posters_are_listed_and_replaced(cli, photos):
    """--poster writes one for each heatmap, also in a second run."""
    for _ in range(2):
        assert cli("explain", photos / "cat.png", *FAST, "--poster").err == ""
        (facts,) = listed(Path("fusioncam-out"))["explanations"]
        assert facts["poster"] == "cat.grad-cam.poster.png"
