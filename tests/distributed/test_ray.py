"""Runs on real Ray: same rows as a local run, even if workers or nodes end, and no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fusioncam import read_heatmaps
from fusioncam.audit import AuditPlan, audit
from fusioncam.benchmark.plan import as_plan
from fusioncam.benchmark.runner import run
from fusioncam.bulk import BulkPlan, explain_in_bulk
from fusioncam.distributed.progress import ProgressListener
from fusioncam.distributed.ray_connection import ray_pool
from fusioncam.distributed.ray_pool import Request
from fusioncam.errors import ClusterError, WeightsError
from listeners import Notes
from processes import until
from runs import same
from samples import photos
from stamps import write_squares

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.serial,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc"),
    # as many threads as a worker has: with another number, sums round differently
    pytest.mark.usefixtures("one_thread"),
    # Ray keeps sockets and files open until the process ends
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

METHODS = ["grad-cam", "fusion-cam", "is-cam(samples=2)"]
METRICS = ["average-drop", "insertion(steps=8)"]
# how soon the head node declares a silent node dead
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 6,
}


@contextmanager
def clustered(**environment):
    """Start a cluster of one node with two CPUs, to which tests may add nodes."""
    from ray.cluster_utils import Cluster

    # no other process uses this cluster
    environment |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args={**settings, "_system_config": HEALTH})
        yield started
        started.shutdown()


@pytest.fixture(scope="module")
def cluster():
    """A cluster that several tests share and leave unchanged."""
    with clustered() as started:
        yield started


def free_memory():
    """Return the share of memory that is free."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / int(lines["MemTotal"].split()[0])


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Use a working directory of this test, which identifies its workers."""
    monkeypatch.chdir(tmp_path)


def workers(folder):
    """Return the process ids of workers whose working directory is this folder."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cmdline").read_bytes().startswith(b"ray::_Worker"):
                found += [int(process.name)] if (process / "cwd").readlink() == folder else []
        except OSError:  # the process ended meanwhile
            continue
    return found


class Killer(ProgressListener):
    """Kills a worker each time that a given number of rows is finished."""

    def __init__(self, folder, when):
        self.folder, self.when, self.rows, self.killed = folder, sorted(when), 0, 0

    def rows_finished(self, rows):
        """Count the rows, and kill a worker if it is time."""
        self.rows += len(rows)
        while self.when and self.rows >= self.when[0]:
            self.when.pop(0)
            for pid in workers(self.folder)[:1]:
                os.kill(pid, signal.SIGKILL)
                self.killed += 1


def plan_of(data, model="samples:small", methods=METHODS, metrics=METRICS, **settings):
    """Return a plan for a small network."""
    return as_plan(data=str(data), models=[model], methods=methods, metrics=metrics, **settings)


def rows_of(folder):
    """Return the rows of a run."""
    return pd.read_parquet(Path(folder) / "rows.parquet")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a plan, and its rows without Ray."""
    folder = tmp_path_factory.mktemp("undisturbed")
    plan = plan_of(photos(folder / "photos", 60))
    run(plan, folder / "here")
    return plan, rows_of(folder / "here")


def add_black_image(folder, name):
    """Add a black image, which the models of these tests treat specially."""
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(folder / name)


def test_run_with_killed_workers_equals_an_undisturbed_run(cluster, tmp_path):
    """For 100 images, 3 methods and a metric over several images, values are equal and no row is repeated."""
    plan = plan_of(photos(tmp_path / "photos", 100), metrics=[*METRICS, "grid-pointing-game"])
    run(plan, tmp_path / "here")
    listener, notes = Killer(tmp_path, [200, 700]), Notes()
    with ray_pool(cluster.address, Request(workers=2, batch_size=4), notes) as pool:
        outcome = run(plan, tmp_path / "there", listener=listener, workers=pool)

    assert listener.killed == len(notes.notes) == 2
    assert outcome.failures == ()
    same(rows_of(tmp_path / "there"), rows_of(tmp_path / "here"))
    assert not rows_of(tmp_path / "there").duplicated(["image", "method", "metric"]).any()
    until(lambda: workers(tmp_path) == [])


def test_stored_heatmaps_and_failures_equal_those_of_a_local_run(cluster, tmp_path):
    """Damaged images are rows, heatmaps are stored, and a metric that is added later runs no method."""
    data = photos(tmp_path / "photos", 6)
    (data / "03.png").write_bytes((data / "03.png").read_bytes()[:90])
    first, second = plan_of(data, metrics=METRICS[:1], keep_heatmaps=True), plan_of(data, keep_heatmaps=True)
    with ray_pool(cluster.address, Request(workers=2)) as pool:
        for folder, workers_ in (("here", None), ("there", pool)):
            run(first, tmp_path / folder, workers=workers_)
            run(second, tmp_path / folder, workers=workers_)

    same(rows_of(tmp_path / "there"), rows_of(tmp_path / "here"))
    assert rows_of(tmp_path / "there")["error"].notna().sum() == 1
    kept = [
        sorted(one.relative_to(tmp_path / f) for one in (tmp_path / f).rglob("*.safetensors"))
        for f in ("here", "there")
    ]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 5


def test_image_that_kills_its_worker_becomes_a_row(cluster, tmp_path):
    """It fails after three tries, and no other image is affected."""
    data = photos(tmp_path / "photos", 12)
    add_black_image(data, "05b.png")
    plan = plan_of(data, "samples:deadly", ["grad-cam"], ["average-drop(fill=mean)"])
    with ray_pool(cluster.address, Request(workers=2, batch_size=3)) as pool:
        outcome = run(plan, tmp_path / "there", workers=pool)

    (failure,) = outcome.failures
    assert failure["image"] == "05b.png"
    assert "3 worker processes ended while they held only this image" in failure["error"]
    (data / "05b.png").unlink()
    run(plan_of(data, "samples:deadly", ["grad-cam"], ["average-drop(fill=mean)"]), tmp_path / "here")
    found = rows_of(tmp_path / "there")
    found = found[found["error"].isna()].reset_index(drop=True).astype(rows_of(tmp_path / "here").dtypes)
    same(found, rows_of(tmp_path / "here"))


def test_worker_out_of_memory_is_replaced(tmp_path):
    """Ray ends it when the node runs out of memory; another worker repeats its image."""
    data = photos(tmp_path / "photos", 8)
    run(plan_of(data, "samples:small", ["grad-cam"]), tmp_path / "here")
    notes = Notes()
    limits = {"RAY_memory_monitor_refresh_ms": "100", "RAY_memory_usage_threshold": f"{1 - free_memory() + 0.15:.3f}"}
    with clustered(**limits) as own, ray_pool(own.address, Request(workers=1), notes) as pool:
        run(plan_of(data, "samples:hungry", ["grad-cam"]), tmp_path / "there", workers=pool)

    assert Path("hungry.mark").exists()
    assert any("memory" in note for note in notes.notes)
    same(rows_of("there").drop(columns="model"), rows_of("here").drop(columns="model"))


def test_removed_node_loses_no_row(cluster, undisturbed, tmp_path):
    """The run continues on the remaining node."""
    plan, rows = undisturbed
    import ray

    node = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes()

    class Remover(ProgressListener):
        def rows_finished(self, rows, left=[5]):  # noqa: B006 # counts over calls
            left[0] -= 1
            if left[0] == 0:
                cluster.remove_node(node, allow_graceful=False)
                # on a fast machine the others would finish before the cluster knows
                until(lambda: any(not one["Alive"] for one in ray.nodes()))

    notes = Notes()
    with ray_pool(cluster.address, Request(workers=3), notes) as pool:
        run(plan, tmp_path / "there", listener=Remover(), workers=pool)

    assert notes.notes
    same(rows_of("there"), rows)


DRIVER = """
import sys
from pathlib import Path
from fusioncam.benchmark import run
from fusioncam.distributed import Request, ray_pool
from test_ray import plan_of
with ray_pool(sys.argv[1], Request(workers=2)) as pool:
    run(plan_of(sys.argv[2]), Path("there"), workers=pool)
"""


def test_killed_driver_continues_where_it_stopped(cluster, undisturbed, tmp_path):
    """Its workers end with it, and the next run computes only what is missing."""
    plan, rows = undisturbed
    words = [sys.executable, "-c", DRIVER, cluster.address, plan.data]
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent), *filter(None, sys.path)])
    driver, journal = (
        subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths}),
        tmp_path / "there" / "rows.jsonl",
    )
    until(lambda: driver.poll() is not None or (journal.exists() and journal.read_bytes().count(b"\n") > 5))
    driver.kill()
    driver.wait()
    done = journal.read_bytes().count(b"\n")
    assert 5 < done < 60
    until(lambda: workers(tmp_path) == [])

    with ray_pool(cluster.address, Request(workers=2)) as pool:
        run(plan, tmp_path / "there", workers=pool)
    same(rows_of("there"), rows)
    assert journal.read_bytes().count(b"\n") == 60


def test_stalled_run_is_aborted(cluster, tmp_path):
    """The error names the images in progress; finished rows are kept."""
    data = photos(tmp_path / "photos", 4)
    add_black_image(data, "02b.png")
    plan = plan_of(data, "samples:sleepy", ["grad-cam"], ["average-drop(fill=mean)"])
    message = r"no image was finished for 5 seconds\. In progress: 02b\.png"
    with ray_pool(cluster.address, Request(workers=2, patience=60)) as pool:
        run(plan_of(data, "samples:sleepy", limit=1), tmp_path / "started", workers=pool)
        pool.request = Request(workers=2, patience=5)  # short, now that the workers are started
        with pytest.raises(ClusterError, match=message):
            run(plan, tmp_path / "there", workers=pool)
    # one image may be queued after the one that never ends
    assert (tmp_path / "there" / "rows.jsonl").read_bytes().count(b"\n") >= 3
    until(lambda: workers(tmp_path) == [])


def test_cluster_occupied_by_others(cluster):
    """Without room for a worker the run ends with an error that says so."""
    import ray

    class Greedy:  # a local class is pickled by value
        def ping(self):
            return True

    with ray_pool(cluster.address, Request(workers=2)):
        other = ray.remote(Greedy).options(num_cpus=2).remote()
        ray.get(other.ping.remote())
        pool_of_two = ray_pool(cluster.address, Request(workers=1, patience=3))
        with (
            pool_of_two as pool,
            pytest.raises(ClusterError, match=r"1 of 1 workers wait for room .* free are 0 CPU"),
        ):
            list(pool.run(lambda: list, range(3)))
        ray.kill(other)
    with (
        pytest.raises(ClusterError, match="room for 2 workers of 1 CPU"),
        ray_pool(cluster.address, Request(workers=9)),
    ):
        pass


def test_error_on_a_worker_is_raised(cluster, tmp_path):
    """An error of a set-up is raised in the driver with its own class."""

    def set_up():
        raise WeightsError("mine.pt: no such file")

    with (
        ray_pool(cluster.address, Request(workers=1)) as pool,
        pytest.raises(WeightsError, match="no such file"),
    ):
        list(pool.run(set_up, range(3)))


def test_bulk_run_equals_a_local_run(cluster, tmp_path):
    """The shards have the same names and equal heatmaps, although a worker was killed."""
    data = photos(tmp_path / "photos", 40)
    (data / "07.png").write_bytes(b"no image")
    plan = BulkPlan((str(data),), "samples:small", methods=("grad-cam", "fusion-cam"), shard=8)
    here = explain_in_bulk(plan, tmp_path / "here")

    class Once(Killer):
        def started(self, total, done=0, rows=0):
            assert (total, done) == (40, 0)

    listener, notes = Once(tmp_path, [10]), Notes()
    with ray_pool(cluster.address, Request(workers=2), notes) as pool:
        there = explain_in_bulk(plan, tmp_path / "there", workers=pool, listener=listener)

    assert listener.killed == len(notes.notes) == 1
    assert (
        (there.images, there.heatmaps, there.failures) == (here.images, here.heatmaps, here.failures) == (40, 78, 1)
    )
    names = [sorted(one.name for one in (tmp_path / folder).glob("part-*")) for folder in ("here", "there")]
    assert names[0] == names[1]
    assert len(names[0]) == 5
    for one, other in zip(read_heatmaps(tmp_path / "here"), read_heatmaps(tmp_path / "there"), strict=True):
        assert (one.image, one.method, one.target) == (other.image, other.method, other.target)
        assert one.grid.equal(other.grid)


def test_audit_equals_a_local_audit(cluster, tmp_path):
    """Heatmaps and removals come from workers, of which two are killed; the suspects and tables are the same."""
    data = write_squares(tmp_path / "squares", 4)
    plan = AuditPlan(str(data), "stamps:reader", "grad-cam", against="stamps:honest")
    here = audit(plan, tmp_path / "here")
    listener = Killer(tmp_path, [5, 17])  # one during the heatmaps, one during the removals
    with ray_pool(cluster.address, Request(workers=2), Notes()) as pool:
        there = audit(plan, tmp_path / "there", workers=pool, listener=listener)
    assert listener.killed == 2
    assert there.suspects == here.suspects
    for name in ("images.csv", "classes.csv", "changed-classes.csv"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_workers_load_the_network_that_another_process_converted(cluster, tmp_path, monkeypatch):
    """Its entry of the cache is read and not written again: no worker has converted it."""
    pytest.importorskip("openvino")
    monkeypatch.setenv("FUSIONCAM_CACHE_DIR", str(tmp_path / "cache"))
    data = photos(tmp_path / "photos", 4)
    plan = BulkPlan((str(data),), "samples:small", methods=("score-cam",), shard=2, engine="openvino")
    here = explain_in_bulk(plan, tmp_path / "here")
    (entry,) = (tmp_path / "cache" / "networks").iterdir()
    before, read = entry.stat().st_ino, (entry / "entry.json").stat().st_mtime_ns
    with ray_pool(cluster.address, Request(workers=2)) as pool:
        there = explain_in_bulk(plan, tmp_path / "there", workers=pool)

    assert (there.heatmaps, there.failures) == (here.heatmaps, here.failures) == (4, 0)
    assert list((tmp_path / "cache" / "networks").iterdir()) == [entry]
    assert entry.stat().st_ino == before
    assert (entry / "entry.json").stat().st_mtime_ns > read
    for one, other in zip(read_heatmaps(tmp_path / "here"), read_heatmaps(tmp_path / "there"), strict=True):
        assert torch.allclose(one.heatmap, other.heatmap, atol=1e-4)


def test_local_cluster_ends_with_the_run(tmp_path):
    """`explain --ray` starts a cluster on this machine, of which no process is left."""
    data = photos(tmp_path / "photos", 5)
    program = "import sys; from fusioncam.cli.main import main; sys.argv[0] = 'fusioncam'; main()"
    args = [
        "explain",
        str(data),
        "--model",
        "samples:small",
        "-m",
        "grad-cam",
        "--ray",
        "--workers",
        "1",
        "-o",
        "maps",
    ]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    with tempfile.TemporaryDirectory(
        prefix="r", dir="/tmp"
    ) as short:  # the path of a socket may have at most 107 characters
        env = {**os.environ, "PYTHONPATH": paths, "HOME": str(tmp_path), "RAY_TMPDIR": short}
        done = subprocess.run([sys.executable, "-c", program, *args], env=env, capture_output=True, text=True)
        until(lambda: not any(short in line for line in command_lines()))

    assert (done.returncode, done.stderr) == (0, "")
    assert "5 heatmaps of 5 images: maps" in done.stdout
    assert len(list(read_heatmaps("maps"))) == 5


def command_lines():
    """Yield the command lines of all processes."""
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and int(process.name) != os.getpid():
                yield (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # the process ended meanwhile
            continue
