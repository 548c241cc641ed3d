"""An audit that is killed several times has the files of one that is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusioncam.audit import audit
from killed_audit import plan_of
from kills import KILLS
from stamps import write_squares


@pytest.mark.slow
def test_an_audit_that_is_killed_several_times_has_the_same_files(tmp_path):
    """Each kill is at a random moment, also while a file is written; no temporary file remains in the end.

    FUSIONCAM_TEST_KILLS is the number of kills.
    """
    data = str(write_squares(tmp_path / "squares", 8))
    here = Path(__file__).parents[1]
    source = str(Path(sys.modules["fusioncam"].__file__).parents[1])
    command = [sys.executable, str(here / "killed_audit.py"), str(tmp_path / "run"), str(KILLS), "1", data]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, str(here)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) >= KILLS / 2
    resumed, whole = (audit(plan_of(data), tmp_path / name) for name in ("run", "whole"))
    assert resumed.suspects == whole.suspects
    for name in ("images.csv", "classes.csv", "suspects.csv", "changed-classes.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert list((tmp_path / "run").rglob("*.part")) == []
