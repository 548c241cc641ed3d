"""How long a run will take, before it starts."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fusioncam import ExplainedModel, load_model
from fusioncam.distributed.progress import PlannedTime
from fusioncam.explanations.planned_time import plan_time, planned_passes
from fusioncam.inference.costs import count_passes
from fusioncam.methods.registry import as_method
from fusioncam.metrics import MetricPasses


@pytest.fixture(scope="module")
def model() -> ExplainedModel:
    """A network of 6 channels."""
    return load_model("samples:small", device="cpu")


@pytest.mark.parametrize("spec", ["grad-cam", "score-cam", "fusion-cam", "fusion-cam(budget=4)", "smooth-grad-cam++"])
def test_planned_passes_are_those_that_run(model, spec):
    """For methods whose passes all start at the image, of which every channel responds to noise."""
    x = torch.randn(1, 3, *model.preprocessing.size)
    model.layers.default(x)
    with count_passes() as counter:
        as_method(spec)[1](model, x, torch.tensor([0]))
    assert planned_passes(model, [spec]) == (counter.passes, True)


def test_passes_of_metrics_and_cards_are_added(model):
    """Each metric is measured for each method; Score-CAM has 1 + 6 passes."""
    costs = [MetricPasses(57), MetricPasses(methods=5), MetricPasses()]
    assert planned_passes(model, ["score-cam", "grad-cam"], costs) == (7 + 57 + 35 + 1 + 57 + 5, True)
    rows = math.ceil(math.prod(model.preprocessing.size) / 224)
    assert planned_passes(model, ["grad-cam"], [MetricPasses(1, pixels=224)]) == (1 + rows + 1, True)
    assert planned_passes(model, ["grad-cam"], check=True) == (round(1 + 250 + 5.5), True)
    assert planned_passes(model, ["grad-cam"], [None]) == (1, False)
    assert planned_passes(model, ["grad-cam", "poly-cam"]) == (1, False)


def test_the_most_passes_are_planned(model):
    """Of a method that may stop earlier."""
    assert planned_passes(model, ["occlusion"]) == (225, True)


def test_time_is_images_times_passes_times_seconds(model, monkeypatch):
    """The fastest of three rounds of 16 passes counts, of fewer if they are slow."""
    times = iter([0, 1, 2, 2.5, 3, 7, 8, 8])
    clock = SimpleNamespace(perf_counter=lambda: next(times))
    monkeypatch.setattr("fusioncam.explanations.planned_time.time", clock)
    with count_passes() as counter:
        planned = plan_time(model, 10, ["score-cam"])
    assert counter.passes == 3 * 16
    assert planned == PlannedTime(10, 7, 0.5 / 16)
    assert planned.seconds == 10 * 7 * 0.5 / 16
    assert len(list(times)) == 2


def test_a_network_that_fails_has_no_planned_time():
    """The run reports the error."""

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("broken")

    assert plan_time(ExplainedModel(Broken()), 10, ["grad-cam"]) is None


def test_random_numbers_stay(model):
    """Two passes of a random network use none of the caller's."""
    model = ExplainedModel(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.Dropout(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    )
    before = torch.random.get_rng_state()
    plan_time(model, 2, ["grad-cam"])
    assert torch.equal(torch.random.get_rng_state(), before)
