"""Many passes: in chunks, counted, and with less at once where memory ends."""

from __future__ import annotations

import pytest
import torch

from fusioncam.errors import FusionCamWarning
from fusioncam.sweep import CPU_CHUNK, GPU_CHUNK, default_chunk, metered, sweep

JOBS = torch.arange(20).reshape(10, 2)


def total(jobs):
    """Score a job by its sum."""
    return jobs.sum(1).float()


@pytest.mark.parametrize("chunk", [1, 3, 10, 99])
def test_sweep_scores_every_job_once_and_in_order(chunk):
    """Chunks of any size give the same scores."""
    sizes = []
    scores = sweep(lambda jobs: (sizes.append(len(jobs)), total(jobs))[1], JOBS, chunk)

    assert scores.equal(total(JOBS))
    assert max(sizes) <= chunk


def test_no_jobs_no_passes():
    """Nothing to do is no error."""
    with metered() as meter:
        assert sweep(total, JOBS[:0], 4).shape == (0,)
    assert meter.passes == 0


def test_out_of_memory_halves_the_chunk_and_goes_on():
    """What was scored is not scored again, and a warning says what changed."""
    seen = []

    def greedy(jobs):
        if len(jobs) > 3:
            raise torch.OutOfMemoryError("no room")
        seen.extend(jobs[:, 0].tolist())
        return total(jobs)

    with pytest.warns(FusionCamWarning, match="going on with") as warned:
        scores = sweep(greedy, JOBS, 8)

    assert scores.equal(total(JOBS))
    assert seen == JOBS[:, 0].tolist()
    assert len(warned) == 2  # 8 to 4 to 2


def test_out_of_memory_with_one_at_a_time_is_told():
    """Less than one picture at once is not to be had."""

    def hopeless(jobs):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        sweep(hopeless, JOBS, 1)


def test_meters_count_and_report():
    """A meter knows what was planned and what is done, and nests."""
    told = []
    with metered(lambda meter: told.append((meter.passes, meter.planned))) as outer:
        with metered() as inner:
            sweep(total, JOBS, 4)
        sweep(total, JOBS, 10)

    assert (inner.passes, inner.planned) == (10, 10)
    assert (outer.passes, outer.planned) == (20, 20)
    assert told == [(0, 10), (4, 10), (8, 10), (10, 10), (10, 20), (20, 20)]


def test_default_chunk_follows_the_device():
    """CPUs like small chunks, GPUs large ones."""
    assert default_chunk(torch.device("cpu")) == CPU_CHUNK
    assert default_chunk(torch.device("cuda")) == GPU_CHUNK
