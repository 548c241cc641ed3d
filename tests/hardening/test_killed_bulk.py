"""A bulk run that is killed several times has the rows of one that is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusioncam.bulk import explain_in_bulk
from killed_bulk import plan_of
from kills import KILLS
from samples import photos


def rows(folder):
    """Return the rows of a run without the time that they took."""
    tables = [pq.read_table(path).drop_columns(["seconds"]) for path in sorted(folder.glob("part-*.parquet"))]
    return pa.concat_tables(tables).to_pylist()


@pytest.mark.slow
def test_a_bulk_run_that_is_killed_several_times_has_the_same_rows(tmp_path):
    """Each kill is at a random moment, also while a file is written; no temporary file remains in the end.

    FUSIONCAM_TEST_KILLS is the number of kills.
    """
    data = str(photos(tmp_path / "photos", 5 * KILLS))
    here = Path(__file__).parents[1]
    source = str(Path(sys.modules["fusioncam"].__file__).parents[1])
    command = [sys.executable, str(here / "killed_bulk.py"), str(tmp_path / "run"), str(KILLS), "1", data]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, str(here)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) >= KILLS / 2
    explain_in_bulk(plan_of(data), tmp_path / "run")
    explain_in_bulk(plan_of(data), tmp_path / "whole")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    assert list((tmp_path / "run").rglob("*.part")) == []
