"""Insertion and deletion: by hand, against their twins, and what must not change them."""

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
from fusioncam.metrics.registry import METRICS
from linear_case import heatmaps_for, linear_case
from toys import TOYS, problem
from twins import metrics as twins

BOTH = (Insertion, Deletion)


def test_insertion_and_deletion_by_hand():
    """The logit is a quarter of what is shown of 4, 2, 2, 0: it climbs by 1, 1/2, 1/2, 0 and falls so."""
    model, x = linear_case()
    heatmap = torch.tensor([[[0.9, 0.5], [0.3, 0.1]]])
    insertion = Insertion(readout="logit", fill="mean", steps=4)
    deletion = Deletion(readout="logit", steps=4)

    assert insertion.curve(model, x, 0, heatmap)[:, 0].tolist() == [0, 1, 1.5, 2, 2]
    assert deletion.curve(model, x, 0, heatmap)[:, 0].tolist() == [2, 1, 0.5, 0, 0]
    assert insertion(model, x, 0, heatmap).tolist() == [(0 / 2 + 1 + 1.5 + 2 + 2 / 2) / 4]
    assert deletion(model, x, 0, heatmap).tolist() == [(2 / 2 + 1 + 0.5 + 0 + 0 / 2) / 4]
    assert insertion.shares(x).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_the_last_step_may_be_shorter():
    """By 3 pixels a step, 4 pixels are 3 and 1: the area weighs what the steps weigh."""
    model, x = linear_case()
    heatmap = torch.tensor([[[0.9, 0.5], [0.3, 0.1]]])
    metric = Insertion(readout="logit", fill="mean", pixels=3)

    assert metric.shares(x).tolist() == [0, 0.75, 1]
    assert metric.curve(model, x, 0, heatmap)[:, 0].tolist() == [0, 2, 2]
    assert metric(model, x, 0, heatmap).tolist() == [0.75 * 1 + 0.25 * 2]


def test_ties_follow_the_rule():
    """A constant map shows the image row by row, from the end, or by the seed."""
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
def test_curves_equal_their_twins(toy_name, seed):
    """What RISE's loop gives, pixel after pixel, on networks of one, two and three sides."""
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


def test_one_sweep_and_no_more():
    """A curve costs a pass for each step and one more, for each image; within sharing it is known from then on."""
    toy, x, target = problem("small", images=3)
    maps, model = heatmaps_for(x), ExplainedModel(toy)

    with cached_passes(), count_passes() as meter:
        Insertion(steps=6)(model, x, target, maps)
        Insertion(steps=6).curve(model, x, target, maps)

    assert meter.passes == 7 * 3
    assert Insertion(steps=6).cost == Deletion(steps=6).cost == "7"
    assert METRICS["insertion:rise"].cost == "S / 224 + 1"


@pytest.mark.parametrize("kind", BOTH)
def test_the_ends_are_the_image_and_the_fill(kind):
    """Everything shown is the image, nothing is what fills it."""
    toy, x, target = problem("small", images=2)
    model, maps = ExplainedModel(toy), heatmaps_for(x)
    curve = kind(fill="mean", steps=3).curve(model, x, target, maps)
    ends = (curve[0], curve[-1]) if kind is Deletion else (curve[-1], curve[0])

    torch.testing.assert_close(ends[0], model.scores(x, target, "probability"))
    torch.testing.assert_close(ends[1], model.scores(torch.zeros_like(x), target, "probability"))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 50), st.floats(-5, 5))
def test_only_the_order_counts(factor, shift):
    """A map stretched, moved or bent without changing its order gives the same curves, of any range."""
    toy, x, target = problem("small", images=1)
    maps, model = heatmaps_for(x), ExplainedModel(toy)
    for kind in BOTH:
        plain = kind(steps=4).curve(model, x, target, maps)
        assert kind(steps=4).curve(model, x, target, factor * maps + shift).equal(plain)
        assert kind(steps=4).curve(model, x, target, maps**3).equal(plain)


def test_insertion_is_deletion_backwards():
    """What the lowest pixels leave when they vanish is what the highest show when they appear."""
    toy, x, target = problem("small", images=2)
    maps, model = heatmaps_for(x), ExplainedModel(toy)

    shown = Insertion(fill="mean", steps=8).curve(model, x, target, maps)
    left = Deletion(steps=8).curve(model, x, target, -maps)

    torch.testing.assert_close(shown, left.flip(0))


def test_a_perfect_map_is_best():
    """On the linear toy no order inserts faster than that of the pixels' own contributions."""
    toy, x, _ = problem("linear", images=1)
    model, metric = ExplainedModel(toy), Insertion(readout="logit", fill="mean", steps=64)
    best = metric(model, x, 0, x[:, 0])

    for seed in range(5):
        assert metric(model, x, 0, heatmaps_for(x, seed)) < best
    assert metric(model, x, 0, -x[:, 0]) < best


@pytest.mark.parametrize("kind", BOTH)
def test_wrong_heatmaps_are_refused(kind):
    """NaN has no place in an order, and a map is needed for each image."""
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
    """At once, and with what would be right."""
    with pytest.raises(error, match=message):
        kind(**settings)


@given(st.integers(1, 400), st.integers(1, 60), st.none() | st.integers(1, 500))
def test_steps_reach_from_nothing_to_all(total, steps, pixels):
    """Counts begin with 0, end with all pixels, and always grow."""
    counts = counts_of(total, steps, pixels)

    assert counts[0] == 0
    assert counts[-1] == total
    assert all(one < other for one, other in pairwise(counts))
    if pixels is None:
        assert len(counts) == min(steps, total) + 1


def test_masks_are_made_when_asked():
    """Mask m of image n shows the pixels ranked below counts[m], or hides them."""
    ranks = torch.tensor([[2, 0, 1], [0, 1, 2]], dtype=torch.int32)
    masks, hidden = RankMasks(ranks, [0, 2]), RankMasks(ranks, [0, 2], hide=True)
    where = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])

    assert masks.shape == (2, 2, 3)
    assert masks[where].tolist() == [[False, False, False], [False, True, True], [True, True, False]]
    assert hidden[where].equal(~masks[where])


def test_the_area_of_a_constant_is_the_constant():
    """Whatever the steps."""
    assert area(torch.full((4, 2), 0.3), torch.tensor([0, 0.1, 0.9, 1])).tolist() == pytest.approx([0.3, 0.3])
