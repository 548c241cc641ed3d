"""The Ray that `--ray` starts: nobody else can use it, and killed runs leave no process and lose no row."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest

from fusioncam.benchmark.runner import run
from fusioncam.bulk import explain_in_bulk
from fusioncam.distributed.ray_connection import ray_pool
from fusioncam.distributed.ray_pool import Request
from killed_ray import PLANS
from kills import KILLS
from listeners import Notes
from processes import family, listening, processes_in, until
from runs import same
from samples import photos

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.serial,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc"),
    # Ray keeps sockets and files open until the process ends
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
HERE = Path(__file__).parents[1]
PATHS = os.pathsep.join([str(HERE), *filter(None, sys.path)])
WITH_TOKENS = (2, 52)


@pytest.fixture
def clean(tmp_path, monkeypatch):
    """Use a working directory and a home of this test, a short one for Ray's sockets, and none of Ray's variables."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as short:  # a socket's path has at most 107 characters
        monkeypatch.setenv("RAY_TMPDIR", short)
        yield tmp_path


GUEST = """
import sys
from ray._raylet import GcsClient
print(GcsClient(address=sys.argv[1]).internal_kv_keys(b"", timeout=5))
"""


def guest(address, **environment):
    """Return what another process prints that asks the cluster's head for what it stores."""
    env = {**os.environ, "RAY_py_gcs_connect_timeout_s": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", GUEST, address], env=env, capture_output=True, text=True, timeout=120
    )
    return done.stdout + done.stderr


def test_nobody_else_can_use_a_local_cluster(clean):
    """It listens on the loopback interface only, and there requires a token that is written nowhere."""
    notes = Notes()

    def set_up():
        return lambda jobs: [os.getpid() for _ in jobs]

    with ray_pool("local", Request(workers=1), notes) as pool:
        ((_, worker),) = pool.run(set_up, [1])
        members = family(os.getpid())
        assert worker in members
        found = listening(members)
        address = ray.get_runtime_context().gcs_address
        if tuple(map(int, ray.__version__.split(".")[:2])) >= WITH_TOKENS:
            for variables in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
                assert "AuthenticationError" in guest(address, **variables)
    assert len(found) >= 4  # the head, the node, the worker, and this process
    assert [one for one in found if not one[0].is_loopback] == []
    assert (notes.notes, list(clean.glob(".ray/*"))) == ([], [])


@pytest.mark.usefixtures("one_thread")  # as workers have, since sums in another order differ by rounding
@pytest.mark.parametrize("kind", ["benchmark", "bulk"])
def test_killed_runs_continue_and_leave_no_process(kind, clean):
    """Each run with a cluster of its own is killed at a random moment, also while the cluster starts.

    FUSIONCAM_TEST_KILLS is the number of kills.
    """
    data = str(photos(clean / "photos", 12 * KILLS + 12))
    command = [sys.executable, str(HERE / "killed_ray.py"), kind, str(clean / "there"), str(KILLS), "1", data]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": PATHS}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) == KILLS, done.stderr
    until(lambda: processes_in(clean) == [os.getpid()])
    plan = PLANS[kind](data)
    start = run if kind == "benchmark" else explain_in_bulk
    start(plan, clean / "here")
    with ray_pool("local", Request(workers=1)) as pool:
        start(plan, clean / "there", workers=pool)
    until(lambda: processes_in(clean) == [os.getpid()])
    READ[kind](clean / "there", clean / "here")


def same_benchmarks(there, here):
    """Assert that two benchmarks have the same rows, none of them twice."""
    rows, others = (pd.read_parquet(folder / "rows.parquet") for folder in (there, here))
    same(rows, others)
    assert not rows.duplicated(["model", "image", "method", "metric"]).any()


def same_bulk(there, here):
    """Assert that two bulk runs have the same files with the same rows, none of them twice."""
    names, others = (sorted(path.name for path in folder.glob("part-*")) for folder in (there, here))
    assert names == others
    rows, expected = (pd.concat([pd.read_parquet(folder / name) for name in names]) for folder in (there, here))
    pd.testing.assert_frame_equal(rows.drop(columns="seconds"), expected.drop(columns="seconds"))
    assert not rows.duplicated(["image", "method", "target"]).any()
    assert list(there.rglob("*.part")) == []


READ = {"benchmark": same_benchmarks, "bulk": same_bulk}
