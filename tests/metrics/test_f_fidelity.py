"""F-Fidelity: in expectation by hand, and against a reference implementation with the same draws."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from fusioncam import ExplainedModel
from fusioncam.errors import SettingError, UnknownNameError
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.f_fidelity import FFidelity, RandomRemoval
from fusioncam.metrics.passes import MetricPasses
from linear_case import heatmaps_for, linear_case
from toys import problem
from twins import metrics as twins

pytestmark = pytest.mark.usefixtures("one_thread")
HEATMAP = torch.tensor([[[0.9, 0.5], [0.3, 0.1]]])


def test_the_expected_value_by_hand():
    """The logit is a quarter of 4 + 2 + 2 + 0. Each of two important pixels is removed with probability 0.2 / 0.5."""
    model, x = linear_case()
    metric = FFidelity("logit", sizes=(0.5,), alpha=0.5, beta=0.2, samples=4000)
    important = FFidelity("logit", sizes=(0.5,), alpha=0.5, beta=0.2, samples=4000, part="important")

    assert metric(model, x, 0, HEATMAP).item() == pytest.approx(0.4 * (6 - 2) / 4, abs=0.03)
    assert important(model, x, 0, HEATMAP).item() == pytest.approx(0.4 * 6 / 4, abs=0.03)


def test_alpha_limits_what_is_removed_of_a_small_part():
    """A quarter is one pixel: it is removed with probability alpha, each of the others with beta / (3 / 4)."""
    model, x = linear_case()
    metric = FFidelity("logit", sizes=(0.25,), alpha=0.3, beta=0.15, samples=4000)

    assert metric(model, x, 0, HEATMAP).item() == pytest.approx((0.3 * 4 - 0.2 * 4) / 4, abs=0.03)


@pytest.mark.parametrize("readout", ["probability", "top-1"])
@pytest.mark.parametrize("toy_name", ["small", "signal", "volume"])
def test_it_equals_the_reference_implementation(toy_name, readout):
    """One draw, one part and one pixel at a time."""
    toy, x, target = problem(toy_name, images=2)
    toy, x = toy.double(), x.double()
    maps, sizes = heatmaps_for(x), (0.2, 0.6)
    draws = torch.rand(3, *x.shape[2:], generator=torch.Generator().manual_seed(7))
    arguments = {"readout": readout, "sizes": sizes, "alpha": 0.6, "beta": 0.3, "samples": 3, "seed": 7}

    for part in ("difference", "important"):
        values = FFidelity(**arguments, part=part)(ExplainedModel(toy), x, target, maps)

        slow = []
        for one, c, L in zip(x, target.tolist(), maps, strict=True):
            pairs = [twins.f_fidelity(toy, one, c, L, size, 0.6, 0.3, draws, readout) for size in sizes]
            slow.append(sum(plus - (minus if part == "difference" else 0) for plus, minus in pairs) / len(sizes))
        assert values.tolist() == pytest.approx(slow, abs=1e-9)


def test_both_parts_are_hidden_by_the_same_draws():
    """A pixel is hidden in one part or in the other, never in both."""
    ranks = torch.arange(64, dtype=torch.int32).reshape(1, 8, 8)
    index = torch.arange(2), torch.zeros(2, dtype=torch.long)

    first, second = (
        RandomRemoval(ranks, [32], [0.5], 2, 0, important=important)[index] for important in (True, False)
    )

    assert first[:, 4:].all()
    assert second[:, :4].all()
    assert (~first).sum() > 10
    assert (~second).sum() > 10


def test_the_cost_is_the_number_of_passes():
    """Two passes for each size and sample, or one and the whole image."""
    toy, x, target = problem("small", images=1)
    for metric, passes in ((FFidelity(samples=2), 20), (FFidelity(samples=2, part="important"), 11)):
        with count_passes() as counter:
            metric(ExplainedModel(toy), x, target, heatmaps_for(x))
        assert counter.passes == passes
    assert FFidelity(samples=2, part="important").cost == MetricPasses(11)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (partial(FFidelity, sizes=()), SettingError, "sizes must be shares of pixels in increasing order"),
        (partial(FFidelity, sizes=(0.5, 0.1)), SettingError, "sizes must be shares of pixels in increasing order"),
        (partial(FFidelity, sizes=(0.5, 1.0)), SettingError, "sizes must be numbers above 0 and below 1, got 1.0"),
        (partial(FFidelity, alpha=0), SettingError, "alpha must be a number above 0 and at most 1, got 0"),
        (partial(FFidelity, beta=2), SettingError, "beta must be a number above 0 and at most 1, got 2"),
        (partial(FFidelity, samples=0), SettingError, "samples must be a positive integer, got 0"),
        (
            partial(FFidelity, part="other"),
            UnknownNameError,
            "unknown part 'other'; choose from difference, important",
        ),
    ],
)
def test_wrong_settings_are_reported(make, error, message):
    """The error is raised on construction."""
    with pytest.raises(error, match=message):
        make()
