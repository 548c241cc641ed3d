"""A journal that another program changes while a run uses it stops the run, and nothing is written after that."""

from __future__ import annotations

import os

import pytest

from benchmark_runs import benchmark_rows
from fusioncam.benchmark.journal import Journal
from fusioncam.errors import OutputError, ResultsError
from runs import stored_row
from samples import photos


@pytest.fixture
def path(tmp_path):
    """Return the path of a journal with two lines, and of a file of the user's beside it."""
    journal = Journal(tmp_path / "rows.jsonl")
    journal.append([stored_row("a")])
    journal.append([stored_row("b")])
    return journal.path


def replaced(path):
    """Replace the file by a copy."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


CHANGES = {
    "removed": (lambda path: path.unlink(), "it was removed"),
    "emptied": (lambda path: path.write_bytes(b""), "it has 0 bytes"),
    "shortened": (lambda path: path.write_bytes(path.read_bytes()[:-5]), r"it has \d+ bytes instead of"),
    "extended": (lambda path: path.write_bytes(path.read_bytes() + b"{}\n"), r"it has \d+ bytes instead of"),
    "replaced": (replaced, "another file has replaced it"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_journal_stops_the_run(path, change):
    """Neither writing nor reading goes on, and the file stays as the other program left it."""
    journal = Journal(path)
    make, problem = CHANGES[change]
    make(path)
    left = path.read_bytes() if path.exists() else None
    for use in (lambda: journal.append([stored_row("c")]), lambda: journal.rows("m", "a")):
        with pytest.raises(ResultsError, match=rf"rows\.jsonl was changed .*{problem}"):
            use()
    assert (path.read_bytes() if path.exists() else None) == left


def test_a_journal_that_another_program_creates_is_not_overwritten(path):
    """A run that found no journal does not write into one that appears later."""
    new = path.with_name("new.jsonl")
    journal = Journal(new)
    new.write_bytes(path.read_bytes())
    with pytest.raises(ResultsError, match="another program has created it"):
        journal.append([stored_row("c")])
    assert new.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_a_journal_is_a_regular_file(path, kind):
    """A link could lead to a file of the user's, and a pipe would block for ever."""
    target, journal = path, path.with_name("other.jsonl")
    before = target.read_bytes()
    make = {
        "link": lambda: journal.symlink_to(target),
        "dangling": lambda: journal.symlink_to("nowhere"),
        "pipe": lambda: os.mkfifo(journal),
        "folder": journal.mkdir,
    }
    make[kind]()
    with pytest.raises(ResultsError, match=r"it is a link|not a regular file"):
        Journal(journal)
    assert target.read_bytes() == before
    assert not path.with_name("nowhere").exists()


def test_a_link_that_appears_is_not_followed(path):
    """The check and the opening are one step."""
    journal = Journal(path)
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")
    with pytest.raises(OutputError, match="it is a link"):
        journal.append([stored_row("c")])


def test_a_run_whose_journal_is_emptied_stops_and_continues_later(tmp_path):
    """The run ends with the error; the same command then measures everything, and the rows are those of any run."""
    data = photos(tmp_path / "photos", 4)
    whole = benchmark_rows(data, tmp_path / "whole", ["grad-cam"], ["average-drop"])
    calls = []

    def emptying(model, x, target):
        calls.append(1)
        if len(calls) == 3:
            (tmp_path / "run" / "rows.jsonl").write_bytes(b"")
        return x.new_ones(len(x), *x.shape[2:]).cumsum(-1) / x.shape[-1]

    with pytest.raises(ResultsError, match=r"rows\.jsonl was changed by another program .* 0 bytes"):
        benchmark_rows(data, tmp_path / "run", [emptying, "grad-cam"], ["average-drop"])
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == b""
    rows = benchmark_rows(data, tmp_path / "run", [emptying, "grad-cam"], ["average-drop"])
    assert rows.loc[rows["method"] == "grad-cam", "value"].tolist() == (
        whole.loc[whole["method"] == "grad-cam", "value"].tolist()
    )
