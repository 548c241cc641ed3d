"""Local workers and the pool: every job runs once, even if workers die.

Ray is replaced by a fake here; ``test_ray.py`` uses the real one.
"""

from __future__ import annotations

import re
import sys
import types
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from fusioncam.distributed.ray_connection import ray_pool, worker_capacity
from fusioncam.distributed.ray_pool import TRIES, Pool, Request
from fusioncam.distributed.workers import FailedJob, LocalWorkers
from fusioncam.errors import ClusterError, MissingExtraError, UnknownNameError
from listeners import Notes

# every form in which a file may import Ray
RAY = re.compile(r'import ray\b|from ray\b|extra\("\w+", "ray"')


class RayError(Exception):
    """The base class of Ray's errors."""


class RayTaskError(RayError):
    """Ray's wrapper around the exception of a call."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Actor:
    """An actor of the fake: a call runs when its result is requested."""

    def __init__(self, ray, make):
        self.ray, self.make, self.inside, self.dead = ray, make, None, False

    def __getattr__(self, name):
        """Return an object whose ``remote`` records a call."""
        return types.SimpleNamespace(remote=lambda *words: self.ray.call(self, name, words))


class Ray:
    """The part of Ray that a pool uses.

    ``ends(name, args)`` decides whether a call ends the process; ``room`` is the number of actors that fit.
    """

    exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, ends=lambda name, words: False, room=99):
        self.ends, self.room, self.calls, self.actors = ends, room, [], []

    def put(self, thing):
        """Return the object itself."""
        return thing

    def remote(self, kind):
        """Return the factory of an actor class."""
        make = types.SimpleNamespace(remote=lambda *words: self._actor(kind))
        return types.SimpleNamespace(options=lambda **_: make)

    def _actor(self, kind):
        self.actors.append(Actor(self, kind))
        return self.actors[-1]

    def call(self, actor, name, words):
        """Record a call and return its number."""
        self.calls.append((actor, name, words))
        return len(self.calls) - 1

    def wait(self, answers, num_returns, timeout):
        """Return the oldest call of an actor that has room as ready."""
        active = [one for one in self.actors if not one.dead][: self.room]
        ready = [one for one in sorted(answers) if self.calls[one][0] in active or self.calls[one][0].dead]
        return ready[:1], ready[1:]

    def get(self, answer):
        """Run the call and return its result."""
        actor, name, words = self.calls[answer]
        if actor.dead or self.ends(name, words):
            actor.dead = True
            raise RayError("Worker exit type: SYSTEM_ERROR")
        try:
            if name == "set_up":
                actor.inside = words[0]()
                return None
            return list(actor.inside(words[0]))
        except Exception as error:
            raise RayTaskError(error) from None

    def kill(self, actor):
        """End an actor."""
        actor.dead = True

    def available_resources(self):
        """Return the free resources."""
        return {"CPU": 1.0}


def doubling():
    """Return a function that doubles numbers."""
    return lambda jobs: [2 * job for job in jobs]


def pool(ray, **request):
    """Return a pool on the fake, and the list of its notes."""
    listener = Notes()
    return Pool(ray, Request(**{"workers": 2, **request}), listener), listener.notes


# -- jobs ------------------------------------------------------------------------------------------------------


def test_local_workers_set_up_once_and_only_for_jobs():
    """Jobs run in order, in batches."""
    set_ups = []

    def set_up():
        set_ups.append(1)
        return lambda jobs: [(one, len(jobs)) for one in jobs]

    assert list(LocalWorkers().run(set_up, [])) == []
    assert set_ups == []
    assert list(LocalWorkers(2).run(set_up, "abc")) == [("a", ("a", 2)), ("b", ("b", 2)), ("c", ("c", 1))]
    assert set_ups == [1]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_runs_once(batch_size, workers):
    """For every batch size and number of workers."""
    found = list(pool(Ray(), batch_size=batch_size, workers=workers)[0].run(doubling, range(20)))

    assert sorted(found) == [(n, 2 * n) for n in range(20)]


def test_few_jobs_are_held_at_a_time():
    """Jobs are consumed as workers become free, so that memory does not grow with their number."""
    consumed = []
    jobs = (consumed.append(n) or n for n in range(1000))
    running = pool(Ray(), batch_size=3)[0].run(doubling, jobs)
    most = max(len(consumed) - done for done, _ in enumerate(running))

    assert most <= 2 * 2 * 3 + 3


def test_workers_are_reused_by_later_runs():
    """The set-up runs again, but no process is started again."""
    ray = Ray()
    one, _ = pool(ray)
    for _ in range(3):
        assert len(list(one.run(doubling, range(4)))) == 4
    one.close()

    assert len(ray.actors) == 2
    assert all(actor.dead for actor in ray.actors)
    assert list(pool(ray)[0].run(doubling, [])) == []
    assert len(ray.actors) == 2


def test_jobs_of_dead_workers_are_retried():
    """Each job has one result, and each death is noted."""
    seen = Counter()

    def ends(name, words):
        seen[name] += 1
        return name == "work" and seen["work"] in (2, 5, 6)

    one, notes = pool(Ray(ends), batch_size=2)

    assert sorted(one.run(doubling, range(20))) == [(n, 2 * n) for n in range(20)]
    assert len(notes) == 3
    assert "SYSTEM_ERROR" in notes[0]


def test_lost_result_does_not_fail_its_job():
    """The job before the deadly one was finished, but its result is lost whenever both are on one worker."""
    ray = Ray()

    def ends(name, words):
        return name == "work" and 6 in [*words[0], *next_jobs(words[0])]

    def next_jobs(jobs):
        """Return the jobs of the next call of the same actor."""
        actor = next(call for call in ray.calls if call[1] == "work" and call[2][0] is jobs)[0]
        after = [call[2][0] for call in ray.calls if call[0] is actor and call[1] == "work"]
        return next((later for now, later in pairwise(after) if now is jobs), [])

    ray.ends = ends
    found = dict(pool(ray, workers=1)[0].run(doubling, range(12)))

    assert isinstance(found.pop(6), FailedJob)
    assert found == {n: 2 * n for n in range(12) if n != 6}


@pytest.mark.parametrize("batch_size", [1, 4])
def test_only_the_deadly_job_fails(batch_size):
    """It fails after the allowed tries in which it was alone; jobs queued with it succeed."""
    tries = []

    def ends(name, words):
        if name == "work" and 7 in words[0]:
            tries.append(len(words[0]))
            return True
        return False

    found = dict(pool(Ray(ends), batch_size=batch_size)[0].run(doubling, range(20)))

    # the first time the worker also held other jobs
    assert len(tries) == 1 + TRIES
    assert isinstance(found.pop(7), FailedJob)
    assert found == {n: 2 * n for n in range(20) if n != 7}


def test_three_random_deaths_fail_no_job():
    """Jobs that were held together are retried alone before any of them fails."""
    count = Counter()

    def ends(name, words):
        count[name] += 1
        return name == "work" and count["work"] <= 3

    found = dict(pool(Ray(ends), workers=1, batch_size=5)[0].run(doubling, range(5)))
    assert found == {n: 2 * n for n in range(5)}


def test_workers_that_never_start_are_an_error():
    """They do not lead to an endless loop."""
    with pytest.raises(ClusterError, match=r"3 workers in a row ended before .* SYSTEM_ERROR"):
        list(pool(Ray(lambda name, words: name == "set_up"))[0].run(doubling, range(3)))


def test_occasional_failed_starts_are_no_error():
    """Only failed starts in a row, without a finished job between them, are an error."""
    count = Counter()

    def ends(name, words):
        count[name] += 1
        return count[name] % 2 == 0 if name == "set_up" else 3 in words[0]

    found = dict(pool(Ray(ends), workers=1)[0].run(doubling, range(8)))
    assert len(found) == 8
    assert count["set_up"] > 2 * TRIES


@pytest.mark.parametrize("at", ["set_up", "work"])
def test_errors_of_the_request_are_raised(at):
    """An exception of a set-up or a job is raised in the driver."""

    def fails(*_):
        raise UnknownNameError("no such layer")

    def set_up():
        return fails

    with pytest.raises(UnknownNameError, match="no such layer"):
        list(pool(Ray())[0].run(fails if at == "set_up" else set_up, range(3)))


def test_stalled_run_reports_what_is_pending():
    """A full cluster does not hang a run."""
    with pytest.raises(
        ClusterError, match=r"0 seconds\. In progress: none; 2 of 2 workers wait .* free are 1 CPU and 0 GPU"
    ):
        list(pool(Ray(room=0), patience=0.1)[0].run(doubling, range(3)))


def test_run_uses_the_workers_that_fit():
    """Workers that wait for room receive no jobs."""
    assert len(list(pool(Ray(room=1), workers=3)[0].run(doubling, range(9)))) == 9


# -- requests and capacity ------------------------------------------------------------------------------------


def node(cpus, gpus=0, active=True):
    """Return a node as Ray describes it."""
    return {"Alive": active, "Resources": {"CPU": float(cpus), "GPU": float(gpus)}}


@pytest.mark.parametrize(
    ("nodes", "request_", "workers"),
    [
        ([node(4)], Request(), 4),
        ([node(4), node(3)], Request(cpus=2), 3),
        ([node(4), node(4, active=False)], Request(), 4),
        ([node(64, 4)], Request(gpus=0.5, cpus=2), 8),
        ([node(4, 4)], Request(gpus=1, cpus=2), 2),
        ([node(4)], Request(workers=3), 3),
    ],
)
def test_worker_capacity(nodes, request_, workers):
    """A worker fits on one active node."""
    assert worker_capacity(nodes, request_) == workers


def test_cluster_that_is_too_small():
    """The error states what the cluster has and what was requested."""
    message = r"has 1 nodes \(2 CPU, 0 GPU\): room for 2 workers of 1 CPU and 0 GPU, but 5 were requested"
    with pytest.raises(ClusterError, match=message):
        worker_capacity([node(2)], Request(workers=5))
    with pytest.raises(ClusterError, match="room for 0 workers of 1 CPU and 1 GPU, but 1 were requested"):
        worker_capacity([node(2)], Request(gpus=1))


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"cpus": 1.5}, {"batch_size": True}, {"gpus": 1.5}, {"gpus": -1}, {"patience": 0}]
)
def test_invalid_requests(wrong):
    """Values out of range are errors before anything starts."""
    with pytest.raises(ClusterError):
        Request(**wrong)


def test_address_without_a_listener():
    """The error comes at once, while Ray itself would retry for a long time."""
    pytest.importorskip("ray")
    with pytest.raises(ClusterError, match=r"no Ray cluster at '127.0.0.1:9': .*refused"), ray_pool("127.0.0.1:9"):
        pass


def test_missing_ray_names_the_extra(monkeypatch):
    """The error says how to install Ray."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'clusters need ray: pip install "fusioncam\[ray\]"'), ray_pool():
        pass


def test_one_file_imports_ray():
    """Importing the library does not import Ray."""
    source = Path(sys.modules["fusioncam"].__file__).parent
    importers = {path.name for path in source.rglob("*.py") if RAY.search(path.read_text())}
    assert importers == {"ray_connection.py"}
