"""The commands of benchmarks: what they write, print and return."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from fusioncam import METHODS
from fusioncam.benchmark.results_store import Means
from fusioncam.cli.main import main
from fusioncam.cli.progress import BenchmarkProgressBar, means_table
from fusioncam.errors import ResultsError
from fusioncam.metrics.registry import METRICS
from runs import stored_row

Cli = Callable[..., tuple[int, str, str]]
NEITHER = (
    "has neither plan.json nor explanations.json: pass the folder that `fusioncam benchmark` or `fusioncam explain` "
    "wrote to"
)
SMALL = ("--model", "samples:small", "-m", "grad-cam")
FAST = (*SMALL, "--metric", "average-drop")


def taken(folder, images=3):
    """Give the line that says what the data is taken for."""
    return f"{folder}: a folder of {images} images, classes unknown\n"


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path) -> Cli:
    """Call the program in this process, standing in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it

    def call(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fusioncam", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return ended.value.code or 0, out, err

    return call


@pytest.fixture
def no_report(monkeypatch):
    """Leave tables and figures out, which take their time and have tests of their own."""
    monkeypatch.setattr(
        "fusioncam.report.html.page.write_html_report", lambda folder: [Path(folder, "tables", "one.md")]
    )


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of three small images."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(folder / f"{number}.png")
    return folder


def test_a_run_ends_with_rows_tables_and_figures(cli, photos):
    """All of it is in the folder, and what it is, is told."""
    code, out, err = cli("benchmark", photos, *FAST, "-m", "fusion-cam", "--metric", "deletion(steps=4)", "-o", "run")

    assert (code, err) == (0, taken(photos))
    rows = pd.read_parquet("run/rows.parquet")
    assert len(rows) == 3 * 5 * 2
    mean = rows[(rows["method"] == "fusion-cam") & (rows["metric"] == "average-drop")]["value"].mean()
    assert f"│ fusion-cam │ {mean:.3f}" in out
    assert f"30 rows: {Path('run', 'rows.parquet')}" in out
    assert {"md", "tex", "csv"} == {one.suffix[1:] for one in Path("run/tables").iterdir()}
    assert {"png", "svg"} == {one.suffix[1:] for one in Path("run/figures").iterdir()}
    told = {Path(line) for line in out.splitlines() if line.startswith("run")}
    assert told == {*Path("run/tables").iterdir(), *Path("run/figures").iterdir(), Path("run/report.html")}


def test_a_report_is_made_again_without_a_network(cli, photos, monkeypatch):
    """From the rows that there are, also of a run that has not ended; the same ones."""
    cli("benchmark", photos, *FAST, "-o", "run")
    files = {
        path: path.read_bytes() for path in Path("run").rglob("*.*") if path.suffix in (".md", ".csv", ".parquet")
    }
    assert len(files) > 3
    for path in files:
        path.unlink()
    monkeypatch.setattr("fusioncam.zoo.loading.load_model", None)
    code, out, _ = cli("report", "run")

    assert code == 0
    assert "12 rows" in out
    assert {path: path.read_bytes() for path in files} == files


def test_a_report_shows_the_images_of_kept_heatmaps(cli, photos, monkeypatch):
    """The run notes what is needed to crop and name them again, whatever folder the report is made from."""
    cli("benchmark", "photos", *FAST, "--keep-heatmaps", "-o", "run", "--no-report")
    assert not Path("run", "report.html").exists()
    noted = json.loads(Path("run", "models.json").read_text())
    assert noted["data"] == str(photos)
    assert noted["models"]["samples:small"]["classes"] == 5
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    cli("report", "../run")
    page = Path("../run/report.html").read_text()

    assert page.count('<img class="base"') == 3
    assert page.count('<img class="heatmap"') == 3 * 4
    assert any(f'<p class="class">{name}</p>' in page for name in ("ash", "birch", "cedar", "dogwood", "elm"))
    assert Path("../run/figures/side-by-side-samples_small.png").is_file()


@pytest.mark.usefixtures("no_report")
def test_a_image_that_fails_gives_1(cli, photos):
    """It is told at the end, and the others are measured."""
    (photos / "bad.png").write_text("no image")
    code, out, err = cli("benchmark", photos, *FAST, "-o", "run")

    assert code == 1
    assert err == taken(photos, 4) + (
        f"failed: samples:small, bad.png: {photos / 'bad.png'}: not an image in a known format (8 bytes)\n"
    )
    assert "13 rows" in out
    code, out, err = cli("report", "run", "--quiet")
    assert (code, out, err.count("failed")) == (1, "", 1)


@pytest.mark.usefixtures("no_report")
def test_many_failures_are_counted(cli, photos):
    """A screen full of them helps nobody."""
    for number in range(25):
        (photos / f"bad{number}.png").write_text("no image")
    code, _, err = cli("benchmark", photos, *FAST, "-o", "run")

    assert (code, len(err.splitlines())) == (1, 22)
    assert err.splitlines()[-1] == "failed: 25 in all, see the column 'error' of the rows"


@pytest.mark.usefixtures("no_report")
def test_json_is_one_object(cli, photos):
    """Nothing else is on the output."""
    (photos / "bad.png").write_text("no image")
    code, out, _ = cli("benchmark", photos, *FAST, "-o", "run", "--json")
    facts = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))

    assert code == 1
    assert (facts["folder"], facts["rows"], facts["interrupted"]) == ("run", 13, False)
    assert [one["method"] for one in facts["means"]] == ["grad-cam", "ones", "center", "random"]
    assert all(0 <= one["average-drop"] <= 1 for one in facts["means"])
    assert [one["image"] for one in facts["failures"]] == ["bad.png"]
    assert facts["written"] == [str(Path("run", "tables", "one.md"))]


@pytest.mark.usefixtures("no_report")
def test_a_plan_of_words_is_run_and_overridden(cli, photos, tmp_path):
    """A file says what the command line does not."""
    (tmp_path / "mine.yaml").write_text(
        "data: photos\nmodel: samples:small\nmethod: layer-cam\nmetric: [increase, average-drop]"
    )
    code, _, _ = cli("benchmark", "--plan", "mine.yaml", "--metric", "average-gain", "--limit", 2, "-o", "run")

    assert code == 0
    rows = pd.read_parquet("run/rows.parquet")
    assert {*rows["metric"]} == {"average-gain"}
    assert {*rows["method"]} == {"layer-cam", "ones", "center", "random"}
    assert rows["image"].nunique() == 2


@pytest.mark.usefixtures("no_report")
def test_every_option_reaches_the_plan(cli, photos, tmp_path):
    """What is asked for is what the folder says."""
    (tmp_path / "map.csv").write_text("0,cup\n")
    words = ("--layer", "conv", "--target", "predicted", "--limit", 1, "--seed", 2, "--keep-heatmaps")
    code, _, err = cli(
        "benchmark",
        photos,
        *FAST,
        *words,
        "--class-map",
        "map.csv",
        "--device",
        "cpu",
        "--precision",
        "exact",
        "-o",
        "run",
    )

    assert code == 0, err
    plan = json.loads(Path("run/plan.json").read_text())
    assert {
        name: plan[name]
        for name in ("layer", "target", "limit", "seed", "keep_heatmaps", "class_map", "device", "precision")
    } == {
        "layer": "conv",
        "target": "predicted",
        "limit": 1,
        "seed": 2,
        "keep_heatmaps": True,
        "class_map": "map.csv",
        "device": "cpu",
        "precision": "exact",
    }
    assert len(list(Path("run/heatmaps").rglob("*.safetensors"))) == 1


@pytest.mark.usefixtures("no_report")
def test_another_plan_is_refused_or_extends(cli, photos):
    """The difference is shown; --extend computes what is new."""
    assert cli("benchmark", photos, *FAST, "-o", "run")[0] == 0
    code, out, err = cli("benchmark", photos, *FAST, "-m", "layer-cam", "-o", "run")
    assert (code, out) == (2, "")
    assert err == (
        "error: run has rows of another plan: use --extend to compute only what is new, or choose another folder\n"
        "  method: + layer-cam\n"
    )
    code, out, err = cli("benchmark", photos, *FAST, "-m", "layer-cam", "-o", "run", "--extend")
    assert (code, err) == (0, taken(photos))
    assert "15 rows" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "a benchmark needs images"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["photos", "-m", "gradcam"], "unknown method 'gradcam'; did you mean 'grad-cam'"),
        (["photos", "--metric", "insert"], "unknown metric 'insert'; did you mean 'insertion'"),
        (["photos", "--plan", "papers"], "did you mean 'paper'"),
        (["photos", "--plan", "."], "'.' is not a plan"),
        (["photos", "--target", "top3"], "unknown target 'top3'"),
        (["photos", "--limit", "0"], "limit must be an integer of at least 1"),
        (["photos", "--model", "samples:text"], "must return an nn.Module or an ExplainedModel, got str"),
        (["photos", *FAST, "-o", "photos/0.png"], "cannot write into"),
        (["photos", *FAST, "--metric", "iou", "--device", "cuda:99"], "is not available on this machine"),
    ],
)
def test_what_cannot_be_is_told_and_gives_2(cli, photos, args, message):
    """Nothing is loaded for it, and nothing written."""
    code, out, err = cli("benchmark", *args)

    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err


def test_a_report_of_nothing_is_told(cli, tmp_path):
    """A folder of something else, or none."""
    code, _, err = cli("report", "nowhere")
    assert (code, err) == (2, f"error: nowhere {NEITHER}\n")


def test_a_run_without_tables_is_a_run(cli, photos, monkeypatch):
    """Rows are kept, and why there is no report is told."""

    def fails(folder):
        raise ResultsError("the run has no row with a value")

    monkeypatch.setattr("fusioncam.report.html.page.write_html_report", fails)
    code, out, err = cli("benchmark", photos, *FAST, "-o", "run")

    assert (code, err) == (0, f"{taken(photos)}no report: the run has no row with a value\n")
    assert "12 rows" in out


def test_a_run_of_failures_alone_is_told(cli, photos):
    """There is nothing to make tables of."""
    words = ("--model", "samples:broken", "-m", "grad-cam", "--metric", "increase")
    code, out, err = cli("benchmark", photos, *words, "-o", "run")

    assert (code, out) == (1, f"3 rows: {Path('run', 'rows.parquet')}\n")
    assert "no report: the run has no row with a value" in err
    assert err.count("failed: samples:broken, ") == 3


def test_quiet_is_quiet(cli, photos, no_report):
    """And going on is told to whoever is not."""
    assert cli("benchmark", photos, *FAST, "-o", "run", "--quiet") == (0, "", "")
    assert cli("benchmark", photos, *FAST, "-o", "run", "--quiet") == (0, "", "")
    assert (
        cli("benchmark", photos, *FAST, "-o", "run")[2] == taken(photos) + "continuing: 3 of 3 images are finished\n"
    )


def test_the_metrics_are_listed(cli):
    """Each with its direction, its needs, its paper and its settings."""
    code, out, _ = cli("list", "metrics")

    assert code == 0
    assert all(f"│ {name}" in out for name in METRICS)
    line = next(line for line in out.splitlines() if "│ pointing-game " in line)
    assert all(word in line for word in ("localization", "higher", "truth", "arXiv 1608.00507", "tolerance=15"))
    assert "model-randomisation" in out
    assert "├" in out
    assert METHODS  # and the methods as before
    assert cli("list", "methods")[0] == 0


# -- the screen ------------------------------------------------------------------------------------------------


def shown(table):
    """Print a table."""
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(table)
    return console.file.getvalue()


def test_means_are_shown_by_method_and_by_model_if_there_are_several():
    """Names are text, not markup; what has no value is empty."""
    means = Means()
    means.add(
        [
            stored_row(method="[red]x", value=0.25),
            stored_row(method="[red]x", value=0.75),
            stored_row(metric="road", value=None),
        ]
    )
    text = shown(means_table(means))
    assert "[red]x" in text
    assert "0.500" in text
    assert "model" not in text
    means.add([stored_row(model="other", metric="road", value=-1.0)])
    assert all(word in shown(means_table(means)) for word in ("model", "other", "-1.000", "road"))


def test_the_screen_counts_images_and_rows(monkeypatch):
    """An image with several lines, as games have, is one."""
    bar = BenchmarkProgressBar()
    bar._console = Console(file=io.StringIO(), force_terminal=True, width=100)
    bar._live.console = bar._console
    with bar.displayed():
        bar.started(4, 1, 10)
        bar.job_started("m: cat\udcff.png")
        bar.rows_finished([stored_row("a"), stored_row("a", metric="road")])
        bar.rows_finished([stored_row("a", metric="iou")])
        bar.note("a word")
        (task,) = bar._bar.tasks
        assert (task.completed, task.total, task.fields["rows"]) == (2, 4, 13)
    out = bar._console.file.getvalue()
    assert "a word" in out
    assert "0.500" in out


# -- the installed program -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_gives_130_and_keeps_what_was_done(photos, tmp_path):
    """And the same command goes on."""
    path = Path(sys.executable).with_name("fusioncam")
    words = [
        "benchmark",
        photos,
        "--model",
        "samples:slow",
        "-m",
        "grad-cam",
        "--metric",
        "increase",
        "-o",
        tmp_path / "run",
    ]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # see test_cli.program
    try:
        process = subprocess.Popen(
            [path, *map(str, words)],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    journal = tmp_path / "run" / "rows.jsonl"
    # a file that is there may still be empty
    while not (journal.exists() and journal.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.2)  # the line is brought to the disk and noted; the next image takes longer
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (130, ""), err
    assert "Traceback" not in err
    stopped = f"stopped: 4 values are in {tmp_path / 'run'}; run the same command again to continue\n"
    assert err == taken(photos) + stopped
    assert len(journal.read_text().splitlines()) == 1
