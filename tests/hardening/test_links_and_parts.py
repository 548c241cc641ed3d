"""Temporary files and locks: no link is followed, and what killed runs leave is removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusioncam.errors import OutputError
from fusioncam.explanations.started_files import list_started
from fusioncam.utils.files import atomic_write, folder_lock, remove_abandoned, writable_folder

WRITER = """
import os, sys, signal
from pathlib import Path
from fusioncam.utils.files import atomic_write
with atomic_write(Path(sys.argv[1]) / "file") as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def mine(tmp_path):
    """Return a file of the user's outside the folder of a run."""
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    return file


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a run."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.mark.parametrize("name", [".lock", ".lock-owner"])
@pytest.mark.parametrize("target", ["mine.txt", "new.txt"])
def test_a_lock_does_not_follow_links(folder, mine, name, target):
    """A folder from elsewhere can neither empty nor create a file of the user's."""
    (folder / name).symlink_to(mine.with_name(target))
    if name == ".lock":
        with pytest.raises(OutputError, match=r"cannot lock .*\.lock: it is a link"), folder_lock(folder):
            pass
    else:
        with folder_lock(folder):
            assert (folder / name).read_text() == f"process {os.getpid()}"
    assert mine.read_text() == "mine"
    assert not mine.with_name("new.txt").exists()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_lock_of_another_kind_is_an_error(folder, make):
    """A folder or a pipe in the position of the lock is reported at once."""
    make(folder / ".lock")
    with pytest.raises(OutputError, match="cannot lock"), folder_lock(folder):
        pass


def test_the_owner_of_a_lock_is_read_with_care(folder):
    """A link, or a long text with control characters, is not printed."""
    with folder_lock(folder):
        (folder / ".lock-owner").write_bytes(b"x" * 10_000)
        with pytest.raises(OutputError) as caught, folder_lock(folder):
            pass
        assert len(str(caught.value)) < 400 + len(str(folder))
        (folder / ".lock-owner").unlink()
        (folder / ".lock-owner").symlink_to("/etc/hostname")
        with pytest.raises(OutputError, match=r"another run \(of another process\)"), folder_lock(folder):
            pass


@pytest.mark.parametrize("existing", ["mine.txt", "new.txt"])
def test_temporary_names_do_not_follow_links(folder, mine, existing, monkeypatch):
    """Even if a name were guessed, a link of that name is not followed, but the writer fails."""
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    (folder / f".fusioncam.{os.getpid()}.guessed.part").symlink_to(mine.with_name(existing))
    for write in (lambda: writable_folder(folder), lambda: atomic_write(folder / "file").__enter__()):
        with pytest.raises(OutputError, match="it is a link"):
            write()
    assert mine.read_text() == "mine"
    assert not mine.with_name("new.txt").exists()


def test_a_result_replaces_a_link(folder, mine):
    """A link in the position of a result is replaced, not followed; the list of started files refuses it."""
    (folder / "file").symlink_to(mine)
    with atomic_write(folder / "file", durable=True) as file:
        file.write(b"new")
    assert (folder / "file").read_bytes() == b"new"
    (folder / ".explanations.started").symlink_to(mine)
    with pytest.raises(OutputError, match="it is a link"):
        list_started(folder, ["a.png"])
    assert mine.read_text() == "mine"


def test_parts_of_killed_writers_are_removed(folder):
    """Those of a writer that still runs stay, and its file is whole in the end."""
    source = str(Path(sys.modules["fusioncam"].__file__).parents[1])
    command = [sys.executable, "-c", WRITER, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": {**os.environ, "PYTHONPATH": source}}
    with subprocess.Popen(command, **pipes) as killed, subprocess.Popen(command, **pipes) as running:
        assert [one.stdout.readline() for one in (killed, running)] == [b"writing\n"] * 2
        killed.kill()
        killed.wait()
        assert len(list(folder.glob("*.part"))) == 2
        (folder / ".fusioncam.7.140.part").write_bytes(b"of an earlier version")
        remove_abandoned(folder)
        assert len(list(folder.glob("*.part"))) == 1
        running.stdin.close()
        assert running.wait() == 0
    assert (folder / "file").read_bytes() == b"half"
    assert [one.name for one in folder.iterdir()] == ["file"]


def test_a_lock_clears_the_folder_and_its_subfolders(folder):
    """Other files stay, also those whose names only resemble temporary ones."""
    for name in ("", "heatmaps/m", "other"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / ".fusioncam.1.x.part").touch()
        (folder / name / "my.part").touch()
    with folder_lock(folder, "heatmaps/*"):
        left = {str(one.relative_to(folder)) for one in folder.rglob("*.part")}
    assert left == {"my.part", "heatmaps/m/my.part", "other/my.part", "other/.fusioncam.1.x.part"}
