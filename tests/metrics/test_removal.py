"""Pixel removal and ROAD: by hand, against reference implementations, and with many equal pixels."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from fusioncam import ExplainedModel
from fusioncam.errors import NonFiniteError, SettingError, UnknownNameError
from fusioncam.functional.imputation import Imputation
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.registry import METRICS
from fusioncam.metrics.removal import ROAD, LeRF, MoRF
from linear_case import heatmaps_for, linear_case
from selection import slow_unless
from toys import TOYS, problem
from twins import metrics as twins

pytestmark = pytest.mark.usefixtures("one_thread")


def test_removal_by_hand():
    """The logit is a quarter of 4 + 2 + 2 + 0; the value is the mean loss, including the first step."""
    model, x = linear_case()
    heatmap = torch.tensor([[[0.9, 0.5], [0.3, 0.1]]])
    most, least = MoRF(readout="logit", steps=4), LeRF(readout="logit", steps=4)

    assert most.curve(model, x, 0, heatmap)[:, 0].tolist() == [2, 1, 0.5, 0, 0]
    assert least.curve(model, x, 0, heatmap)[:, 0].tolist() == [2, 2, 1.5, 1, 0]
    assert most(model, x, 0, heatmap).tolist() == pytest.approx([(0 + 1 + 1.5 + 2 + 2) / 5])
    assert least(model, x, 0, heatmap).tolist() == pytest.approx([(0 + 0 + 0.5 + 1 + 2) / 5])
    half = MoRF(readout="logit", steps=2, upto=0.5)
    assert half.shares(x).tolist() == [0, 0.25, 0.5]
    assert half(model, x, 0, heatmap).tolist() == pytest.approx([(0 + 1 + 1.5) / 3])


def test_road_by_hand():
    """Imputing the first pixel as (2 + 2 + 0 / 2) / 2.5 lowers the logit, imputing the last one raises it."""
    model, x = linear_case()
    heatmap = torch.tensor([[[0.9, 0.5], [0.3, 0.1]]])
    metric = ROAD(readout="logit", removed=(0.25,), noise=0)
    without_first, without_last = (2 + 2 + 0 / 2) / 2.5, (2 + 2 + 4 / 2) / 2.5

    most, least = metric.curves(model, x, 0, heatmap)[:, 0, 0].tolist()

    assert most == pytest.approx((without_first + 4) / 4)
    assert least == pytest.approx((8 + without_last) / 4)
    assert metric(model, x, 0, heatmap).tolist() == pytest.approx([(least - most) / 2])


def test_an_image_of_one_colour_is_imputed_exactly():
    """The image is restored after any removal, except that of all pixels."""
    model, x = linear_case((3.0,) * 4)
    metric = MoRF(readout="logit", fill="linear", noise=0, steps=4)

    assert metric.curve(model, x, 0, torch.rand(1, 2, 2))[:, 0].tolist() == pytest.approx([3, 3, 3, 3, 0], abs=1e-4)


@pytest.mark.parametrize("seed", [0, slow_unless(False, 1)])
@pytest.mark.parametrize("toy_name", TOYS)
def test_removal_equals_the_reference_implementation(toy_name, seed):
    """Pixels are removed or imputed, the most or the least relevant first, one image and one step at a time."""
    toy, x, target = problem(toy_name, seed=seed)
    maps, model = (heatmaps_for(x, seed) * 20).round() / 20, ExplainedModel(toy)
    counts = [round(share * maps[0].numel()) for share in (0, 0.2, 0.4, 0.6, 0.8)]
    for kind, sign in ((MoRF, 1), (LeRF, -1)):
        for fill, readout in (("mean", "logit"), ("mean", "top-1"), ("linear", "probability")):
            metric = kind(readout, fill=fill, noise=0, steps=4, upto=0.8, ties="first")

            values, curves = metric(model, x, target, maps), metric.curve(model, x, target, maps)

            for n, one in enumerate(x):
                order, impute = twins.descending(sign * maps[n]), fill == "linear"
                expected = twins.perturbed(toy, one, int(target[n]), order, counts, readout, impute)
                assert curves[:, n].tolist() == pytest.approx(expected, abs=1e-4 if impute else 1e-9)
                assert float(values[n]) == pytest.approx(twins.aopc(expected), abs=1e-4 if impute else 1e-9)


@pytest.mark.parametrize("toy_name", TOYS)
def test_road_equals_the_reference_implementation(toy_name):
    """The value is half of the score without the least minus that without the most relevant pixels."""
    toy, x, target = problem(toy_name)
    maps = heatmaps_for(x)
    shares = (0.1, 0.5, 0.8)

    found = ROAD(removed=shares, noise=0, ties="first")(ExplainedModel(toy), x, target, maps)

    expected = [twins.road(toy, one, int(c), L, shares) for one, c, L in zip(x, target, maps, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


def recording_fill(shares):
    """Return a fill that appends the hidden share of each image to ``shares``."""

    def fill(x, masks):
        shares.extend((1 - masks.flatten(1).float().mean(1)).tolist())
        return torch.zeros_like(x)

    return fill


@pytest.mark.parametrize("ties", ["first", "last", "random"])
@pytest.mark.parametrize("zeros", [0.0, 0.75, 1.0])
def test_exactly_the_requested_share_is_removed(zeros, ties, monkeypatch):
    """This holds for heatmaps with many zeros too, which have no threshold for a tenth of their pixels."""
    toy, x, target = problem("pyramid", images=1)
    maps, hidden = heatmaps_for(x), []
    maps[maps < torch.quantile(maps, zeros)] = 0
    monkeypatch.setattr("fusioncam.metrics.removal.Imputation", lambda noise, seed: recording_fill(hidden))

    ROAD(removed=(0.1, 0.5, 0.9), ties=ties)(ExplainedModel(toy), x, target, maps)

    assert sorted(hidden) == pytest.approx(sorted(2 * [26 / 256, 128 / 256, 230 / 256]))


def test_both_orders_use_the_same_tie_rule():
    """The same ones of equal pixels are removed first in both orders, so a constant heatmap has the value 0."""
    toy, x, target = problem("small", images=2)
    flat = torch.full((2, 8, 8), 0.5, dtype=x.dtype)

    for ties in ("first", "last", "random"):
        assert ROAD(ties=ties, removed=(0.2, 0.6))(ExplainedModel(toy), x, target, flat).tolist() == [0, 0]


def test_the_seed_decides_noise_and_ties():
    """The same seed gives the same value, another seed another one."""
    toy, x, target = problem("small", images=1)
    model, flat = ExplainedModel(toy), torch.zeros(1, 8, 8, dtype=x.dtype)
    curve = partial(MoRF.curve, model=model, x=x, target=target, heatmaps=flat)

    assert curve(MoRF(fill="linear")).equal(curve(MoRF(fill="linear")))
    assert not curve(MoRF(fill="linear")).equal(curve(MoRF(fill="linear", seed=1)))
    assert not curve(MoRF(fill="linear", ties="first")).equal(curve(MoRF(fill="linear", ties="first", seed=1)))
    assert curve(MoRF(ties="first")).equal(curve(MoRF(ties="first", seed=1)))


def test_top_1_is_the_accuracy_of_the_paper():
    """The score is 1 while the class has the highest logit, and 0 afterwards."""
    model, x = linear_case((4.0, -1.0, -1.0, -1.0))
    heatmap = torch.tensor([[[0.9, 0.3], [0.2, 0.1]]])

    curve = MoRF(readout="top-1", steps=4).curve(model, x, 0, heatmap)[:, 0]

    assert curve.tolist() == [1, 0, 0, 0, 1]  # at the end all logits are equal, and the first class counts


def test_the_cost_is_the_number_of_passes():
    """There is one pass per step and one more, and two passes per share for ROAD."""
    toy, x, target = problem("small", images=2)
    for metric in (MoRF(steps=3), LeRF(fill="linear"), ROAD(), METRICS["road:pgc"]):
        with count_passes() as counter:
            metric(ExplainedModel(toy), x, target, heatmaps_for(x))
        assert counter.passes == 2 * metric.cost.full


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (partial(MoRF, fill="imputed"), UnknownNameError, "choose from mean, black, blur, light-blur, linear"),
        (partial(MoRF, readout="accuracy"), UnknownNameError, "choose from logit, probability, top-1"),
        (partial(LeRF, steps=0), SettingError, "steps must be a positive integer, got 0"),
        (partial(LeRF, upto=0), SettingError, "upto must be a number above 0 and at most 1, got 0"),
        (partial(MoRF, upto=1.5), SettingError, "got 1.5"),
        (partial(MoRF, noise=-0.1), SettingError, "noise must be a number of at least 0, got -0.1"),
        (partial(ROAD, noise="little"), SettingError, "noise must be a number of at least 0, got 'little'"),
        (partial(ROAD, removed=()), SettingError, "removed must contain at least one share of pixels"),
        (partial(ROAD, removed=(10, 20)), SettingError, "removed must be a number between 0 and 1, got 10"),
        (partial(ROAD, seed=None), SettingError, "seed must be an integer, got None"),
    ],
)
def test_wrong_settings_are_reported(make, error, message):
    """The error is raised on construction and names the valid values."""
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("metric", [MoRF(), LeRF(), ROAD()], ids=lambda metric: type(metric).__name__)
def test_nan_is_rejected(metric):
    """NaN has no place in the order of pixels."""
    model, x = linear_case()

    with pytest.raises(NonFiniteError, match="heatmap 0 of 1"):
        metric(model, x, 0, torch.full((1, 2, 2), torch.nan))


def test_the_default_noise_of_road_is_that_of_the_paper():
    """The noise on linearly imputed pixels is 0.01."""
    assert Imputation() == Imputation(noise=ROAD().noise, seed=ROAD().seed) == Imputation(0.01, 0)
    assert METRICS["morf:road"].shares(torch.zeros(1, 1, 1)).tolist() == pytest.approx([i / 10 for i in range(10)])
