"""A report that fails is reported, changes the exit code, and leaves no older page that looks like the new one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from command_line import FAST
from fusioncam.errors import ResultsError
from fusioncam.report.html.page import write_html_report
from fusioncam.report.tables.csv_cells import escape_cell, unescape_cell
from fusioncam.report.tables.model import Page
from fusioncam.report.write import write_tables
from selection import slow_unless

BENCHMARK = ("benchmark", "photos", *FAST, "--metric", "increase", "-o", "run", "-q")
EXPLAIN = ("explain", "photos", *FAST, "-o", "run", "-q")
REPORTS = ("report.html", "report-outdated.html")


@pytest.fixture(params=[slow_unless(words is EXPLAIN, words, id=words[0]) for words in (BENCHMARK, EXPLAIN)])
def run(request, program):
    """The words of a command that has written its results and its report into the folder run."""
    assert program(*request.param).code == 0
    return request.param


def existing():
    """Return which pages are in the folder of the run."""
    return [name for name in REPORTS if Path("run", name).exists()]


def fails(folder):
    """Fail as a report of damaged results does."""
    raise ResultsError("the rows are damaged")


def test_results_remain_and_the_exit_code_is_1(run, program, monkeypatch):
    """The reason is printed, and the page of the earlier results has another name."""
    monkeypatch.setattr("fusioncam.report.html.page._write", fails)
    code, _, err = program(*run)
    assert (code, err) == (1, "no report: the rows are damaged\n")
    assert existing() == ["report-outdated.html"]
    assert Path("run", "rows.parquet" if run[0] == "benchmark" else "explanations.json").stat().st_size


def test_report_that_made_nothing_ends_with_2(run, program, monkeypatch):
    """It prints an error, as for every request that cannot be fulfilled."""
    monkeypatch.setattr("fusioncam.report.html.page._write", fails)
    code, out, err = program("report", "run")
    assert (code, out, err) == (2, "", "error: the rows are damaged\n")
    assert existing() == ["report-outdated.html"]


def test_page_of_damaged_results_is_renamed(run):
    """Also if Python code writes the report."""
    name = "rows.parquet" if run[0] == "benchmark" else "explanations.json"
    Path("run", name).write_bytes(b"")
    with pytest.raises(ResultsError):
        write_html_report("run")
    assert existing() == ["report-outdated.html"]


def test_next_report_has_its_usual_name(run, program):
    """An outdated page stays where it is."""
    Path("run", "report.html").rename(Path("run", "report-outdated.html"))
    assert program("report", "run", "-q").code == 0
    assert existing() == [*REPORTS]


def test_run_without_a_report_renames_the_older_page(run, program):
    """It would show other results than the folder holds."""
    assert program(*run, "--no-report").code == 0
    assert existing() == ["report-outdated.html"]


def test_run_whose_images_all_fail_renames_the_older_page(program):
    """Such a run of ``explain`` writes no report."""
    assert program(*EXPLAIN).code == 0
    Path("photos", "cat.png").write_text("I am no image")
    assert program(*EXPLAIN).code == 1
    assert existing() == ["report-outdated.html"]


def test_file_of_a_user_is_not_renamed(program):
    """A page that fusioncam did not write is kept, and is the reason for which there is no report."""
    Path("run").mkdir()
    Path("run", "report.html").write_text("<p>mine</p>")
    code, _, err = program(*EXPLAIN)
    assert code == 1
    assert "no report" in err
    assert Path("run", "report.html").read_text() == "<p>mine</p>"


# -- CSV -------------------------------------------------------------------------------------------------------

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=1", "'=1", "''-1", "\uff1d1", "-0.5")
TEXTS = ("grad-cam", "it's", "'quoted'", "", "1e5", "a=b", "\N{MINUS SIGN}0.5")


@pytest.mark.parametrize("text", FORMULAS + TEXTS)
def test_escaped_cells_are_read_back(text):
    """No text begins like a formula, and each is restored."""
    escaped = escape_cell(text)
    assert unescape_cell(escaped) == text
    assert (escaped == text) == (text in TEXTS)


@pytest.mark.parametrize("value", [-0.5, -1, 0, True, None, float("-inf")])
def test_numbers_stay_numbers(value):
    """Only texts are escaped."""
    assert escape_cell(value) is value


def test_tables_have_no_formula(tmp_path):
    """Names of models, methods, metrics and columns are escaped in the file, numbers are not."""
    record = {"model": "=cmd|' /C calc'!A0", "method": "@f", "mean": -0.5, "+column": "-a"}
    write_tables([Page("page", "Page", (), (), (record,))], tmp_path)
    text = Path(tmp_path, "page.csv").read_text()
    assert text == "model,method,mean,'+column\n'=cmd|' /C calc'!A0,'@f,-0.5,'-a\n"
    table = pd.read_csv(tmp_path / "page.csv").rename(columns=unescape_cell).map(unescape_cell)
    assert table.to_dict("records") == [record]
