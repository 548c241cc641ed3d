"""Atomic writes, and locks of folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusioncam.errors import OutputError
from fusioncam.utils.files import atomic_write, folder_lock, to_json

HOLDER = """
import sys, time
from pathlib import Path
from fusioncam.utils.files import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_failed_write_keeps_the_old_file(tmp_path):
    """If the block fails, the old contents stay and no temporary file is left."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), atomic_write(path) as file:
        file.write("text in a binary file")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_lock_ends_with_the_block(tmp_path):
    """A folder can be locked again afterwards, also if the block fails; nested locks are refused."""
    with pytest.raises(ValueError, match="stopped"), folder_lock(tmp_path / "run"):
        raise ValueError("stopped")
    with folder_lock(tmp_path / "run"):
        with (
            pytest.raises(OutputError, match=f"another run \\(process {os.getpid()}\\)"),
            folder_lock(tmp_path / "run"),
        ):
            pass
        with pytest.raises(OutputError, match="another run"), folder_lock(tmp_path / "run"):
            pass
    with folder_lock(tmp_path / "run"):
        pass


def test_lock_names_another_process_and_ends_with_it(tmp_path):
    """The error names the process that holds the folder; a killed process holds nothing."""
    source = str(Path(sys.modules["fusioncam"].__file__).parents[1])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match=f"process {holder.pid}"), folder_lock(tmp_path):
            pass
        holder.kill()
    with folder_lock(tmp_path):
        pass


def test_json_is_strict_utf_8():
    """NaN is refused; a byte of a file name that is not text is escaped."""
    assert to_json({"name": "猫 \udcff"}) == '{\n  "name": "猫 \\udcff"\n}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"value": float("nan")})
