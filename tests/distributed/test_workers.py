"""Workers here and on Ray: every job once, whoever dies. A stand-in plays Ray; ``test_ray.py`` has the real one."""

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

# whichever way a file imports it
RAY = re.compile(r'import ray\b|from ray\b|extra\("\w+", "ray"')


class RayError(Exception):
    """Ray's root of errors."""


class RayTaskError(RayError):
    """What a call raised."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Actor:
    """An actor of the stand-in: its calls wait until somebody waits for them."""

    def __init__(self, ray, make):
        self.ray, self.make, self.inside, self.dead = ray, make, None, False

    def __getattr__(self, name):
        """Give the method that makes a call."""
        return types.SimpleNamespace(remote=lambda *words: self.ray.call(self, name, words))


class Ray:
    """As much of Ray as a pool uses: ``ends`` says of a call whether it ends the process, ``room`` how many fit."""

    exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, ends=lambda name, words: False, room=99):
        self.ends, self.room, self.calls, self.actors = ends, room, [], []

    def put(self, thing):
        """Keep nothing: give it."""
        return thing

    def remote(self, kind):
        """Take the class of an actor."""
        make = types.SimpleNamespace(remote=lambda *words: self._actor(kind))
        return types.SimpleNamespace(options=lambda **_: make)

    def _actor(self, kind):
        self.actors.append(Actor(self, kind))
        return self.actors[-1]

    def call(self, actor, name, words):
        """Write a call down."""
        self.calls.append((actor, name, words))
        return len(self.calls) - 1

    def wait(self, answers, num_returns, timeout):
        """Answer the oldest call of an actor that has room."""
        active = [one for one in self.actors if not one.dead][: self.room]
        ready = [one for one in sorted(answers) if self.calls[one][0] in active or self.calls[one][0].dead]
        return ready[:1], ready[1:]

    def get(self, answer):
        """Do the call now."""
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
        """Give what is free."""
        return {"CPU": 1.0}


def doubling():
    """Set up what doubles numbers."""
    return lambda jobs: [2 * job for job in jobs]


def pool(ray, **request):
    """Give a pool of the stand-in, and what it notes."""
    listener = Notes()
    return Pool(ray, Request(**{"workers": 2, **request}), listener), listener.notes


# -- jobs ------------------------------------------------------------------------------------------------------


def test_here_sets_up_once_and_only_for_jobs():
    """Jobs are done in order, a batch at a time."""
    made = []

    def set_up():
        made.append(1)
        return lambda jobs: [(one, len(jobs)) for one in jobs]

    assert list(LocalWorkers().run(set_up, [])) == []
    assert made == []
    assert list(LocalWorkers(2).run(set_up, "abc")) == [("a", ("a", 2)), ("b", ("b", 2)), ("c", ("c", 1))]
    assert made == [1]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_is_done_once(batch_size, workers):
    """Whatever the numbers are."""
    found = list(pool(Ray(), batch_size=batch_size, workers=workers)[0].run(doubling, range(20)))

    assert sorted(found) == [(n, 2 * n) for n in range(20)]


def test_few_jobs_are_in_hand_at_a_time():
    """Jobs are asked for as they can be done, so that memory does not grow with their number."""
    asked = []
    jobs = (asked.append(n) or n for n in range(1000))
    running = pool(Ray(), batch_size=3)[0].run(doubling, jobs)
    most = max(len(asked) - done for done, _ in enumerate(running))

    assert most <= 2 * 2 * 3 + 3


def test_workers_are_kept_from_one_run_to_the_next():
    """A network is loaded anew, a process is not."""
    ray = Ray()
    one, _ = pool(ray)
    for _ in range(3):
        assert len(list(one.run(doubling, range(4)))) == 4
    one.close()

    assert len(ray.actors) == 2
    assert all(actor.dead for actor in ray.actors)
    assert list(pool(ray)[0].run(doubling, [])) == []
    assert len(ray.actors) == 2


def test_jobs_of_workers_that_end_are_done_by_others():
    """Once each, and told."""
    seen = Counter()

    def ends(name, words):
        seen[name] += 1
        return name == "work" and seen["work"] in (2, 5, 6)

    one, notes = pool(Ray(ends), batch_size=2)

    assert sorted(one.run(doubling, range(20))) == [(n, 2 * n) for n in range(20)]
    assert len(notes) == 3
    assert "SYSTEM_ERROR" in notes[0]


def test_an_answer_that_is_lost_with_its_process_blames_no_other_job():
    """The job before the one that ends its worker was done, and nobody heard of it, as often as they go together."""
    ray = Ray()

    def ends(name, words):
        return name == "work" and 6 in [*words[0], *behind(words[0])]

    def behind(jobs):
        """Give the jobs of the next call of the same actor."""
        mine = next(call for call in ray.calls if call[1] == "work" and call[2][0] is jobs)[0]
        after = [call[2][0] for call in ray.calls if call[0] is mine and call[1] == "work"]
        return next((later for now, later in pairwise(after) if now is jobs), [])

    ray.ends = ends
    found = dict(pool(ray, workers=1)[0].run(doubling, range(12)))

    assert isinstance(found.pop(6), FailedJob)
    assert found == {n: 2 * n for n in range(12) if n != 6}


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_job_that_ends_its_workers_is_lost_and_no_other(batch_size):
    """After so many tries in which it was alone; what waited behind it is not blamed."""
    tries = []

    def ends(name, words):
        if name == "work" and 7 in words[0]:
            tries.append(len(words[0]))
            return True
        return False

    found = dict(pool(Ray(ends), batch_size=batch_size)[0].run(doubling, range(20)))

    # the first time it was not alone in hand
    assert len(tries) == 1 + TRIES
    assert isinstance(found.pop(7), FailedJob)
    assert found == {n: 2 * n for n in range(20) if n != 7}


def test_a_process_that_ends_thrice_by_chance_loses_no_job_of_a_batch():
    """Jobs that were in hand with others are tried alone before any is given up."""
    count = Counter()

    def ends(name, words):
        count[name] += 1
        return name == "work" and count["work"] <= 3

    found = dict(pool(Ray(ends), workers=1, batch_size=5)[0].run(doubling, range(5)))
    assert found == {n: 2 * n for n in range(5)}


def test_workers_that_end_before_they_have_done_anything_are_an_error():
    """Rather than a loop."""
    with pytest.raises(ClusterError, match=r"3 workers in a row ended before .* SYSTEM_ERROR"):
        list(pool(Ray(lambda name, words: name == "set_up"))[0].run(doubling, range(3)))


def test_workers_that_end_at_their_start_now_and_then_are_no_error():
    """Only those in a row, with nothing done between them."""
    count = Counter()

    def ends(name, words):
        count[name] += 1
        return count[name] % 2 == 0 if name == "set_up" else 3 in words[0]

    found = dict(pool(Ray(ends), workers=1)[0].run(doubling, range(8)))
    assert len(found) == 8
    assert count["set_up"] > 2 * TRIES


@pytest.mark.parametrize("at", ["set_up", "work"])
def test_what_is_wrong_with_the_request_is_raised(at):
    """As it would be here."""

    def fails(*_):
        raise UnknownNameError("no such layer")

    def set_up():
        return fails

    with pytest.raises(UnknownNameError, match="no such layer"):
        list(pool(Ray())[0].run(fails if at == "set_up" else set_up, range(3)))


def test_nothing_happening_is_an_error_that_says_what_is_pending():
    """A cluster that is full never hangs a run."""
    with pytest.raises(
        ClusterError, match=r"0 seconds\. In progress: none; 2 of 2 workers wait .* free are 1 CPU and 0 GPU"
    ):
        list(pool(Ray(room=0), patience=0.1)[0].run(doubling, range(3)))


def test_a_run_goes_on_with_the_workers_that_there_is_room_for():
    """Those who wait for room get no jobs."""
    assert len(list(pool(Ray(room=1), workers=3)[0].run(doubling, range(9)))) == 9


# -- what is asked of a cluster -------------------------------------------------------------------------------


def node(cpus, gpus=0, active=True):
    """Give a node as Ray tells of it."""
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
def test_as_many_workers_as_fit(nodes, request_, workers):
    """Each on one node, of those that are active."""
    assert worker_capacity(nodes, request_) == workers


def test_a_cluster_that_is_too_small_says_what_it_has_and_what_is_asked():
    """Rather than waiting for ever."""
    told = r"has 1 nodes \(2 CPU, 0 GPU\): room for 2 workers of 1 CPU and 0 GPU, but 5 were requested"
    with pytest.raises(ClusterError, match=told):
        worker_capacity([node(2)], Request(workers=5))
    with pytest.raises(ClusterError, match="room for 0 workers of 1 CPU and 1 GPU, but 1 were requested"):
        worker_capacity([node(2)], Request(gpus=1))


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"cpus": 1.5}, {"batch_size": True}, {"gpus": 1.5}, {"gpus": -1}, {"patience": 0}]
)
def test_wrong_requests_are_told(wrong):
    """Before anything is started."""
    with pytest.raises(ClusterError):
        Request(**wrong)


def test_an_address_where_nobody_listens_is_told_at_once():
    """Ray itself would try for a long time."""
    pytest.importorskip("ray")
    with pytest.raises(ClusterError, match=r"no Ray cluster at '127.0.0.1:9': .*refused"), ray_pool("127.0.0.1:9"):
        pass


def test_without_ray_the_extra_is_named(monkeypatch):
    """And nothing else happens."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'clusters need ray: pip install "fusioncam\[ray\]"'), ray_pool():
        pass


def test_no_other_file_imports_ray():
    """One way in; and importing the library does not import it."""
    source = Path(sys.modules["fusioncam"].__file__).parent
    holders = {path.name for path in source.rglob("*.py") if RAY.search(path.read_text())}
    assert holders == {"ray_connection.py"}
