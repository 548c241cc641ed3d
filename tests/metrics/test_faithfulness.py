"""Drop, increase and gain: by hand, against their twins, at their edges."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusioncam import ExplainedModel
from fusioncam.errors import NonFiniteError, SettingError, ShapeError, UnknownNameError
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.costs import count_passes
from fusioncam.metrics.faithfulness import (
    AverageDrop,
    AverageGain,
    IncreaseInConfidence,
    drop,
    gain,
    highest,
    increase,
)
from fusioncam.metrics.masking import pixel_order, resized_heatmaps
from fusioncam.metrics.registry import METRICS
from linear_case import First, heatmaps_for, linear_case
from toys import TOYS, problem
from twins import metrics as twins

PLAIN = (AverageDrop(), IncreaseInConfidence(), AverageGain())


# -- by hand ---------------------------------------------------------------------------------------------------


def test_drop_by_hand():
    """The logit is (4 + 2 + 2 + 0) / 4 = 2; seen through 1, 0.5, 0, 0 it is (4 + 1) / 4: three eighths are lost."""
    model, x = linear_case()
    heatmap = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])

    assert AverageDrop(readout="logit")(model, x, 0, heatmap).tolist() == [0.375]


def test_increase_and_gain_by_hand():
    """Hiding the pixel that speaks against the class raises the probability from 1/2 to 1 / (1 + e^-0.5)."""
    model, x = linear_case((2.0, -2.0, 0.0, 0.0))
    heatmap = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    won = (torch.tensor(0.5).sigmoid() - 0.5) / 0.5

    assert IncreaseInConfidence()(model, x, 0, heatmap).tolist() == [1]
    assert AverageGain()(model, x, 0, heatmap).tolist() == pytest.approx([float(won)])
    assert AverageDrop()(model, x, 0, heatmap).tolist() == [0]


def test_the_top_share_by_hand():
    """Of 1, 0.5, 0.5, 0.25 half is kept: 1 and the first 0.5, or the last."""
    maps = torch.tensor([[1.0, 0.5, 0.5, 0.25]])

    assert highest(maps, 0.5).tolist() == [[1, 0.5, 0, 0]]
    assert highest(maps, 0.5, "last").tolist() == [[1, 0, 0.5, 0]]
    assert highest(maps, 1) is maps
    model, x = linear_case()
    kept = AverageDrop(readout="logit", keep=0.5)(model, x, 0, maps.reshape(1, 2, 2))
    assert kept.tolist() == [1 - (4 + 1) / 4 / 2]


def test_fill_shows_where_the_heatmap_is_0():
    """Behind a heatmap of 0 black shows, which is -1 here and so worth a logit of -1."""
    model, x = linear_case()
    model.preprocessing = type(model.preprocessing)((2, 2), 2, mean=(0.5,), std=(0.5,))
    nothing = torch.zeros(1, 2, 2)

    assert AverageDrop(readout="logit", fill="black")(model, x, 0, nothing).tolist() == [1.5]
    assert AverageDrop(readout="logit")(model, x, 0, nothing).tolist() == [1]


# -- against the twins -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("toy_name", TOYS)
def test_metrics_equal_their_twins(toy_name, seed):
    """What the papers' loops give, image by image."""
    toy, x, target = problem(toy_name, seed=seed)
    maps = heatmaps_for(x, seed)
    pairs = [
        (AverageDrop(), twins.average_drop),
        (AverageDrop(readout="logit", epsilon=10), partial(twins.average_drop, readout="logit", epsilon=10)),
        (AverageDrop(readout="logit"), partial(twins.average_drop, readout="logit")),
        (IncreaseInConfidence(), twins.increase),
        (IncreaseInConfidence(readout="logit"), partial(twins.increase, readout="logit")),
        (AverageGain(), twins.average_gain),
        (AverageDrop(keep=0.5), lambda toy, one, c, L: twins.average_drop(toy, one, c, twins.top_half(L))),
    ]

    for metric, twin in pairs:
        fast = metric(ExplainedModel(toy), x, target, maps)
        slow = [twin(toy, one, int(c), L) for one, c, L in zip(x, target, maps, strict=True)]
        torch.testing.assert_close(fast, torch.tensor(slow, dtype=fast.dtype), atol=1e-9, rtol=0, equal_nan=True)


def test_classes_say_whose_score_is_measured():
    """ "predicted" is the class that the whole image scores highest, whatever was explained."""
    toy, x, _ = problem("small", images=4)
    maps, model = heatmaps_for(x), ExplainedModel(toy)
    top = torch.tensor([twins.top_class(toy, one) for one in x])
    other = (top + 1) % 3

    for metric in (AverageDrop, IncreaseInConfidence, AverageGain):
        assert metric(classes="predicted")(model, x, other, maps).equal(metric()(model, x, top, maps))
    assert not AverageDrop()(model, x, other, maps).equal(AverageDrop()(model, x, top, maps))


# -- edges -------------------------------------------------------------------------------------------------------


def test_all_ones_are_no_drop_and_no_increase():
    """The image itself is neither better nor worse than itself, by definition and not within rounding."""
    model, x = linear_case()
    for metric in PLAIN:
        assert metric(model, x, 0, torch.ones(1, 2, 2)).tolist() == [0]


class Noisy(First):
    """Gives a little more for each pass, as rounding in another batch may."""

    passes = 0

    def forward(self, x):
        """Give logits that grow."""
        Noisy.passes += 1
        return super().forward(x) + torch.tensor([1e-4 * Noisy.passes, 0.0])


def test_all_ones_are_no_increase_whatever_two_passes_say():
    """Rounding differs between passes, and a strict > must not see it."""
    _, x = linear_case()

    assert IncreaseInConfidence()(ExplainedModel(Noisy()), x, 0, torch.ones(1, 2, 2)).tolist() == [0]


@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: type(metric).__name__)
def test_flat_heatmaps_are_defined(metric):
    """All zeros hide the image: that has a score like any other."""
    model, x = linear_case()

    assert metric(model, x, 0, torch.zeros(1, 2, 2)).isfinite().all()


def test_undefined_is_nan():
    """No share of a score that is not positive, none of a gain that cannot be."""
    model, x = linear_case((-1.0, 0.0, 0.0, 0.0))
    certain = torch.full((1, 1, 2, 2), 1000.0)
    half = torch.full((1, 2, 2), 0.5)

    assert AverageDrop(readout="logit")(model, x, 0, half).isnan().all()
    assert AverageGain()(model, certain, 0, half).isnan().all()
    assert AverageGain(epsilon=1e-8)(model, certain, 0, half).tolist() == [0]
    assert IncreaseInConfidence(readout="logit")(model, x, 0, half).tolist() == [1]
    assert drop(torch.zeros(1), torch.tensor([-1.0])).isnan().all()
    assert gain(torch.ones(1), torch.tensor([1.0000002])).isnan().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: type(metric).__name__)
def test_heatmaps_that_are_not_finite_are_refused(metric, value):
    """The message says which."""
    model, x = linear_case()
    maps = torch.zeros(2, 2, 2)
    maps[1, 0, 0] = value

    with pytest.raises(NonFiniteError, match="heatmap 1 of 2"):
        metric(model, x.expand(2, 1, 2, 2), 0, maps)


@pytest.mark.parametrize("maps", [torch.full((1, 2, 2), 1.2), torch.full((1, 2, 2), -0.5), 255 * torch.ones(1, 2, 2)])
@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: type(metric).__name__)
def test_masks_are_in_0_to_1(metric, maps):
    """Raw cams and 8-bit maps would show pixels that no image has."""
    model, x = linear_case()

    with pytest.raises(SettingError, match=r"must be in \[0, 1\], got .*minmax"):
        metric(model, x, 0, maps)


def test_masks_beyond_1_by_rounding_are_taken():
    """Other libraries' maps may be 1.0000005 somewhere: that is 1, and no increase."""
    model, x = linear_case()

    for metric in PLAIN[:2]:
        assert replace(metric, readout="logit")(model, x, 0, torch.full((1, 2, 2), 1.0000005)).tolist() == [0]


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2), (1, 1, 2, 2), (0, 2, 2)])
@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: type(metric).__name__)
def test_heatmaps_of_other_images_are_refused(metric, shape):
    """One heatmap for each image, with as many sides."""
    model, x = linear_case()

    with pytest.raises(ShapeError, match="heatmaps of x"):
        metric(model, x, 0, torch.zeros(shape))


def test_coarse_heatmaps_are_brought_to_size():
    """A map at the layer's size is stretched linearly, or by nearest pixels."""
    toy, x, target = problem("small", images=2)
    coarse = torch.tensor([[[0.0, 1.0], [0.5, 0.25]]], dtype=x.dtype).expand(2, 2, 2)
    model = ExplainedModel(toy)

    linear, nearest = (AverageDrop(resize=how)(model, x, target, coarse) for how in ("linear", "nearest"))

    smooth = torch.nn.functional.interpolate(coarse[:, None], size=(8, 8), mode="bilinear")[:, 0]
    blocks = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert linear.equal(AverageDrop()(model, x, target, smooth))
    assert nearest.equal(AverageDrop()(model, x, target, blocks))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"readout": "logits"}, UnknownNameError, "did you mean 'logit'"),
        ({"readout": "top-1"}, UnknownNameError, "unknown readout 'top-1'"),
        ({"classes": "label"}, UnknownNameError, "choose from target, predicted"),
        ({"fill": "white"}, UnknownNameError, "unknown fill 'white'"),
        ({"keep": 0}, SettingError, "keep must be a number above 0 and at most 1, got 0"),
        ({"keep": 50}, SettingError, "got 50"),
        ({"keep": True}, SettingError, "got True"),
        ({"epsilon": -1}, SettingError, "epsilon must be a number of at least 0, got"),
        ({"epsilon": float("nan")}, SettingError, "epsilon must be a number of at least 0, got"),
        ({"ties": "together"}, UnknownNameError, "unknown tie rule 'together'"),
        ({"resize": "cubic"}, UnknownNameError, "unknown way to resize 'cubic'"),
        ({"seed": 0.5}, SettingError, "seed must be an integer, got 0.5"),
    ],
)
def test_wrong_settings_are_reported(settings, error, message):
    """At once, and with what would be right."""
    with pytest.raises(error, match=message):
        AverageDrop(**settings)
    if "epsilon" not in settings:
        with pytest.raises(error):
            IncreaseInConfidence(**settings)
        with pytest.raises(error):
            AverageGain(**settings)


def test_gain_of_logits_is_refused():
    """1 - logit is no missing share of anything."""
    with pytest.raises(SettingError, match="average gain needs readout='probability', got 'logit'"):
        AverageGain(readout="logit")


# -- what they share -----------------------------------------------------------------------------------------------


def test_together_they_cost_two_passes():
    """Within sharing the whole image and the masked one are seen once, whatever is measured of them."""
    toy, x, target = problem("small", images=3)
    maps, model = heatmaps_for(x), ExplainedModel(toy)

    with cached_passes(), count_passes() as meter:
        for metric in (*PLAIN, METRICS["average-drop:xplaincam"]):
            metric(model, x, target, maps)

    assert meter.passes == 2 * 3


# -- arithmetic ----------------------------------------------------------------------------------------------------

scores = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5)


@given(scores, scores)
def test_a_image_drops_or_gains(first, second):
    """Values are fractions; who gains has an increase and no drop."""
    size = min(len(first), len(second))
    whole, seen = (torch.tensor(one[:size], dtype=torch.float64) for one in (first, second))

    lost, won, more = drop(whole, seen), gain(whole, seen), increase(whole, seen)

    assert ((lost >= 0) & (lost <= 1) & (won >= 0) & (won <= 1)).all()
    assert (more == (won > 0)).all()
    assert (lost * won == 0).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.sampled_from(["first", "last", "random", "any"]))
def test_ranks_are_an_order(values, ties):
    """Each place is taken once, and a higher pixel comes before a lower one."""
    maps = torch.tensor([values], dtype=torch.float32)

    places = pixel_order(maps, ties, seed=3)[0]

    assert sorted(places.tolist()) == list(range(len(values)))
    in_order = maps[0][places.argsort()]
    assert (in_order[:-1] >= in_order[1:]).all()


def test_ties_go_by_their_rule():
    """The first row by row, the last, or by the seed alone, whichever image of the batch it is."""
    flat = torch.zeros(2, 3, 4)

    assert pixel_order(flat).flatten(1).tolist() == [list(range(12))] * 2
    assert pixel_order(flat, "last").flatten(1).tolist() == [list(range(11, -1, -1))] * 2
    drawn, again, other = (
        pixel_order(flat, "random"),
        pixel_order(flat[:1], "random"),
        pixel_order(flat[:1], "random", seed=1),
    )
    assert drawn[0].equal(drawn[1])
    assert drawn[:1].equal(again)
    assert not again.equal(other)


def test_heatmaps_are_taken_in_full_precision():
    """Masked images would be those of half precision else."""
    toy, x, _ = problem("small", images=1)
    half = torch.rand(1, 8, 8).half()

    assert resized_heatmaps(half, ExplainedModel(toy), x).dtype == torch.float32
