"""Many passes: in chunks, counted, and with less at once where memory ends."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from fusioncam.errors import FusionCamWarning
from fusioncam.inference.batching import ChunkSizeTuner, score_in_batches
from fusioncam.inference.costs import count_passes

JOBS = torch.arange(20).reshape(10, 2)


def total(jobs):
    """Score a job by its sum."""
    return jobs.sum(1).float()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("chunk", [1, 3, 10, 99])
def test_sweep_scores_every_job_once_and_in_order(chunk, workers):
    """Chunks of any size give the same scores, whoever works on them."""
    sizes = []
    scores = score_in_batches(
        [lambda jobs: (sizes.append(len(jobs)), total(jobs))[1]] * workers, JOBS, ChunkSizeTuner((chunk,))
    )

    assert scores.equal(total(JOBS))
    assert scores.dtype is torch.float32
    assert max(sizes) <= chunk
    assert sum(sizes) == len(JOBS)


def test_no_jobs_no_passes():
    """Nothing to do is no error."""
    with count_passes() as meter:
        assert score_in_batches([total], JOBS[:0], ChunkSizeTuner((4,))).shape == (0,)
    assert meter.passes == 0


def test_workers_run_at_the_same_time_each_with_its_scorer():
    """Two scorers wait for each other: one alone would wait for ever; none is used by two threads at once."""
    both = threading.Barrier(2, timeout=20)
    threads = {0: set(), 1: set()}

    def scorer(number):
        def score(jobs):
            threads[number].add(threading.get_ident())
            both.wait()
            assert not torch.is_grad_enabled()
            return total(jobs)

        return score

    with torch.no_grad():
        scores = score_in_batches([scorer(0), scorer(1)], JOBS, ChunkSizeTuner((1,)))

    assert scores.equal(total(JOBS))
    assert threading.get_ident() not in threads[0] | threads[1]


def test_workers_share_the_threads_and_give_them_back():
    """Each of two workers gets half of the threads; the caller has as many as before, and so have threads to come."""
    before, seen, later = torch.get_num_threads(), [], []
    torch.set_num_threads(4)
    try:
        score_in_batches(
            [lambda jobs: (seen.append(torch.get_num_threads()), total(jobs))[1]] * 2, JOBS, ChunkSizeTuner((2,))
        )
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert (set(seen), torch.get_num_threads(), later) == ({2}, 4, [4])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_scorer_is_told_and_the_rest_is_left_undone(workers):
    """The error comes out as it is, and not every job is tried."""
    seen = []

    def score(jobs):
        seen.append(len(jobs))
        if len(seen) > 1:
            raise KeyError("broken")
        return total(jobs)

    with pytest.raises(KeyError, match="broken"):
        score_in_batches([score] * workers, torch.zeros(1000, 2), ChunkSizeTuner((1,)))
    assert len(seen) < 1000


@pytest.mark.parametrize("workers", [1, 2])
def test_out_of_memory_halves_the_chunk_and_goes_on(workers):
    """What was scored is not scored again, a warning says what changed, and the pace is kept."""
    seen, pace = [], ChunkSizeTuner((8,))

    def greedy(jobs):
        if len(jobs) > 3:
            raise torch.OutOfMemoryError("no room")
        seen.extend(jobs[:, 0].tolist())
        return total(jobs)

    with pytest.warns(FusionCamWarning, match="going on with") as warned:
        scores = score_in_batches([greedy] * workers, JOBS, pace)

    assert scores.equal(total(JOBS))
    assert sorted(seen) == JOBS[:, 0].tolist()
    assert pace.size <= 3
    if workers == 1:
        assert len(warned) == 2  # 8 to 4 to 2


def test_out_of_memory_with_one_at_a_time_is_told():
    """Less than one image at once is not to be had."""

    def hopeless(jobs):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        score_in_batches([hopeless], JOBS, ChunkSizeTuner((1,)))


# -- how many at once -----------------------------------------------------------------------------------------


def clocked(monkeypatch, seconds):
    """Have a job take ``seconds[chunk]`` by a clock of our own; give the scorer and what chunks it saw."""
    now, sizes = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def score(jobs):
        sizes.append(len(jobs))
        now[0] += len(jobs) * seconds.get(len(jobs), 1.0)
        return total(jobs)

    return score, sizes


@pytest.mark.parametrize(("seconds", "best"), [({4: 1.0, 8: 0.5}, 8), ({4: 1.0, 8: 2.0}, 4), ({4: 1.0, 8: 0.97}, 4)])
def test_the_faster_chunk_is_found_and_remembered(monkeypatch, seconds, best):
    """A long sweep tries each size on jobs of its own and keeps the faster by a margin; a second does not try."""
    score, sizes = clocked(monkeypatch, seconds)
    jobs, pace = torch.arange(400.0).reshape(200, 2), ChunkSizeTuner((4, 8))

    assert score_in_batches([score], jobs, pace).equal(total(jobs))
    assert (set(sizes), pace.size) == ({4, 8}, best)
    assert pace.best == seconds[best]
    assert sizes.count(best) > 15
    sizes.clear()
    score_in_batches([score], jobs, pace)
    assert set(sizes) == {best}


def test_a_short_sweep_tries_nothing(monkeypatch):
    """Where little is to be done, there is nothing to win."""
    score, sizes = clocked(monkeypatch, {8: 0.1})
    pace = ChunkSizeTuner((4, 8))
    score_in_batches([score], torch.zeros(64, 2), pace)

    assert set(sizes) == {4}
    assert pace.best is None


def test_the_first_chunk_of_a_size_is_not_timed(monkeypatch):
    """It pays for what is set up once."""
    first = {4: 100.0, 8: 100.0}
    score, _ = clocked(monkeypatch, {4: 1.0, 8: 0.5})

    def with_setup(jobs):
        if extra := first.pop(len(jobs), 0):
            time.perf_counter.__closure__[0].cell_contents[0] += extra
        return score(jobs)

    pace = ChunkSizeTuner((4, 8))
    score_in_batches([with_setup], torch.zeros(200, 2), pace)

    assert pace.seconds == {4: 1.0, 8: 0.5}


def test_meters_count_and_report():
    """A meter knows what was planned and what is done, and nests."""
    told = []
    with count_passes(lambda meter: told.append((meter.passes, meter.planned))) as outer:
        with count_passes() as inner:
            score_in_batches([total], JOBS, ChunkSizeTuner((4,)))
        score_in_batches([total], JOBS, ChunkSizeTuner((10,)))

    assert (inner.passes, inner.planned) == (10, 10)
    assert (outer.passes, outer.planned) == (20, 20)
    assert told == [(0, 10), (4, 10), (8, 10), (10, 10), (10, 20), (20, 20)]
