"""Tables in narrow terminals, and texts with brackets."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from fusioncam.cli import output
from fusioncam.cli.doctor_tables import tables as doctor_tables
from fusioncam.cli.explain_output import ExplanationWriter
from fusioncam.cli.explain_tables import heatmaps_table
from fusioncam.cli.options import options_of
from fusioncam.cli.output import compact_table, print_report, print_table
from fusioncam.cli.progress import BenchmarkProgressBar, ClipProgressBar, ExplainProgressBar
from fusioncam.distributed.progress import PlannedTime


def fact(image, method, level="poor", gains=None):
    """Return what `explain` stores of a heatmap."""
    card = {
        "level": level,
        "questions": [{"name": "stable", "level": level}, {"name": "of-this-class", "level": "good"}],
    }
    facts = {"image": f"photos/{image}", "method": method, "class_name": "tabby", "probability": 0.5, "check": card}
    return facts | {"gains": gains or {}, "files": [f"{image}.{method}.png", f"{image}.{method}.npy"]}


def printed(items, capsys, width=80):
    """Return what is printed at a width."""
    for item in items:
        print_table(item, width)
    return capsys.readouterr().out


def test_narrow_tables_keep_all_text(capsys):
    """At 80 columns long names continue in the next line, and no character is lost."""
    methods = ["fusion-cam(theta=20,budget=64,gradient=layer-cam(layer=blocks.4),region=score-cam)", "grad-cam"]
    names = ["n01440764_a_very_long_name_of_an_image_file.JPEG", "b.png"]
    facts = [fact(name, method) for name in names for method in methods]
    text = printed(heatmaps_table(facts, Path("out")), capsys)
    assert max(map(len, text.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    letters = "".join(text.split())
    for part in ("budget=64", "b.png", "grad-cam", ":stable"):
        assert part in letters


def test_constant_columns_are_dropped():
    """What all rows have in common is said once; a single row keeps all columns."""
    line, table = compact_table(["image", "class"], [["a", "tabby"], ["b", "tabby"]], "out/")
    assert (line, [column.header for column in table.columns]) == ("out/, class tabby", ["image"])
    line, table = compact_table(["image", "class"], [["a", "tabby"]], "out/")
    assert (line, len(table.columns)) == ("out/", 2)


def test_the_folder_is_printed_once(capsys):
    """The rows name images and methods; the failing question is beside the level, the gain is one number."""
    gains = {"denoised": 0.1, "region": 0.2, "union": 0.3}
    facts = [fact("a.png", "fusion-cam", gains=gains), fact("b.png", "fusion-cam", "good", gains)]
    text = printed(heatmaps_table(facts, Path("out")), capsys)
    assert text.startswith("out/, class tabby, probability 50.0%, method fusion-cam, gain +0.300")
    assert text.count("out/") == 1
    assert "poor: stable" in text


def test_brackets_are_no_markup(capsys):
    """Also in titles and captions, which others set as texts."""
    table = Table("[bold]name", title="[red]title", caption='pip install "fusioncam[lite2]"')
    table.add_row("[/red] image [1].png")
    text = printed([table, "[dim]line"], capsys)
    for part in ("[bold]name", "[red]title", "fusioncam[lite2]", "[/red] image [1].png", "[dim]line"):
        assert part in text


@pytest.mark.parametrize("kind", [ExplainProgressBar, BenchmarkProgressBar, ClipProgressBar])
def test_brackets_in_progress_bars(kind):
    """The name of an image is shown as it is."""
    bar = kind()
    bar._bar.reset(bar._task, total=2, description="image [red].png")
    console = Console(file=io.StringIO(), width=120)
    console.print(bar._bar)
    assert "image [red].png" in console.file.getvalue()


def test_numbers_of_a_benchmark_are_whole_in_80_columns():
    """The name of the image is cut off instead."""
    bar = BenchmarkProgressBar()
    bar.started(1000, 12)
    bar.job_started("efficientnet_lite0: n01440764/ILSVRC2012_val_00000293.JPEG")
    console = Console(file=io.StringIO(), width=80)
    console.print(bar._bar)
    (line,) = console.file.getvalue().splitlines()
    assert "12/1000 images, 0 rows, 0 failed," in line
    assert "left -:--:-- effi" in line
    assert len(line) <= 80


def test_long_runs_are_announced(tmp_path, monkeypatch, capsys):
    """After the first image, the time of the others is printed if it is more than a minute."""
    now = [0.0]
    monkeypatch.setattr("fusioncam.cli.explain_output.time.monotonic", lambda: now[0])
    writer = ExplanationWriter(tmp_path)
    with writer.progress([Path(f"{n}.png") for n in range(60)]) as found:
        for _ in found:
            now[0] += 7
    assert "about 7 min for the other 59 images, 7.0 s each" in capsys.readouterr().err
    with writer.progress([Path(f"{n}.png") for n in range(5)]) as found:
        for _ in found:
            now[0] += 7
    assert capsys.readouterr().err == ""


def test_the_time_of_a_long_run_is_printed_before_its_first_image(tmp_path, capsys):
    """With the images, the passes of each and the time of a pass; a short or quiet run has no such line."""
    images = [Path(f"{n}.png") for n in range(54)]
    expected = "about 12 min: 54 images of 1,285 passes, 10 ms each\n"
    for passes, quiet, printed in ((1285, False, expected), (100, False, ""), (1285, True, "")):
        writer = ExplanationWriter(tmp_path, quiet=quiet)
        with writer.progress(images, lambda count, passes=passes: PlannedTime(count, passes, 0.01)) as found:
            next(found)
            assert capsys.readouterr().err == printed


def test_tables_of_the_doctor_fit_into_80_columns(capsys):
    """No word is broken, and one thread is a number."""
    machine = {"model": "small", "device": "cpu", "gpu": None, "threads": 1, "compiler": False, "versions": {}}
    masked = {"precision": "bfloat16", "rate": 1234.5, "share": 0.8, "workers": 16, "chunk": 256, "chosen": True}
    report = {"machine": machine, "plain": [], "failed": {}, "engines": []}
    report["masked"] = [masked | {"difference": 0.12345, "correlation": 0.993839}]
    text = printed(doctor_tables(report), capsys)

    assert {"images", "workers", "difference", "correlation", "0.993839", "1,234.5,", "bfloat16"} <= set(text.split())
    assert re.search(r"threads +1 ", text)
    assert re.search(r"compiler +no ", text)


@pytest.mark.parametrize(("levels", "command"), [([], "--check"), (["good"], "export"), (["poor"], "multiscale")])
def test_the_next_command_fits_the_run(levels, command, tmp_path, capsys):
    """Check first, then use the heatmaps; if they are poor, try the better method."""
    writer = ExplanationWriter(tmp_path, network=["--model", "onnx:a.onnx"])
    assert writer.following() == ()
    writer.facts = [fact("my cat.png", "grad-cam", level) for level in levels] or [fact("my cat.png", "grad-cam")]
    if not levels:
        del writer.facts[0]["check"]
    print_report((), writer.following())
    line = capsys.readouterr().out
    assert line.startswith("next: fusioncam e")
    assert ("--model onnx:a.onnx" in line) == (command != "export")
    assert command in line
    assert ("'photos/my cat.png'" in line) == (command != "export")


def test_options_that_were_given_are_repeated():
    """Those with their usual values are left out."""
    given = {"model": "a", "layer": None, "num-classes": 3, "labels": Path("my names.txt")}
    assert options_of(given, {"model": "b"}) == ["--model", "a", "--num-classes", "3", "--labels", "my names.txt"]
    assert options_of({"model": "a"}, {"model": "a"}) == []


def test_durations():
    """As people say them."""
    assert [output.duration(seconds) for seconds in (0.02, 0.25, 99, 101, 5999, 36000)] == [
        "20 ms",
        "0.2 s",
        "99 s",
        "2 min",
        "100 min",
        "10.0 h",
    ]
