"""ADCC and its parts: by hand, against their twins, and the maps that are made to win one part."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import MethodError, UnknownNameError
from fusioncam.metrics.adcc import ADCC, Coherency, Complexity, adcc, coherency
from fusioncam.metrics.faithfulness import AverageDrop
from linear_case import heatmaps_for, linear_case
from toys import problem
from twins import gradient
from twins import metrics as twins

LAYER = "features"
GRAD_CAM = METHODS["grad-cam"]


def seen(model, x, target):
    """Explain an image by its first channel, stretched: a method that is worked out by hand."""
    maps = x[:, 0]
    low, high = (f(maps.flatten(1), 1)[:, None, None] for f in (torch.amin, torch.amax))
    return (maps - low) / (high - low).clamp(min=1e-9)


def test_coherency_by_hand():
    """The image 4, 2, 2, 0 seen through 1, 1, 0, 0 is 4, 2, 0, 0: correlations worked out on paper."""
    model, x = linear_case()
    heatmap = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    # of (1, 1, 0, 0) and (4, 2, 0, 0): covariance 1 / 2 * (3 - 0), deviations 1 / 2 and sqrt(11 / 4)
    r = 0.75 / (0.5 * math.sqrt(11 / 4))

    assert Coherency()(model, x, 0, heatmap, method=seen).tolist() == pytest.approx([(1 + r) / 2])
    assert Complexity()(model, x, 0, heatmap).tolist() == [0.5]


def test_adcc_by_hand():
    """The harmonic mean of 1/2, 1/4 and 1 is 3 / 7; nothing in a part is nothing in all."""
    values = [torch.tensor([one]) for one in (0.5, 0.75, 0.0)]

    assert adcc(*values).tolist() == pytest.approx([3 / 7])
    assert adcc(torch.tensor([torch.nan]), torch.ones(1), torch.zeros(1)).tolist() == [0]
    assert adcc(torch.tensor([torch.nan]), torch.zeros(1), torch.zeros(1)).isnan().all()
    assert adcc(torch.ones(1), torch.zeros(1), torch.tensor([torch.nan])).isnan().all()


@pytest.mark.filterwarnings("ignore::fusioncam.errors.FlatHeatmapWarning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("toy_name", ["small", "curved", "signal", "pyramid"])
def test_metrics_equal_their_twins(toy_name, seed):
    """What the paper's formulas give for Grad-CAM, image by image."""
    toy, x, target = problem(toy_name, seed=seed)
    model = ExplainedModel(toy, LAYER)
    maps = GRAD_CAM(model, x, target)
    pairs = [
        (Coherency(), lambda *about: twins.coherency(*about, gradient.grad_cam)),
        (Complexity(), lambda toy, one, c, L: twins.complexity(L)),
        (ADCC(), lambda *about: twins.adcc(*about, gradient.grad_cam)),
    ]

    for metric, twin in pairs:
        fast = metric(model, x, target, maps, method=GRAD_CAM)
        slow = [twin(toy, one, int(c), L) for one, c, L in zip(x, target, maps, strict=True)]
        torch.testing.assert_close(fast, torch.tensor(slow, dtype=fast.dtype), atol=1e-9, rtol=0, equal_nan=True)


def test_the_harmonic_mean_is_of_these_parts():
    """Each part as it is measured alone, with the same settings."""
    toy, x, target = problem("small", images=3)
    model = ExplainedModel(toy, LAYER)
    maps = GRAD_CAM(model, x, target)
    about = (model, x, target, maps)

    whole = ADCC(classes="predicted", fill="blur")(*about, method=GRAD_CAM)

    coherent = Coherency(classes="predicted", fill="blur")(*about, method=GRAD_CAM)
    dropped = AverageDrop(classes="predicted", fill="blur")(*about)
    expected = 3 / (1 / coherent + 1 / (1 - Complexity()(*about)) + 1 / (1 - dropped))
    torch.testing.assert_close(whole, expected)
    assert not whole.equal(ADCC()(*about, method=GRAD_CAM))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_maps_made_to_win_a_part_lose(value):
    """All ones drop nothing and all zeros are simple: both are worth 0."""
    model, x = linear_case((9.0, 9.0, 9.0, 8.0))
    flat = torch.full((1, 2, 2), value)

    assert Coherency()(model, x, 0, flat, method=seen).isnan().all()
    readout = {"readout": "logit"}  # without the image the logit is 0, and the drop 1
    assert ADCC(**readout)(model, x, 0, flat, method=seen).tolist() == [0]


def test_a_method_that_sees_nothing_again_is_like_nothing():
    """A constant second heatmap has no correlation: halfway between the same and the opposite."""
    maps = heatmaps_for(torch.zeros(2, 1, 4, 4))

    assert coherency(maps, torch.zeros_like(maps)).tolist() == [0.5, 0.5]
    assert coherency(maps, maps).tolist() == pytest.approx([1, 1])
    assert coherency(maps, 1 - maps).tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("metric", [Coherency(), ADCC()], ids=lambda metric: type(metric).__name__)
def test_without_the_method_it_cannot_be_known(metric):
    """The error says what to give."""
    model, x = linear_case()

    with pytest.raises(MethodError, match="pass method="):
        metric(model, x, 0, torch.rand(1, 2, 2))


def test_the_second_heatmap_is_of_the_class_that_is_asked_for():
    """As the paper has it; its code takes the predicted class."""
    asked = []

    def method(model, x, target):
        asked.append(torch.as_tensor(target).tolist())
        return seen(model, x, target)

    model, x = linear_case((-4.0, -2.0, -2.0, 0.0))
    for metric in (Coherency(), Coherency(classes="predicted")):
        metric(model, x, 0, torch.rand(1, 2, 2), method=method)

    assert asked == [[0], [1]]


def test_wrong_settings_are_told():
    """At once, and with what would be right."""
    for make in (lambda: Coherency(fill="white"), lambda: ADCC(classes="top"), lambda: Complexity(resize="cubic")):
        with pytest.raises(UnknownNameError, match="unknown"):
            make()


shares = st.floats(0.01, 0.99)


@given(shares, shares, shares)
def test_the_mean_lies_between_its_parts(coherent, complex_, dropped):
    """As any mean does, and nearer to the least."""
    parts = (coherent, 1 - complex_, 1 - dropped)

    whole = float(adcc(*(torch.tensor([one], dtype=torch.float64) for one in (coherent, complex_, dropped))))

    assert min(parts) - 1e-9 <= whole <= sum(parts) / 3 + 1e-9
