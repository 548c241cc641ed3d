"""The cost of a heatmap: exact numbers of passes, and the plausibility of seconds and memory."""

from __future__ import annotations

import mmap
import sys

import pytest
import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import MethodError, ShapeError, UnknownNameError
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.costs import count_passes
from fusioncam.metrics import cost
from fusioncam.metrics.cost import QUANTITIES, Cost
from toys import problem


def explained(images=2):
    """Return a toy network's model, inputs, targets and heatmaps."""
    toy, x, target = problem("small", images)
    return ExplainedModel(toy, "features"), x, target, torch.zeros(images, 8, 8, dtype=torch.float64)


@pytest.mark.parametrize(
    ("method", "whole", "partial"),
    [("grad-cam", 1, 0), ("score-cam", 7, 0), ("ablation-cam", 2, 6), ("random", 0, 0)],
)
def test_passes(method, whole, partial):
    """Grad-CAM takes one pass, Score-CAM one and six masked ones, Ablation-CAM two and six partial ones."""
    model, x, target, heatmaps = explained()

    passes = Cost("passes")(model, x, target, heatmaps, method=METHODS[method])
    parts = Cost("partial passes")(model, x, target, heatmaps, method=METHODS[method])

    assert passes.tolist() == [whole, whole]
    assert passes.dtype == heatmaps.dtype
    assert parts.tolist() == [partial, partial]


def test_each_image_is_measured_alone_after_a_warm_up():
    """The method is called once for each of three images, and once more for the first."""
    model, x, target, heatmaps = explained(3)
    calls = []

    def record(model, x, target):
        calls.append((x.clone(), target.tolist()))
        return x[:, 0]

    Cost()(model, x, target, heatmaps, method=record)

    assert [len(one) for one, _ in calls] == [1] * 4
    for (one, index), n in zip(calls, (0, 0, 1, 2), strict=True):
        assert one.equal(x[n : n + 1])
        assert index == [target[n].item()]


def test_seconds_are_measured_by_the_clock(monkeypatch):
    """The seconds of the warm-up are not counted."""
    model, x, target, heatmaps = explained()
    clock = [0.0]
    took = iter([100.0, 2.0, 5.0])
    monkeypatch.setattr(cost, "perf_counter", lambda: clock[0])

    def slow(model, x, target):
        clock[0] += next(took)
        return x[:, 0]

    assert Cost("seconds")(model, x, target, heatmaps, method=slow).tolist() == [2, 5]


@pytest.mark.skipif(sys.platform != "linux", reason="measured on Linux only")
def test_peak_memory_of_a_large_tensor():
    """A temporary allocation of 200 MiB is measured; a method without allocations is near 0."""
    model, x, target, heatmaps = explained(1)

    def large(model, x, target):
        with mmap.mmap(-1, 200 * 2**20) as memory:  # unmapped at once, where an allocator might keep it
            for page in range(0, len(memory), mmap.PAGESIZE):
                memory[page] = 1
        return x[:, 0]

    def small(model, x, target):
        return x[:, 0]

    much, little = (Cost("peak memory")(model, x, target, heatmaps, method=one).item() for one in (large, small))
    if much != much:
        pytest.skip("this kernel does not allow the peak to be reset")
    assert 190 < much < 400
    assert 0 <= little < 50


def test_memory_where_it_cannot_be_measured(monkeypatch):
    """The memory is NaN, and the other quantities are still measured."""
    model, x, target, heatmaps = explained()
    monkeypatch.setattr(cost, "_reset_resident_peak", lambda: False)

    assert Cost("peak memory")(model, x, target, heatmaps, method=METHODS["grad-cam"]).isnan().all()
    assert Cost("passes")(model, x, target, heatmaps, method=METHODS["grad-cam"]).tolist() == [1, 1]


def test_one_measurement_serves_all_quantities():
    """With cached passes the method runs once per image, and earlier cached passes are not used."""
    model, x, target, _ = explained()
    method = METHODS["fusion-cam"]
    calls = []

    def record(model, x, target):
        calls.append(1)
        return method(model, x, target)

    with cached_passes():
        heatmaps = method(model, x, target)
        passes = Cost("passes")(model, x, target, heatmaps, method=record)
        for quantity in QUANTITIES:
            Cost(quantity)(model, x, target, heatmaps, method=record)

    assert len(calls) == 3
    with count_passes() as counter:
        method(model, x[:1], target[:1])
    assert passes.tolist() == [counter.passes] * 2


def test_wrong_input_is_reported():
    """The method is missing, heatmaps do not fit the images, or the quantity is unknown."""
    model, x, target, heatmaps = explained()

    with pytest.raises(MethodError, match="needs the method that made the heatmaps"):
        Cost()(model, x, target, heatmaps)
    with pytest.raises(ShapeError, match="heatmaps of x"):
        Cost()(model, x, target, heatmaps[:1], method=METHODS["grad-cam"])
    with pytest.raises(UnknownNameError, match=r"unknown quantity 'memory'; did you mean 'peak memory'"):
        Cost("memory")
