"""`fusioncam benchmark`, `report` and `list metrics`: what they write, print and return."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from command_line import Fork, strict
from fusioncam.benchmark.results_store import Means
from fusioncam.cli.progress import BenchmarkProgressBar, means_table
from fusioncam.errors import ResultsError
from fusioncam.metrics.registry import METRICS
from runs import stored_row

NEITHER = (
    "has neither plan.json nor explanations.json nor audit.json nor heatmaps in bulk: pass the folder that "
    "`fusioncam benchmark`, `fusioncam explain` or `fusioncam audit` wrote to"
)
FAST = ("--model", "samples:small", "-m", "grad-cam", "--metric", "average-drop")


def data_line(folder, images=3):
    """Return the line that states the kind of the data set."""
    return f"{folder}: a folder of {images} images, classes unknown\n"


@pytest.fixture
def no_report(monkeypatch):
    """Skip the report, which takes time and has its own tests."""
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


def test_run_writes_rows_tables_and_figures(cli, photos):
    """The folder contains all of them, and their paths are printed."""
    code, out, err = cli("benchmark", photos, *FAST, "-m", "fusion-cam", "--metric", "deletion(steps=4)", "-o", "run")

    assert (code, err) == (0, data_line(photos))
    rows = pd.read_parquet("run/rows.parquet")
    assert len(rows) == 3 * 5 * 2
    mean = rows[(rows["method"] == "fusion-cam") & (rows["metric"] == "average-drop")]["value"].mean()
    assert f"│ fusion-cam │ {mean:.3f}" in out
    assert f"30 rows: {Path('run', 'rows.parquet')}" in out
    assert {"md", "tex", "csv"} == {one.suffix[1:] for one in Path("run/tables").iterdir()}
    assert {"png", "svg", "pdf"} == {one.suffix[1:] for one in Path("run/figures").iterdir()}
    counted = [
        f"{len(list(folder.iterdir()))} files: {folder}" for folder in (Path("run/tables"), Path("run/figures"))
    ]
    page = f"report: {Path('run/report.html').absolute().as_uri()}"
    assert out.splitlines()[-4:] == [*counted, page, f"next: fusioncam audit {photos} --model samples:small"]


@pytest.mark.slow
def test_report_is_written_again_without_a_network(cli, photos, monkeypatch):
    """`fusioncam report` writes the same files from the stored rows, also for an unfinished run."""
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
    assert out.splitlines()[-1] == f"next: fusioncam audit {photos} --model samples:small"
    assert {path: path.read_bytes() for path in files} == files


@pytest.mark.slow
def test_report_shows_the_images_of_stored_heatmaps(cli, photos, monkeypatch):
    """The run stores what is needed to crop and label the images, so the report works from any folder."""
    cli("benchmark", "photos", *FAST, "--keep-heatmaps", "-o", "run", "--no-report")
    assert not Path("run", "report.html").exists()
    stored = json.loads(Path("run", "models.json").read_text())
    assert stored["data"] == str(photos)
    assert stored["models"]["samples:small"]["classes"] == 5
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    cli("report", "../run")
    page = Path("../run/report.html").read_text()

    assert page.count('<img class="base"') == 3
    assert page.count('<img class="heatmap"') == 3 * 4
    assert any(f'<p class="class">{name}</p>' in page for name in ("ash", "birch", "cedar", "dogwood", "elm"))
    assert Path("../run/figures/side-by-side-samples_small.png").is_file()


@pytest.mark.usefixtures("no_report")
def test_failing_image_ends_with_1(cli, photos):
    """The failure is printed at the end, and the other images are measured."""
    (photos / "bad.png").write_text("no image")
    code, out, err = cli("benchmark", photos, *FAST, "-o", "run")

    assert code == 1
    assert err == data_line(photos, 4) + (
        f"failed: samples:small, bad.png: {photos / 'bad.png'}: not an image in a known format (8 bytes)\n"
    )
    assert "13 rows" in out
    code, out, err = cli("report", "run", "--quiet")
    assert (code, out, err.count("failed")) == (1, "", 1)


@pytest.mark.usefixtures("no_report")
def test_many_failures_are_summarised(cli, photos):
    """The first 20 failures are printed, then their total number."""
    for number in range(25):
        (photos / f"bad{number}.png").write_text("no image")
    code, _, err = cli("benchmark", photos, *FAST, "-o", "run")

    assert (code, len(err.splitlines())) == (1, 22)
    assert err.splitlines()[-1] == "failed: 25 in all, see the column 'error' of the rows"


@pytest.mark.usefixtures("no_report")
def test_json_is_one_object(cli, photos):
    """--json prints one strict JSON object and nothing else."""
    (photos / "bad.png").write_text("no image")
    code, out, _ = cli("benchmark", photos, *FAST, "-o", "run", "--json")
    facts = strict(out)

    assert code == 1
    assert (facts["folder"], facts["rows"], facts["interrupted"]) == ("run", 13, False)
    assert [one["method"] for one in facts["means"]] == ["grad-cam", "ones", "center", "random"]
    assert all(0 <= one["average-drop"] <= 1 for one in facts["means"])
    assert [one["image"] for one in facts["failures"]] == ["bad.png"]
    assert facts["written"] == [str(Path("run", "tables", "one.md"))]


@pytest.mark.usefixtures("no_report")
def test_options_override_a_plan_file(cli, photos, tmp_path):
    """The plan file provides the options that the command line does not give."""
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
def test_every_option_is_stored_in_the_plan(cli, photos, tmp_path):
    """The options on the command line equal those in plan.json."""
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
def test_other_plan_is_refused_without_extend(cli, photos):
    """The error shows the difference; with --extend only the new part is computed."""
    assert cli("benchmark", photos, *FAST, "-o", "run")[0] == 0
    code, out, err = cli("benchmark", photos, *FAST, "-m", "layer-cam", "-o", "run")
    assert (code, out) == (2, "")
    assert err == (
        "error: run has rows of another plan: use --extend to compute only what is new, or choose another folder\n"
        "  method: + layer-cam\n"
    )
    code, out, err = cli("benchmark", photos, *FAST, "-m", "layer-cam", "-o", "run", "--extend")
    assert (code, err) == (0, data_line(photos))
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
def test_invalid_request_ends_with_2(cli, photos, args, message):
    """The error is printed, and nothing is loaded or written."""
    code, out, err = cli("benchmark", *args)

    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err


def test_report_of_a_missing_folder(cli, tmp_path):
    """The error names the files that the folder lacks."""
    code, _, err = cli("report", "nowhere")
    assert (code, err) == (2, f"error: nowhere {NEITHER}\n")


def test_run_remains_valid_if_the_report_fails(cli, photos, monkeypatch):
    """Rows are kept, the reason is printed, and the exit code is 1."""

    def fails(folder):
        raise ResultsError("the run has no row with a value")

    monkeypatch.setattr("fusioncam.report.html.page.write_html_report", fails)
    code, out, err = cli("benchmark", photos, *FAST, "-o", "run")

    assert (code, err) == (1, f"{data_line(photos)}no report: the run has no row with a value\n")
    assert "12 rows" in out


def test_run_in_which_every_image_fails(cli, photos):
    """There is no report, and each failure is printed."""
    words = ("--model", "samples:broken", "-m", "grad-cam", "--metric", "increase")
    code, out, err = cli("benchmark", photos, *words, "-o", "run")

    assert (code, out) == (1, f"3 rows: {Path('run', 'rows.parquet')}\n")
    assert "no report: the run has no row with a value" in err
    assert err.count("failed: samples:broken, ") == 3


def test_quiet_prints_nothing(cli, photos, no_report):
    """Without --quiet the program prints that it continues an earlier run."""
    assert cli("benchmark", photos, *FAST, "-o", "run", "--quiet") == (0, "", "")
    assert cli("benchmark", photos, *FAST, "-o", "run", "--quiet") == (0, "", "")
    assert (
        cli("benchmark", photos, *FAST, "-o", "run")[2]
        == data_line(photos) + "continuing: 3 of 3 images are finished\n"
    )


def test_the_metrics_are_listed(cli):
    """Each metric has a line with its direction and requirements; one alone also has its paper and settings."""
    code, out, _ = cli("list", "metrics")
    lines = {words[0]: words for words in map(str.split, out.splitlines()) if words}

    assert code == 0
    assert METRICS.keys() <= lines.keys()
    assert lines["pointing-game"][1:3] == ["higher", "truth"]

    code, out, _ = cli("list", "metrics", "pointing-game")
    assert code == 0
    assert all(word in out for word in ("localization", "higher", "truth", "arXiv 1608.00507", "tolerance=15"))
    assert "M: " not in out
    out = cli("list", "metrics", "adcc").out
    assert "2 + M\n" in out
    assert "M: passes of the method" in out
    assert "S: pixels of the image" in cli("list", "metrics", "insertion:rise").out


# -- the progress bar ------------------------------------------------------------------------------------------


def printed_table(table):
    """Return the printed table."""
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(table)
    return console.file.getvalue()


def test_means_are_shown_by_method_and_by_several_models():
    """Names are printed literally; a metric without a value has an empty cell."""
    means = Means()
    means.add(
        [
            stored_row(method="[red]x", value=0.25),
            stored_row(method="[red]x", value=0.75),
            stored_row(metric="road", value=None),
        ]
    )
    text = printed_table(means_table(means))
    assert "[red]x" in text
    assert "0.500" in text
    assert "model" not in text
    means.add([stored_row(model="other", metric="road", value=-1.0)])
    assert all(word in printed_table(means_table(means)) for word in ("model", "other", "-1.000", "road"))


def test_progress_bar_counts_images_and_rows(monkeypatch):
    """Several rows of one image count as one image."""
    bar = BenchmarkProgressBar()
    bar._console = Console(file=io.StringIO(), force_terminal=True, width=100)
    bar._live.console = bar._console
    with bar.displayed():
        bar.started(4, 1, 10)
        bar.job_started("m: cat\udcff.png")
        bar.rows_finished([stored_row("a"), stored_row("a", metric="road")])
        bar.rows_finished([stored_row("a", metric="iou")])
        bar.note("a note")
        (task,) = bar._bar.tasks
        assert (task.completed, task.total, task.fields["rows"]) == (2, 4, 13)
    out = bar._console.file.getvalue()
    assert "a note" in out
    assert "0.500" in out


# -- in a process of its own ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_keeps_finished_rows(photos, tmp_path):
    """The message says how to continue."""
    slow = ("--model", "samples:slow", "-m", "grad-cam", "--metric", "increase")
    program = Fork("benchmark", photos, *slow, "-o", tmp_path / "run")
    journal = tmp_path / "run" / "rows.jsonl"
    # an existing file may still be empty
    while not (journal.exists() and journal.stat().st_size) and not program.ended():
        time.sleep(0.01)
    time.sleep(0.2)  # the row is flushed and counted; the next image takes longer
    os.kill(program.pid, signal.SIGINT)
    code, out, err = program.wait()

    assert (code, out) == (130, ""), err
    stopped = f"stopped: 4 values are in {tmp_path / 'run'}; run the same command again to continue\n"
    assert err == data_line(photos) + stopped
    assert len(journal.read_text().splitlines()) == 1
