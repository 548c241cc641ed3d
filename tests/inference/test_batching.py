"""Test scoring in batches: order, counting, threads, timing of batch sizes, and running out of memory."""

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
    """Return the sum of each job as its score."""
    return jobs.sum(1).float()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 3, 10, 99])
def test_every_job_is_scored_once_and_in_order(size, workers):
    """Batches of any size return the same scores, for any number of workers."""
    sizes = []
    scores = score_in_batches(
        [lambda jobs: (sizes.append(len(jobs)), total(jobs))[1]] * workers, JOBS, ChunkSizeTuner((size,))
    )

    assert scores.equal(total(JOBS))
    assert scores.dtype is torch.float32
    assert max(sizes) <= size
    assert sum(sizes) == len(JOBS)


def test_no_jobs_need_no_passes():
    """An empty list of jobs is not an error."""
    with count_passes() as counter:
        assert score_in_batches([total], JOBS[:0], ChunkSizeTuner((4,))).shape == (0,)
    assert counter.passes == 0


def test_workers_run_in_parallel_each_with_its_own_scorer():
    """Two scorers wait for each other, which would block forever one after the other."""
    barrier = threading.Barrier(2, timeout=20)
    threads = {0: set(), 1: set()}

    def scorer(number):
        def score(jobs):
            threads[number].add(threading.get_ident())
            barrier.wait()
            assert not torch.is_grad_enabled()
            return total(jobs)

        return score

    with torch.no_grad():
        scores = score_in_batches([scorer(0), scorer(1)], JOBS, ChunkSizeTuner((1,)))

    assert scores.equal(total(JOBS))
    assert threading.get_ident() not in threads[0] | threads[1]


def test_workers_share_the_threads_and_restore_their_number():
    """Each of two workers uses half of the threads; afterwards this thread and new ones have all of them again."""
    before, counts, later = torch.get_num_threads(), [], []
    torch.set_num_threads(4)
    try:
        score_in_batches(
            [lambda jobs: (counts.append(torch.get_num_threads()), total(jobs))[1]] * 2, JOBS, ChunkSizeTuner((2,))
        )
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert (set(counts), torch.get_num_threads(), later) == ({2}, 4, [4])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2])
def test_error_of_a_scorer_stops_the_scoring(workers):
    """The error is raised unchanged, and the remaining jobs are not scored."""
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
def test_out_of_memory_halves_the_batch_size(workers):
    """No job is scored twice, a warning states the new size, and the tuner keeps it."""
    seen, tuner = [], ChunkSizeTuner((8,))

    def greedy(jobs):
        if len(jobs) > 3:
            raise torch.OutOfMemoryError("no room")
        seen.extend(jobs[:, 0].tolist())
        return total(jobs)

    with pytest.warns(FusionCamWarning, match="continuing with") as warned:
        scores = score_in_batches([greedy] * workers, JOBS, tuner)

    assert scores.equal(total(JOBS))
    assert sorted(seen) == JOBS[:, 0].tolist()
    assert tuner.size <= 3
    if workers == 1:
        assert len(warned) == 2  # 8 to 4 to 2


def test_out_of_memory_with_a_single_job_is_raised():
    """A batch cannot be smaller than one job."""

    def hopeless(jobs):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        score_in_batches([hopeless], JOBS, ChunkSizeTuner((1,)))


# -- batch sizes ------------------------------------------------------------------------------------------------


def scorer_with_clock(monkeypatch, seconds):
    """Return a scorer whose jobs take ``seconds[size]`` by a fake clock, and the list of its batch sizes."""
    now, sizes = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def score(jobs):
        sizes.append(len(jobs))
        now[0] += len(jobs) * seconds.get(len(jobs), 1.0)
        return total(jobs)

    return score, sizes


@pytest.mark.parametrize(("seconds", "best"), [({4: 1.0, 8: 0.5}, 8), ({4: 1.0, 8: 2.0}, 4), ({4: 1.0, 8: 0.97}, 4)])
def test_faster_size_is_found_and_stored(monkeypatch, seconds, best):
    """With many jobs each size is timed and one is kept that is faster by a margin; the next call times nothing."""
    score, sizes = scorer_with_clock(monkeypatch, seconds)
    jobs, tuner = torch.arange(400.0).reshape(200, 2), ChunkSizeTuner((4, 8))

    assert score_in_batches([score], jobs, tuner).equal(total(jobs))
    assert (set(sizes), tuner.size) == ({4, 8}, best)
    assert tuner.best == seconds[best]
    assert sizes.count(best) > 15
    sizes.clear()
    score_in_batches([score], jobs, tuner)
    assert set(sizes) == {best}


def test_few_jobs_are_not_timed(monkeypatch):
    """With few jobs the first size is used."""
    score, sizes = scorer_with_clock(monkeypatch, {8: 0.1})
    tuner = ChunkSizeTuner((4, 8))
    score_in_batches([score], torch.zeros(64, 2), tuner)

    assert set(sizes) == {4}
    assert tuner.best is None


def test_first_batch_of_a_size_is_not_timed(monkeypatch):
    """The first batch includes the time of setting up."""
    first = {4: 100.0, 8: 100.0}
    score, _ = scorer_with_clock(monkeypatch, {4: 1.0, 8: 0.5})

    def with_setup(jobs):
        if extra := first.pop(len(jobs), 0):
            time.perf_counter.__closure__[0].cell_contents[0] += extra
        return score(jobs)

    tuner = ChunkSizeTuner((4, 8))
    score_in_batches([with_setup], torch.zeros(200, 2), tuner)

    assert tuner.seconds == {4: 1.0, 8: 0.5}


def test_counters_count_and_report():
    """A counter counts planned and finished passes, also those of nested blocks."""
    reports = []
    with count_passes(lambda counter: reports.append((counter.passes, counter.planned))) as outer:
        with count_passes() as inner:
            score_in_batches([total], JOBS, ChunkSizeTuner((4,)))
        score_in_batches([total], JOBS, ChunkSizeTuner((10,)))

    assert (inner.passes, inner.planned) == (10, 10)
    assert (outer.passes, outer.planned) == (20, 20)
    assert reports == [(0, 10), (4, 10), (8, 10), (10, 10), (10, 20), (20, 20)]
