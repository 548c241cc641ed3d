"""The command line: what it writes, prints and returns, for right requests and for all kinds of wrong ones."""

from __future__ import annotations

import gc
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import samples
from fusioncam import METHODS, Speed, explain_each
from fusioncam.cli.explain_output import ExplanationWriter
from fusioncam.cli.main import main
from fusioncam.explanations.explain import explain_batches
from samples import CAT, COFFEE, ROCKET, Small, photo

SMALL = ("--model", "samples:small")
FAST = (*SMALL, "-m", "grad-cam")


@dataclass(frozen=True)
class Ended:
    """How a call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """Read the output as strict JSON."""
        return strict(self.out)


Cli = Callable[..., Ended]
ALWAYS = ("explanations.json", "report.html")


def strict(text: str | bytes) -> dict:
    """Read JSON as other languages do, to which NaN is no number."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))


def listed(out: Path) -> dict:
    """Read ``explanations.json`` and check that it tells of every file in the folder, but itself and the report."""
    facts = strict((out / "explanations.json").read_bytes())
    files = [name for one in facts["explanations"] for name in one["files"]]
    assert sorted(files) == sorted(path.name for path in out.iterdir() if path.name not in ALWAYS)
    return facts


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Call the program in this process, standing in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it

    def call(*args: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["fusioncam", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Ended(ended.value.code or 0, out, err)

    return call


def program(*args: object) -> subprocess.Popen[str]:
    """Start the installed program where the factories of the samples are found."""
    path = Path(sys.executable).with_name("fusioncam")
    # a shell's background jobs ignore Ctrl-C, and what they start would inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [path, *map(str, args)],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
    finally:
        signal.signal(signal.SIGINT, before)


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the program, and check that it shows no traceback."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return Ended(process.returncode, out, err)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two small photographs and a file that is no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(CAT, (90, 60)).save(folder / "cat.png")
    photo(COFFEE, (60, 90)).save(folder / "cup of coffee.jpg")
    (folder / "bad.jpg").write_text("I am no image")
    return folder


# -- the installed program -------------------------------------------------------------------------------------


def test_a_folder_with_a_bad_image_is_done_but_for_that(photos, tmp_path):
    """The good images have their maps, the bad one is told, and the exit code says that not all went well."""
    out = tmp_path / "out"
    result = ended(program("explain", photos, *FAST, "-m", "fusion-cam", "--out", out))
    assert result.code == 1
    assert result.err == f"failed: {photos / 'bad.jpg'}: not an image in a known format (15 bytes)\n"
    assert result.out.count("│ cat.png") == 2
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


def test_a_mistake_is_one_line_and_no_traceback(photos, tmp_path):
    """A misspelt method is told with the nearest name, nothing else is printed, nothing is written."""
    result = ended(program("explain", photos, "--model", "samples:small", "-m", "gradcam", "--out", tmp_path / "out"))
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: unknown method 'gradcam'; did you mean 'grad-cam'?")
    assert len(result.err.splitlines()) == 1


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(tmp_path):
    """Interrupted, the program ends at once with 130, and explanations.json tells of all that was finished."""
    for n in range(30):
        photo(CAT, (60, 40)).save(tmp_path / f"{n:02}.png")
    out = tmp_path / "out"
    process = program("explain", tmp_path, "--model", "samples:slow", "-m", "grad-cam", "--out", out)
    while process.poll() is None and len(list(out.glob("*.npy"))) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    result = ended(process)
    assert result.code == 130
    done = len(listed(out)["explanations"])
    assert 2 <= done < 30
    assert f"stopped: {done} heatmaps are in {out}" in result.err


# -- what is printed -------------------------------------------------------------------------------------------


def test_json_is_the_file_and_nothing_else(cli, photos):
    """--json prints what explanations.json holds, so that a program can read it."""
    result = cli("explain", photos / "cat.png", *FAST, "--out", "out", "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json == listed(Path("out"))
    assert result.json["model"] == "samples:small"
    assert result.json["preprocessing"]["size"] == [32, 32]


def test_json_tells_failures_too(cli, photos):
    """Where nothing could be done the output is JSON all the same, and failures are told on the other stream."""
    result = cli("explain", photos / "bad.jpg", *FAST, "--json")
    assert result.json["explanations"] == []
    assert "known format" in result.json["failures"][0]["error"]
    assert result.err.startswith("failed: ")
    assert result.code == 1


def test_quiet_says_nothing_but_failures(cli, photos):
    """-q prints nothing where all went well; what failed is told even so."""
    assert cli("explain", photos / "cat.png", *FAST, "-q") == Ended(0, "", "")
    result = cli("explain", photos, *FAST, "-q")
    assert (result.code, result.out) == (1, "")
    assert "bad.jpg" in result.err


def test_the_table_tells_what_was_found(cli, photos):
    """Image, class, probability, method, gains and the file are in the table."""
    result = cli("explain", photos / "cat.png", *SMALL, "-m", "fusion-cam", "--target", "white birch")
    row = next(line for line in result.out.splitlines() if "cat.png" in line)
    assert "birch" in row
    assert "%" in row
    assert "fusion-cam" in row
    assert row.count("+") + row.count("-0.") >= 3
    assert "cat.fusion-cam.png" in row


def test_no_empty_table_is_printed(cli, photos):
    """Where nothing was done there is nothing to show, and no report."""
    assert cli("explain", photos / "bad.jpg", *FAST).out.strip() == ""
    assert not Path("fusioncam-out/report.html").exists()


def test_the_default_folder_is_here(cli, photos):
    """Without --out the files are in fusioncam-out of the current folder."""
    cli("explain", photos / "cat.png", *FAST)
    assert [one["files"] for one in listed(Path("fusioncam-out"))["explanations"]] == [
        ["cat.grad-cam.png", "cat.grad-cam.npy"]
    ]


def test_heatmaps_are_saved_exactly(cli, photos):
    """The .npy holds the float32 map of the library itself."""
    cli("explain", photos / "cat.png", *FAST)
    (expected,) = explain_each([photos / "cat.png"], model=samples.small(), methods=["grad-cam"])
    assert np.array_equal(np.load("fusioncam-out/cat.grad-cam.npy"), expected.heatmap.numpy())


def test_several_methods_stand_side_by_side(cli, photos):
    """With two methods an image has a figure of the image and both overlays, listed with the first."""
    cli("explain", photos / "cat.png", *FAST, "-m", "score-cam")
    first, second = listed(Path("fusioncam-out"))["explanations"]
    assert first["files"] == ["cat.png", "cat.grad-cam.png", "cat.grad-cam.npy"]
    assert second["files"] == ["cat.score-cam.png", "cat.score-cam.npy"]
    with Image.open("fusioncam-out/cat.png") as grid, Image.open("fusioncam-out/cat.grad-cam.png") as one:
        assert grid.width > 3 * one.width
        assert grid.width > 1.5 * grid.height


def test_several_classes_have_a_file_each(cli, photos):
    """top2 gives two maps of the image, called by their classes, and a figure of both."""
    cli("explain", photos / "cat.png", *FAST, "--target", "top2")
    explanations = listed(Path("fusioncam-out"))["explanations"]
    names = {one["files"][-1] for one in explanations}
    assert names == {f"cat.grad-cam.{one['label'].split(',')[0]}.npy" for one in explanations}
    assert len(names) == 2


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_the_batch_size_changes_nothing_but_speed(batch_size, cli, photos):
    """The same images fail and the same maps come, in the same order, whatever the batch."""
    result = cli("explain", photos, *FAST, "-m", "fusion-cam", "--batch-size", batch_size)
    assert result.code == 1
    facts = listed(Path("fusioncam-out"))
    assert [Path(one["image"]).stem for one in facts["explanations"]] == ["cat", "cat", *["cup of coffee"] * 2]
    (alone,) = explain_each([photos / "cat.png"], model=samples.small(), methods=["grad-cam"])
    saved = torch.from_numpy(np.load("fusioncam-out/cat.grad-cam.npy"))
    torch.testing.assert_close(saved, alone.heatmap, atol=1e-4, rtol=0)


def test_a_constant_map_is_told_with_its_image(cli, photos):
    """Among many images the warning says which ones have nothing to show, each of them."""
    shutil.copy(photos / "cat.png", photos / "dog.png")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = cli(
            "explain", photos / "cat.png", photos / "dog.png", "--model", "samples:flat", "-m", "grad-cam", "-q"
        )
    assert result.code == 0
    told = [line for line in result.err.splitlines() if "constant" in line]
    assert len(told) == 2
    assert "cat.png" in told[0]
    assert "dog.png" in told[1]


def test_a_method_that_the_network_cannot_serve_is_a_wrong_request(cli, photos):
    """It fails for every image alike, and the error names methods that would do."""
    result = cli("explain", photos / "cat.png", *SMALL, "-m", "legrad")
    assert result.code == 2
    assert "grad-cam, layer-cam or recipro-cam would do" in result.err


# -- requests that are wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["-m", "fusion-cam(thta=20)"], "fusion-cam has no setting 'thta'; did you mean 'theta'"),
        (["-m", "fusion-cam(theta=200)"], "percentile from 0 to 100"),
        (["-m", "fusion-cam(theta=20"], "')' is missing"),
        (["-m", "grad-cam", "-m", ""], "is no method"),
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
def test_a_wrong_request_is_told_and_leaves_nothing(args, told, cli, photos, tmp_path):
    """A slip in the command is one line and code 2; nothing is done, printed or left behind."""
    (tmp_path / "file").write_text("I am in the way")
    before = sorted(tmp_path.rglob("*"))
    result = cli("explain", photos / "cat.png", photos / "cup of coffee.jpg", *SMALL, *args)
    assert result.err.startswith("error: ")
    assert result.err.count(told) == 1
    assert (result.code, result.out) == (2, "")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--layer", "fc"], "not feature maps"),
        (["--model", "samples:twice", "--layer", "act"], "layer 'act' ran 2 times"),
        (["--target", "elk"], "no class 'elk'; did you mean 'elm'"),
        (["--target", "5"], "class 5 does not exist: choose an index from 0 to 4"),
        (["--target", "-1"], "class -1 does not exist"),
        (["--target", "top9"], "choose from top1 to top5"),
        (["--target", ""], "is no class"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_request_that_fits_no_image_ends_with_2(args, told, cli, photos):
    """A class or layer that the network does not have is told once, and is no success in part."""
    result = cli("explain", photos / "cat.png", photos / "cup of coffee.jpg", *SMALL, "-m", "grad-cam", *args)
    assert result.err.count(told) == 1
    assert (result.code, result.out.strip()) == (2, "")


def test_a_wrong_method_is_told_before_the_model_is_loaded(cli, photos):
    """Nobody waits for a download to read of a slip."""
    result = cli("explain", photos / "cat.png", "--model", "samples:fails", "-m", "gradcam")
    assert "did you mean 'grad-cam'" in result.err


def test_labels_that_do_not_fit_are_told_once(cli, photos, tmp_path):
    """Too few names fit no image."""
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
def test_wrong_arguments_are_told_with_the_usage(args, cli):
    """What the program was not made for ends with 2, and how it is used."""
    result = cli(*args)
    assert result.code == 2
    assert "Usage: fusioncam" in result.err


def test_no_arguments_give_the_help(cli):
    """Who types the name alone sees the commands and what the exit codes mean."""
    result = cli()
    for word in ("explain", "demo", "list", "--version", "Exit codes", "130"):
        assert word in result.out + result.err


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_shows_every_option(flag, cli):
    """Each option of explain is in its help."""
    shown = cli("explain", flag).out
    for option in ("--model", "--layer", "--method", "--target", "--out", "--device", "--batch-size", "--json"):
        assert option in shown


def test_the_version_is_the_packages(cli):
    """--version prints the version and nothing else."""
    assert cli("--version") == Ended(0, version("fusioncam") + "\n", "")


@pytest.mark.parametrize("paths", [["nope.png"], ["nope*.png"], ["empty"], [""]], ids=str)
def test_no_image_at_all_is_told(paths, cli, tmp_path):
    """A missing file, a pattern or folder of nothing, and an empty text fail by name."""
    (tmp_path / "empty").mkdir()
    photo(CAT, (60, 40)).save(tmp_path / "here.png")
    result = cli("explain", *paths, *FAST, "-q")
    assert result.code != 0
    assert result.err.startswith(f"failed: {paths[0]}")


@pytest.mark.parametrize("make", ["nan", "nan_first", "broken"])
@pytest.mark.parametrize("target", ["1", "elm"])
def test_a_network_that_gives_nonsense_is_told(make, target, cli, photos):
    """NaN and errors of the user's network are told by image, and explanations.json is there and strict."""
    result = cli("explain", photos / "cat.png", "--model", f"samples:{make}", "-m", "grad-cam", "--target", target)
    assert result.code != 0
    assert "cat.png" in result.err
    assert "weights of the attention" in result.err if make == "broken" else "nan" in result.err.lower()
    assert listed(Path("fusioncam-out"))["explanations"] == []


def test_an_interruption_keeps_what_is_done(cli, photos, monkeypatch):
    """Ctrl-C within the second image: the first is there and listed, and the code is 130."""
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


# -- names of files and classes --------------------------------------------------------------------------------


def names_of(out: Path = Path("fusioncam-out")) -> list[str]:
    """Give the names of all files that a run lists, after checking that no two are the same."""
    names = [name for one in listed(out)["explanations"] for name in one["files"]]
    assert len(names) == len(set(names)), names
    return names


def test_images_of_the_same_name_do_not_replace_each_other(cli, tmp_path):
    """Two folders may both have a cat.png, and a third image may be called as its number would be."""
    for name in ("a/cat.png", "b/cat.png", "c/cat-2.png", "d/cat.jpg"):
        (tmp_path / name).parent.mkdir()
        photo(CAT, (60, 40)).save(tmp_path / name)
    assert cli("explain", "a", "b", "c", "d", *FAST).code == 0
    assert len(names_of()) == 8


def test_a_image_called_as_anothers_map_does_not_replace_it(cli, tmp_path):
    """cat.png and cat.grad-cam.png, explained by two methods, have files of their own."""
    for name in ("cat.png", "cat.grad-cam.png"):
        photo(CAT, (60, 40)).save(tmp_path / name)
    assert cli("explain", "cat.png", "cat.grad-cam.png", *FAST, "-m", "score-cam").code == 0
    assert len(names_of()) == 10


def test_classes_of_the_same_name_do_not_replace_each_other(cli, photos):
    """ImageNet has two classes called crane: with top5 each keeps its map."""
    result = cli("explain", photos / "cat.png", "--model", "samples:alike", "-m", "grad-cam", "--target", "top5")
    assert result.code == 0
    assert len(names_of()) == 11


def test_methods_of_long_names_do_not_replace_each_other(cli, photos):
    """Two specs that differ only behind their eightieth letter have files of their own."""
    spec = "fusion-cam(region=score-cam(readout=probability, softmax=false, normalise=before), theta={})"
    assert cli("explain", photos / "cat.png", *SMALL, "-m", spec.format(10), "-m", spec.format(90)).code == 0
    assert len(names_of()) == 5


def test_a_method_given_twice_is_explained_once(cli, photos):
    """The same method twice is one map."""
    assert cli("explain", photos / "cat.png", *FAST, "-m", " grad-cam ").code == 0
    assert len(names_of()) == 2


@pytest.mark.parametrize(
    "name", ["[b]x.png", "[x] [1].png", "a b.png", "猫 é.png", "$x^2$ _y_.png", "-x.png", "100%.png"]
)
def test_names_are_shown_as_they_are(name, cli, tmp_path):
    """Brackets, dollars and other scripts in a file's name are neither markup nor an obstacle nor warned of."""
    folder = tmp_path / "in"
    folder.mkdir()
    photo(CAT, (60, 40)).save(folder / "x.png")
    (folder / "x.png").rename(folder / name)
    result = cli("explain", "in", *FAST, "-m", "score-cam")
    assert (result.code, result.err) == (0, "")
    assert result.out.count(name) >= 2


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["table", "json"])
def test_a_terminal_of_plain_letters_is_no_obstacle(more, cli, tmp_path, monkeypatch):
    """Where the output cannot show a name's letters, the work is done and told all the same."""
    photo(CAT, (60, 40)).save(tmp_path / "猫.png")
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert cli("explain", "猫.png", *FAST, *more).code == 0
    plain.flush()
    shown = plain.buffer.getvalue().decode()
    told = strict(shown)["explanations"][0]["image"] if more else shown
    assert ("猫" if more else "grad-cam") in told
    assert listed(Path("fusioncam-out"))["explanations"][0]["image"] == "猫.png"


def test_class_names_are_no_markup(cli, photos):
    """A class called '[/red] [bold]5' is shown so."""
    result = cli("explain", photos / "cat.png", "--model", "samples:marked", "-m", "grad-cam")
    assert result.code == 0
    assert "[/red] [bold]" in result.out


def test_a_name_that_is_no_text_is_no_obstacle(cli, tmp_path):
    """Old archives have file names in other encodings: they are explained, and the JSON is still JSON."""
    path = os.fsencode(tmp_path / "in") + b"/caf\xe9.png"
    (tmp_path / "in").mkdir()
    photo(CAT, (60, 40)).save(tmp_path / "x.png")
    try:
        (tmp_path / "x.png").rename(os.fsdecode(path))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    assert cli("explain", "in", *FAST, "-m", "score-cam").code == 0
    assert len(strict(Path("fusioncam-out/explanations.json").read_bytes())["explanations"]) == 2


def test_a_long_name_spoils_no_other(cli, tmp_path):
    """An image whose name leaves no room for a suffix is explained like the others."""
    for name in ("a.png", "n" * 250 + ".png", "z.png"):
        photo(CAT, (60, 40)).save(tmp_path / name)
    assert cli("explain", "a.png", "n" * 250 + ".png", "z.png", *FAST).code == 0
    assert len(names_of()) == 6


def test_a_name_that_cannot_be_spoils_no_other(cli, photos):
    """A text too long for a path fails, the image beside it is done."""
    result = cli("explain", "n" * 300, photos / "cat.png", *FAST, "-q")
    assert result.code == 1
    assert len(names_of()) == 2


def test_own_overlays_are_not_explained(cli, photos, monkeypatch):
    """Explaining a folder twice, with the results in it, explains the same images twice."""
    monkeypatch.chdir(photos)
    first = cli("explain", ".", *FAST, "--json").json
    second = cli("explain", ".", *FAST, "--json").json
    assert [one["image"] for one in second["explanations"]] == [one["image"] for one in first["explanations"]]


def test_a_run_does_not_keep_the_pixels(tmp_path):
    """Ten thousand images fit into memory: what was saved is let go."""
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


# -- models of one's own ---------------------------------------------------------------------------------------


def test_checkpoint_and_labels_are_used(cli, photos, tmp_path):
    """A state dict and a file of names on the command line make the model one's own."""
    weights = Small().state_dict()
    weights["fc.bias"] = torch.tensor([0.0, 0, 0, 99, 0])
    torch.save({"state_dict": {"module." + name: tensor for name, tensor in weights.items()}}, tmp_path / "mine.pt")
    (tmp_path / "names.txt").write_text("oak\nbeech\nelm\nlinden\npine\n")
    result = cli("explain", photos / "cat.png", *FAST, "--checkpoint", "mine.pt", "--labels", "names.txt", "--json")
    (explanation,) = result.json["explanations"]
    assert (explanation["target"], explanation["label"]) == (3, "linden")
    assert explanation["probability"] > 0.99


def test_the_layer_is_the_one_asked_for(cli, photos):
    """--layer is what the facts tell."""
    result = cli("explain", photos / "cat.png", *FAST, "--layer", "conv", "--json")
    assert result.json["explanations"][0]["layer"] == "conv"


@pytest.mark.parametrize(("precision", "same"), [("exact", True), ("bfloat16", False)])
def test_the_precision_is_the_one_asked_for(precision, same, cli, photos):
    """--precision is that of masked passes, and without it they are exact."""
    request = ("explain", photos / "cat.png", *SMALL, "-m", "score-cam")
    assert cli(*request, "--out", "plain").code == 0
    assert cli(*request, "--out", "asked", "--precision", precision).code == 0
    maps = [np.load(Path(out, "cat.score-cam.npy")) for out in ("plain", "asked")]
    assert np.array_equal(*maps) == same
    np.testing.assert_allclose(*maps, atol=0.05)


def test_the_demo_takes_a_precision(cli, monkeypatch):
    """It is that of the model that is loaded; without a wish the model keeps its own speed."""
    asked = []

    def load(**settings):
        asked.append(settings["speed"])
        return samples.small()

    monkeypatch.setattr("fusioncam.zoo.loading.load_model", load)
    assert cli("demo", "-m", "grad-cam", "--precision", "bfloat16").code == 0
    assert cli("demo", "-m", "grad-cam").code == 0
    assert asked == [Speed(precision="bfloat16"), None]


# -- doctor ----------------------------------------------------------------------------------------------------


def test_the_doctor_tells_in_json(cli):
    """One strict JSON object and nothing else; the precision is the one asked for."""
    result = cli("doctor", *SMALL, "--precision", "bfloat16", "--seconds", "0.1", "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json["machine"]["model"] == "samples:small"
    assert {one["precision"]: one["chosen"] for one in result.json["masked"]} == {"exact": False, "bfloat16": True}


def test_the_doctor_tells_in_tables(cli):
    """Machine, plain passes and masked passes have a table each."""
    result = cli("doctor", *SMALL, "--seconds", "0.1")
    assert (result.code, result.err) == (0, "")
    assert f"torch {version('torch')}" in result.out
    assert result.out.count("(best)") == 1
    assert result.out.count("(chosen)") == 1


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--model", "resnet5"], "unknown model 'resnet5'"),
        (["--device", "gpu"], "device 'gpu' is not available on this machine"),
        (["--precision", "half"], "unknown precision 'half'"),
        (["--model", "samples:nan"], "the network returned nan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_doctor_tells_a_wrong_request(args, told, cli):
    """In one line, with code 2."""
    result = cli("doctor", *SMALL, "--seconds", "0.1", *args)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert told in result.err
    assert len(result.err.splitlines()) == 1


# -- list and demo ---------------------------------------------------------------------------------------------


def test_all_methods_are_listed(cli):
    """Every method is in the list, by the name that -m takes."""
    result = cli("list", "methods")
    assert result.code == 0
    shown = {line.split("│")[1].strip() for line in result.out.splitlines() if line.startswith("│")}
    assert set(METHODS) <= shown


def test_the_kinds_of_models_are_listed(cli):
    """The built-in model and the forms of all others are in the list."""
    result = cli("list", "models")
    for form in ("efficientnet_lite0", "timm:NAME", "torchvision:NAME", "package.module:factory"):
        assert form in result.out


def test_layers_are_listed_with_the_default(cli):
    """Each layer that gives maps is there with its channels and size, the default marked."""
    result = cli("list", "layers", *SMALL)
    rows = [line.replace("│", " ").split() for line in result.out.splitlines() if line.startswith("│")]
    assert rows == [
        ["conv", "Conv2d", "6", *"8x8".replace("x", " x ").split()],
        ["act", "(default)", "ReLU", "6", "8", "x", "8"],
    ]


def test_layers_of_the_default_model_are_listed(cli):
    """The name in the list is one that --layer takes."""
    result = cli("list", "layers")
    assert "blocks.6" in result.out
    assert "bn2 (default)" in result.out


def test_layers_of_no_model_are_told(cli):
    """A wrong model ends with 2."""
    result = cli("list", "layers", "--model", "timm:resnet5")
    assert result.code == 2
    assert "did you mean" in result.err


def test_the_demo_explains_three_photographs(cli):
    """Without any argument of one's own there is something to see: the cat is a cat, the coffee an espresso."""
    result = cli("demo", "-m", "grad-cam", "--json")
    assert result.code == 0
    facts = listed(Path("fusioncam-demo"))
    labels = [one["label"].split(",")[0] for one in facts["explanations"]]
    assert labels[1] == "espresso"
    assert "cat" in labels[0]
    assert len(labels) == 3


def test_the_demo_without_its_images_says_what_to_install(cli, monkeypatch):
    """scikit-image is not a dependency of the library: the demo says how to get it."""
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    result = cli("demo")
    assert result.code == 2
    assert 'pip install "fusioncam[demo]"' in result.err


# -- the trust card --------------------------------------------------------------------------------------------


def test_check_is_told_in_the_file_and_on_the_terminal(cli, photos):
    """--check writes each map's card into explanations.json and shows level, questions and sentences."""
    result = cli("explain", photos / "cat.png", *FAST, "-m", "fusion-cam", "--out", "out", "--check")
    assert (result.code, result.err) == (0, "")
    for one in listed(Path("out"))["explanations"]:
        card = one["check"]
        assert f"cat.png, cedar, {one['method']}" in result.out
        assert f"{card['passes']:,} passes" in result.out
        for asked in card["questions"]:
            assert asked["question"].split()[1] in result.out
        assert card["words"].split(":")[0] in " ".join(result.out.split())
    assert result.out.count("All in all") == 2


def test_check_is_in_json_and_only_where_asked_for(cli, photos):
    """--json holds the cards; without --check there are none, and no column of levels."""
    asked = cli("explain", photos / "cat.png", *FAST, "--out", "out", "--check", "--json")
    assert asked.json["explanations"][0]["check"]["level"] in ("good", "mixed", "poor")
    plain = cli("explain", photos / "cat.png", *FAST, "--out", "plain")
    assert "check" not in listed(Path("plain"))["explanations"][0]
    assert "check" not in plain.out


def test_many_cards_are_left_to_the_file(cli, photos):
    """Of more heatmaps than one reads, the table has the levels and says where the rest is."""
    methods = [part for name in ("grad-cam", "layer-cam", "random", "center") for part in ("-m", name)]
    result = cli("explain", photos, *SMALL, *methods, "--out", "out", "--check")
    levels = [one["check"]["level"] for one in listed(Path("out"))["explanations"]]
    assert len(levels) == 8
    assert "All in all" not in result.out
    assert (
        sum(
            result.out.count(f"{mark} {level} ") for mark, level in zip("●◐○", ("good", "mixed", "poor"), strict=True)
        )
        == 8
    )
    assert "8 trust cards are in explanations.json" in result.out


def test_a_class_named_like_markup_is_text_in_its_card(cli, photos):
    """Names are shown as they are."""
    marked = ("--model", "samples:marked", "-m", "grad-cam")
    result = cli("explain", photos / "cat.png", *marked, "--out", "out", "--check")
    assert result.code == 0
    assert result.out.count("[/red] [bold]") >= 2


# -- the report ------------------------------------------------------------------------------------------------


def test_explain_ends_with_a_report(cli, photos):
    """It is told where it is, and made again by `fusioncam report`, without the images and without a network."""
    result = cli("explain", photos, *FAST, "--out", "out")
    page = Path("out", "report.html")
    before = page.read_bytes()
    assert f"report: {page}\n" in result.out
    assert b"cup of coffee.jpg" in before
    assert b"not an image in a known format" in before

    page.unlink()
    shutil.rmtree(photos)
    assert cli("report", "out") == Ended(0, f"{page}\n", "")
    assert page.read_bytes() == before
    assert cli("report", "out", "--json").json == {"folder": "out", "written": [str(page)]}


def test_explain_without_a_report(cli, photos):
    """For whoever wants none."""
    result = cli("explain", photos / "cat.png", *FAST, "--out", "out", "--no-report")

    assert "report" not in result.out
    assert not Path("out", "report.html").exists()


def test_heatmaps_stay_where_no_report_can_be_made(cli, photos):
    """What was asked for is there: the exit code is as without one, and it is told."""
    Path("out", "report.html").mkdir(parents=True)
    result = cli("explain", photos / "cat.png", *FAST, "--out", "out")

    assert result.code == 0
    assert "no report: cannot write" in result.err


def test_a_report_of_nothing(cli):
    """Is a mistake, told in a line."""
    Path("empty").mkdir()
    result = cli("report", "empty")

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: empty has neither plan.json nor explanations.json")
