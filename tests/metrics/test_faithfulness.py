"""Drop, increase and gain: by hand, against reference implementations, and in edge cases."""

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
    """The logit is (4 + 2 + 2 + 0) / 4 = 2; masked by 1, 0.5, 0, 0 it is (4 + 1) / 4: three eighths are lost."""
    model, x = linear_case()
    heatmap = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])

    assert AverageDrop(readout="logit")(model, x, 0, heatmap).tolist() == [0.375]


def test_increase_and_gain_by_hand():
    """Hiding the pixel that lowers the logit raises the probability from 1/2 to 1 / (1 + e^-0.5)."""
    model, x = linear_case((2.0, -2.0, 0.0, 0.0))
    heatmap = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    won = (torch.tensor(0.5).sigmoid() - 0.5) / 0.5

    assert IncreaseInConfidence()(model, x, 0, heatmap).tolist() == [1]
    assert AverageGain()(model, x, 0, heatmap).tolist() == pytest.approx([float(won)])
    assert AverageDrop()(model, x, 0, heatmap).tolist() == [0]


def test_the_kept_share_by_hand():
    """Half of 1, 0.5, 0.5, 0.25 is kept: 1, and the first or the last 0.5."""
    maps = torch.tensor([[1.0, 0.5, 0.5, 0.25]])

    assert highest(maps, 0.5).tolist() == [[1, 0.5, 0, 0]]
    assert highest(maps, 0.5, "last").tolist() == [[1, 0, 0.5, 0]]
    assert highest(maps, 1) is maps
    model, x = linear_case()
    kept = AverageDrop(readout="logit", keep=0.5)(model, x, 0, maps.reshape(1, 2, 2))
    assert kept.tolist() == [1 - (4 + 1) / 4 / 2]


def test_the_fill_is_shown_where_the_heatmap_is_zero():
    """Black is -1 after this preprocessing, so an image hidden by black has a logit of -1."""
    model, x = linear_case()
    model.preprocessing = type(model.preprocessing)((2, 2), 2, mean=(0.5,), std=(0.5,))
    nothing = torch.zeros(1, 2, 2)

    assert AverageDrop(readout="logit", fill="black")(model, x, 0, nothing).tolist() == [1.5]
    assert AverageDrop(readout="logit")(model, x, 0, nothing).tolist() == [1]


# -- against reference implementations -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("toy_name", TOYS)
def test_metrics_equal_reference_implementations(toy_name, seed):
    """The values are those of the papers' formulas, image by image."""
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
        values = metric(ExplainedModel(toy), x, target, maps)
        expected = [twin(toy, one, int(c), L) for one, c, L in zip(x, target, maps, strict=True)]
        torch.testing.assert_close(
            values, torch.tensor(expected, dtype=values.dtype), atol=1e-9, rtol=0, equal_nan=True
        )


def test_classes_choose_the_measured_class():
    """ "predicted" is the class with the highest score for the whole image, whichever class was explained."""
    toy, x, _ = problem("small", images=4)
    maps, model = heatmaps_for(x), ExplainedModel(toy)
    top = torch.tensor([twins.top_class(toy, one) for one in x])
    other = (top + 1) % 3

    for metric in (AverageDrop, IncreaseInConfidence, AverageGain):
        assert metric(classes="predicted")(model, x, other, maps).equal(metric()(model, x, top, maps))
    assert not AverageDrop()(model, x, other, maps).equal(AverageDrop()(model, x, top, maps))


# -- edge cases ------------------------------------------------------------------------------------------------


def test_a_heatmap_of_ones_has_no_drop_and_no_increase():
    """The masked image equals the image, so the values are exactly 0."""
    model, x = linear_case()
    for metric in PLAIN:
        assert metric(model, x, 0, torch.ones(1, 2, 2)).tolist() == [0]


class Noisy(First):
    """A network whose logits grow with each pass, as rounding in another batch may change them."""

    passes = 0

    def forward(self, x):
        """Return the growing logits."""
        Noisy.passes += 1
        return super().forward(x) + torch.tensor([1e-4 * Noisy.passes, 0.0])


def test_rounding_between_passes_is_not_an_increase():
    """A heatmap of ones has no increase even if two passes of the same image differ."""
    _, x = linear_case()

    assert IncreaseInConfidence()(ExplainedModel(Noisy()), x, 0, torch.ones(1, 2, 2)).tolist() == [0]


@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: type(metric).__name__)
def test_flat_heatmaps_have_finite_values(metric):
    """A heatmap of zeros hides the image, and the hidden image has a score."""
    model, x = linear_case()

    assert metric(model, x, 0, torch.zeros(1, 2, 2)).isfinite().all()


def test_undefined_values_are_nan():
    """A share of a non-positive score, and a gain where none is possible, are undefined."""
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
def test_non_finite_heatmaps_are_rejected(metric, value):
    """The message names the heatmap."""
    model, x = linear_case()
    maps = torch.zeros(2, 2, 2)
    maps[1, 0, 0] = value

    with pytest.raises(NonFiniteError, match="heatmap 1 of 2"):
        metric(model, x.expand(2, 1, 2, 2), 0, maps)


@pytest.mark.parametrize("maps", [torch.full((1, 2, 2), 1.2), torch.full((1, 2, 2), -0.5), 255 * torch.ones(1, 2, 2)])
@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: type(metric).__name__)
def test_masks_outside_0_to_1_are_rejected(metric, maps):
    """Raw cams and 8-bit heatmaps would produce pixels outside the range of images."""
    model, x = linear_case()

    with pytest.raises(SettingError, match=r"must be in \[0, 1\], got .*minmax"):
        metric(model, x, 0, maps)


def test_masks_above_1_by_rounding_are_accepted():
    """Heatmaps of other libraries may contain 1.0000005: it counts as 1, which is not an increase."""
    model, x = linear_case()

    for metric in PLAIN[:2]:
        assert replace(metric, readout="logit")(model, x, 0, torch.full((1, 2, 2), 1.0000005)).tolist() == [0]


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 2), (1, 1, 2, 2), (0, 2, 2)])
@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: type(metric).__name__)
def test_heatmaps_of_another_shape_are_rejected(metric, shape):
    """There must be one heatmap per image, with as many sides."""
    model, x = linear_case()

    with pytest.raises(ShapeError, match="heatmaps of x"):
        metric(model, x, 0, torch.zeros(shape))


def test_coarse_heatmaps_are_resized():
    """A heatmap at the layer's size is resized by linear or nearest interpolation."""
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
    """The error is raised on construction and names the valid values."""
    with pytest.raises(error, match=message):
        AverageDrop(**settings)
    if "epsilon" not in settings:
        with pytest.raises(error):
            IncreaseInConfidence(**settings)
        with pytest.raises(error):
            AverageGain(**settings)


def test_gain_of_logits_is_rejected():
    """1 - logit has no meaning."""
    with pytest.raises(SettingError, match="average gain needs readout='probability', got 'logit'"):
        AverageGain(readout="logit")


# -- cached passes ---------------------------------------------------------------------------------------------


def test_all_three_together_take_two_passes():
    """With cached passes the whole and the masked image are each passed once, for all metrics together."""
    toy, x, target = problem("small", images=3)
    maps, model = heatmaps_for(x), ExplainedModel(toy)

    with cached_passes(), count_passes() as counter:
        for metric in (*PLAIN, METRICS["average-drop:xplaincam"]):
            metric(model, x, target, maps)

    assert counter.passes == 2 * 3


# -- arithmetic ----------------------------------------------------------------------------------------------------

scores = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5)


@given(scores, scores)
def test_an_image_drops_or_gains(first, second):
    """Values are fractions; an image with a gain has an increase and no drop."""
    size = min(len(first), len(second))
    whole, masked = (torch.tensor(one[:size], dtype=torch.float64) for one in (first, second))

    lost, won, more = drop(whole, masked), gain(whole, masked), increase(whole, masked)

    assert ((lost >= 0) & (lost <= 1) & (won >= 0) & (won <= 1)).all()
    assert (more == (won > 0)).all()
    assert (lost * won == 0).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.sampled_from(["first", "last", "random", "any"]))
def test_ranks_are_a_permutation(values, ties):
    """Each rank occurs once, and higher pixels have lower ranks."""
    maps = torch.tensor([values], dtype=torch.float32)

    ranks = pixel_order(maps, ties, seed=3)[0]

    assert sorted(ranks.tolist()) == list(range(len(values)))
    in_order = maps[0][ranks.argsort()]
    assert (in_order[:-1] >= in_order[1:]).all()


def test_ties_follow_their_rule():
    """The first pixel is first, or the last one, or the seed decides, for every image of the batch alike."""
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


def test_half_precision_heatmaps_are_converted():
    """Otherwise the masked images would have half precision."""
    toy, x, _ = problem("small", images=1)
    half = torch.rand(1, 8, 8).half()

    assert resized_heatmaps(half, ExplainedModel(toy), x).dtype == torch.float32
