"""Insertion and deletion: by hand, against reference implementations, and their invariances."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusioncam import ExplainedModel
from fusioncam.errors import NonFiniteError, SettingError, ShapeError, UnknownNameError
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.curves import Deletion, Insertion, area, counts_of
from fusioncam.metrics.masking import RankMasks
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.registry import METRICS
from linear_case import heatmaps_for, linear_case
from toys import TOYS, problem
from twins import metrics as twins

BOTH = (Insertion, Deletion)


def test_insertion_and_deletion_by_hand():
    """The logit is a quarter of the shown pixels 4, 2, 2, 0: it rises, or falls, by 1, 1/2, 1/2 and 0."""
    model, x = linear_case()
    heatmap = torch.tensor([[[0.9, 0.5], [0.3, 0.1]]])
    insertion = Insertion(readout="logit", fill="mean", steps=4)
    deletion = Deletion(readout="logit", steps=4)

    assert insertion.curve(model, x, 0, heatmap)[:, 0].tolist() == [0, 1, 1.5, 2, 2]
    assert deletion.curve(model, x, 0, heatmap)[:, 0].tolist() == [2, 1, 0.5, 0, 0]
    assert insertion(model, x, 0, heatmap).tolist() == [(0 / 2 + 1 + 1.5 + 2 + 2 / 2) / 4]
    assert deletion(model, x, 0, heatmap).tolist() == [(2 / 2 + 1 + 0.5 + 0 + 0 / 2) / 4]
    assert insertion.shares(x).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_the_last_step_may_be_smaller():
    """With 3 pixels per step, 4 pixels take steps of 3 and 1, which weight the area."""
    model, x = linear_case()
    heatmap = torch.tensor([[[0.9, 0.5], [0.3, 0.1]]])
    metric = Insertion(readout="logit", fill="mean", pixels=3)

    assert metric.shares(x).tolist() == [0, 0.75, 1]
    assert metric.curve(model, x, 0, heatmap)[:, 0].tolist() == [0, 2, 2]
    assert metric(model, x, 0, heatmap).tolist() == [0.75 * 1 + 0.25 * 2]


def test_equal_pixels_follow_the_tie_rule():
    """A constant heatmap shows the image row by row, in reverse order, or in an order given by the seed."""
    model, x = linear_case()
    flat = torch.zeros(1, 2, 2)

    curves = {
        ties: Insertion(readout="logit", fill="mean", steps=4, ties=ties).curve(model, x, 0, flat)[:, 0].tolist()
        for ties in ("first", "last", "random")
    }

    assert curves["first"] == [0, 1, 1.5, 2, 2]
    assert curves["last"] == [0, 0, 0.5, 1, 2]
    assert sorted(set(curves["random"])) == sorted(set(curves["random"])) != curves["first"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("toy_name", TOYS)
def test_curves_equal_reference_implementations(toy_name, seed):
    """The curves are those of RISE's loop over pixels, for inputs of one, two and three sides."""
    toy, x, target = problem(toy_name, seed=seed)
    maps, model = heatmaps_for(x, seed), ExplainedModel(toy)
    maps = (maps * 20).round() / 20  # with ties
    for how in ({"steps": 5}, {"pixels": 7}):
        for fill, sigma, size in (("mean", 1, 1), ("blur", 2, 5), ("blur", 50, 51)):
            blank = [torch.zeros_like(one) if fill == "mean" else twins.blurred(one, sigma, size) for one in x]
            for kind, twin in ((Insertion, twins.insertion), (Deletion, twins.deletion)):
                metric = kind(fill=fill, sigma=sigma, size=size, **how)

                areas, curves = metric(model, x, target, maps), metric.curve(model, x, target, maps)

                for n, one in enumerate(x):
                    slow, curve = twin(toy, one, int(target[n]), maps[n], blank[n], **how)
                    assert float(areas[n]) == pytest.approx(slow, abs=1e-9)
                    torch.testing.assert_close(
                        curves[:, n], torch.tensor(curve, dtype=curves.dtype), atol=1e-9, rtol=0
                    )


def test_a_curve_is_computed_once():
    """A curve takes one pass per step and one more, for each image; cached passes are not repeated."""
    toy, x, target = problem("small", images=3)
    maps, model = heatmaps_for(x), ExplainedModel(toy)

    with cached_passes(), count_passes() as counter:
        Insertion(steps=6)(model, x, target, maps)
        Insertion(steps=6).curve(model, x, target, maps)

    assert counter.passes == 7 * 3
    assert Insertion(steps=6).cost == Deletion(steps=6).cost == MetricPasses(7)
    assert METRICS["insertion:rise"].cost == MetricPasses(1, pixels=224)


@pytest.mark.parametrize("kind", BOTH)
def test_the_ends_of_the_curve_are_the_image_and_the_fill(kind):
    """With all pixels shown the score is that of the image, with none that of the fill."""
    toy, x, target = problem("small", images=2)
    model, maps = ExplainedModel(toy), heatmaps_for(x)
    curve = kind(fill="mean", steps=3).curve(model, x, target, maps)
    ends = (curve[0], curve[-1]) if kind is Deletion else (curve[-1], curve[0])

    torch.testing.assert_close(ends[0], model.scores(x, target, "probability"))
    torch.testing.assert_close(ends[1], model.scores(torch.zeros_like(x), target, "probability"))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 50), st.floats(-5, 5))
def test_only_the_order_of_pixels_counts(factor, shift):
    """A monotone transformation of the heatmap, to any range, does not change the curves."""
    toy, x, target = problem("small", images=1)
    maps, model = heatmaps_for(x), ExplainedModel(toy)
    for kind in BOTH:
        plain = kind(steps=4).curve(model, x, target, maps)
        assert kind(steps=4).curve(model, x, target, factor * maps + shift).equal(plain)
        assert kind(steps=4).curve(model, x, target, maps**3).equal(plain)


def test_insertion_is_deletion_backwards():
    """Deleting the lowest pixels first shows the same images as inserting the highest ones, in reverse order."""
    toy, x, target = problem("small", images=2)
    maps, model = heatmaps_for(x), ExplainedModel(toy)

    shown = Insertion(fill="mean", steps=8).curve(model, x, target, maps)
    left = Deletion(steps=8).curve(model, x, target, -maps)

    torch.testing.assert_close(shown, left.flip(0))


def test_the_true_contributions_are_best():
    """For the linear network no order has a larger area than that of the pixels' contributions."""
    toy, x, _ = problem("linear", images=1)
    model, metric = ExplainedModel(toy), Insertion(readout="logit", fill="mean", steps=64)
    best = metric(model, x, 0, x[:, 0])

    for seed in range(5):
        assert metric(model, x, 0, heatmaps_for(x, seed)) < best
    assert metric(model, x, 0, -x[:, 0]) < best


@pytest.mark.parametrize("kind", BOTH)
def test_wrong_heatmaps_are_rejected(kind):
    """NaN cannot be ordered, and each image needs a heatmap."""
    model, x = linear_case()

    with pytest.raises(NonFiniteError, match="heatmap 0 of 1"):
        kind()(model, x, 0, torch.full((1, 2, 2), torch.nan))
    with pytest.raises(ShapeError, match="heatmaps of x"):
        kind()(model, x, 0, torch.zeros(2, 2, 2))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"steps": 0}, SettingError, "steps must be a positive integer, got 0"),
        ({"steps": 2.5}, SettingError, "got 2.5"),
        ({"pixels": 0}, SettingError, "pixels must be a positive integer, got 0"),
        ({"size": -3}, SettingError, "size must be a positive integer, got -3"),
        ({"sigma": 0}, SettingError, "sigma must be a number above 0, got 0"),
        ({"fill": "linear"}, UnknownNameError, "unknown fill 'linear'"),
        ({"readout": "top-1"}, UnknownNameError, "unknown readout 'top-1'"),
        ({"ties": "all"}, UnknownNameError, "unknown tie rule 'all'"),
    ],
)
def test_wrong_settings_are_reported(kind, settings, error, message):
    """The error is raised on construction and names the valid values."""
    with pytest.raises(error, match=message):
        kind(**settings)


@given(st.integers(1, 400), st.integers(1, 60), st.none() | st.integers(1, 500))
def test_counts_range_from_none_to_all(total, steps, pixels):
    """Counts start with 0, end with all pixels, and increase strictly."""
    counts = counts_of(total, steps, pixels)

    assert counts[0] == 0
    assert counts[-1] == total
    assert all(count < following for count, following in pairwise(counts))
    if pixels is None:
        assert len(counts) == min(steps, total) + 1


def test_masks_are_computed_when_indexed():
    """Mask m of image n shows the pixels with a rank below counts[m], or hides them."""
    ranks = torch.tensor([[2, 0, 1], [0, 1, 2]], dtype=torch.int32)
    masks, hidden = RankMasks(ranks, [0, 2]), RankMasks(ranks, [0, 2], hide=True)
    index = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])

    assert masks.shape == (2, 2, 3)
    assert masks[index].tolist() == [[False, False, False], [False, True, True], [True, True, False]]
    assert hidden[index].equal(~masks[index])


def test_the_area_under_a_constant_is_the_constant():
    """The widths of the steps do not matter."""
    assert area(torch.full((4, 2), 0.3), torch.tensor([0, 0.1, 0.9, 1])).tolist() == pytest.approx([0.3, 0.3])
