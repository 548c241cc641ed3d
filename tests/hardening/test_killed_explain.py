"""A run of `fusioncam explain` that is killed at any moment has listed what it wrote."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from fusioncam.cli.explain_output import ExplanationWriter
from fusioncam.cli.main import main
from fusioncam.explanations.result_files import listed_results
from samples import photos

EXPLAIN = ("explain", "photos", "--model", "samples:small", "-m", "grad-cam", "--no-report", "-o", "out", "--quiet")

ENDINGS = ("grad-cam.png", "grad-cam.npy", "input.jpg")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the program on four images in a child process and returns how it ended."""
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos", 4)

    def run(before=lambda: None):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                before()
                sys.argv = ["fusioncam", *EXPLAIN]
                main()
            except SystemExit as end:
                code = end.code or 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return run


def killed_in(module, name, call):
    """Kill this process when it calls a function for the ``call``-th time, after it has done half of its work."""
    original, calls = getattr(module, name), []

    def last_one(*arguments, **settings):
        calls.append(1)
        if len(calls) == call:
            Path("out", arguments[2] + ".png").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **settings)

    setattr(module, name, last_one)


def test_a_killed_run_has_listed_what_it_wrote(run):
    """The facts are those of the finished images, and no file counts as one of the user's."""
    from fusioncam.explanations.explanation import Explanation

    assert run(lambda: killed_in(Explanation, "save_heatmap", 3)) == -signal.SIGKILL
    facts = json.loads(Path("out/explanations.json").read_text())
    assert [Path(one["image"]).name for one in facts["explanations"]] == ["00.png", "01.png"]
    assert facts["model"]
    written = {one.name for one in Path("out").iterdir() if not one.name.startswith(".")}
    finished = {f"0{n}.{end}" for n in (0, 1) for end in ENDINGS}
    assert written - {"explanations.json"} == finished | {"02.input.jpg", "02.grad-cam.png"}
    assert written - {"explanations.json"} <= listed_results(Path("out"))

    assert run() == 0
    files = {f"0{n}.{end}" for n in range(4) for end in ENDINGS}
    assert {one.name for one in Path("out").iterdir()} == {"explanations.json"} | files
    facts = json.loads(Path("out/explanations.json").read_text())
    assert len(facts["explanations"]) == 4
    assert "earlier_files" not in facts


def test_a_torn_list_keeps_its_whole_lines(tmp_path):
    """The list may come from elsewhere: other lines and names are ignored."""
    path = tmp_path / ".explanations.started"
    path.write_bytes(b'["a.png", "../b.png", 3, "/c.png"]\n7\n[' + b"[" * 100_000 + b'\n["d.png"]\n["e.p')
    assert listed_results(tmp_path) == {"a.png", "d.png"}


def test_very_many_facts_are_written_seldom(tmp_path, monkeypatch):
    """Writing them takes at most a tenth of the time."""
    writer, now, writes = ExplanationWriter(tmp_path, quiet=True), [0.0], []

    def write(facts):
        now[0] += 1
        writes.append(now[0])
        return bytes(300_000)

    monkeypatch.setattr(writer, "_write", write)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for _ in range(60):
        now[0] += 0.5
        writer._write_facts_so_far()
    assert 2 <= len(writes) <= 5
