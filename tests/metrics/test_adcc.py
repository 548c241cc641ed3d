"""ADCC and its parts: by hand, against reference implementations, and for heatmaps that excel in one part only."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import MethodError, UnknownNameError
from fusioncam.metrics.adcc import ADCC, ARCC, Coherency, Complexity, adcc, coherency
from fusioncam.metrics.faithfulness import AverageDrop
from linear_case import heatmaps_for, linear_case
from toys import problem
from twins import gradient
from twins import metrics as twins

LAYER = "features"
GRAD_CAM = METHODS["grad-cam"]


def first_channel(model, x, target):
    """Return the rescaled first channel as heatmaps: a method that can be computed by hand."""
    maps = x[:, 0]
    low, high = (f(maps.flatten(1), 1)[:, None, None] for f in (torch.amin, torch.amax))
    return (maps - low) / (high - low).clamp(min=1e-9)


def test_coherency_by_hand():
    """The image 4, 2, 2, 0 masked by 1, 1, 0, 0 is 4, 2, 0, 0; the correlation is computed by hand."""
    model, x = linear_case()
    heatmap = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    # of (1, 1, 0, 0) and (4, 2, 0, 0): covariance 1 / 2 * (3 - 0), deviations 1 / 2 and sqrt(11 / 4)
    r = 0.75 / (0.5 * math.sqrt(11 / 4))

    assert Coherency()(model, x, 0, heatmap, method=first_channel).tolist() == pytest.approx([(1 + r) / 2])
    assert Complexity()(model, x, 0, heatmap).tolist() == [0.5]


def test_adcc_by_hand():
    """The harmonic mean of 1/2, 1/4 and 1 is 3 / 7; it is 0 if any part is 0."""
    values = [torch.tensor([one]) for one in (0.5, 0.75, 0.0)]

    assert adcc(*values).tolist() == pytest.approx([3 / 7])
    assert adcc(torch.tensor([torch.nan]), torch.ones(1), torch.zeros(1)).tolist() == [0]
    assert adcc(torch.tensor([torch.nan]), torch.zeros(1), torch.zeros(1)).isnan().all()
    assert adcc(torch.ones(1), torch.zeros(1), torch.tensor([torch.nan])).isnan().all()


@pytest.mark.filterwarnings("ignore::fusioncam.errors.FlatHeatmapWarning")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("toy_name", ["small", "curved", "signal", "pyramid"])
def test_metrics_equal_reference_implementations(toy_name, seed):
    """The values are those of the paper's formulas for Grad-CAM, image by image."""
    toy, x, target = problem(toy_name, seed=seed)
    model = ExplainedModel(toy, LAYER)
    maps = GRAD_CAM(model, x, target)
    pairs = [
        (Coherency(), lambda *inputs: twins.coherency(*inputs, gradient.grad_cam)),
        (Complexity(), lambda toy, one, c, L: twins.complexity(L)),
        (ADCC(), lambda *inputs: twins.adcc(*inputs, gradient.grad_cam)),
        (
            ARCC(removed=(0.2, 0.6), noise=0, ties="first"),
            lambda *inputs: twins.arcc(*inputs, gradient.grad_cam, (0.2, 0.6)),
        ),
    ]

    for metric, twin in pairs:
        values = metric(model, x, target, maps, method=GRAD_CAM)
        expected = [twin(toy, one, int(c), L) for one, c, L in zip(x, target, maps, strict=True)]
        torch.testing.assert_close(
            values,
            torch.tensor(expected, dtype=values.dtype),
            atol=1e-5 if isinstance(metric, ARCC) else 1e-9,
            rtol=0,
            equal_nan=True,
        )


def test_adcc_is_the_harmonic_mean_of_its_parts():
    """Each part is measured with the same settings as alone."""
    toy, x, target = problem("small", images=3)
    model = ExplainedModel(toy, LAYER)
    maps = GRAD_CAM(model, x, target)
    inputs = (model, x, target, maps)

    whole = ADCC(classes="predicted", fill="blur")(*inputs, method=GRAD_CAM)

    coherent = Coherency(classes="predicted", fill="blur")(*inputs, method=GRAD_CAM)
    dropped = AverageDrop(classes="predicted", fill="blur")(*inputs)
    expected = 3 / (1 / coherent + 1 / (1 - Complexity()(*inputs)) + 1 / (1 - dropped))
    torch.testing.assert_close(whole, expected)
    assert not whole.equal(ADCC()(*inputs, method=GRAD_CAM))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_flat_heatmaps_score_zero(value):
    """A heatmap of ones drops nothing and one of zeros is simple: ADCC is 0 for both."""
    model, x = linear_case((9.0, 9.0, 9.0, 8.0))
    flat = torch.full((1, 2, 2), value)

    assert Coherency()(model, x, 0, flat, method=first_channel).isnan().all()
    readout = {"readout": "logit"}  # without the image the logit is 0, and the drop 1
    assert ADCC(**readout)(model, x, 0, flat, method=first_channel).tolist() == [0]


def test_a_flat_second_heatmap_has_no_correlation():
    """A constant second heatmap has a coherency of 1/2, halfway between the same and the opposite heatmap."""
    maps = heatmaps_for(torch.zeros(2, 1, 4, 4))

    assert coherency(maps, torch.zeros_like(maps)).tolist() == [0.5, 0.5]
    assert coherency(maps, maps).tolist() == pytest.approx([1, 1])
    assert coherency(maps, 1 - maps).tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("metric", [Coherency(), ADCC()], ids=lambda metric: type(metric).__name__)
def test_a_missing_method_is_reported(metric):
    """The error names the argument to pass."""
    model, x = linear_case()

    with pytest.raises(MethodError, match="pass method="):
        metric(model, x, 0, torch.rand(1, 2, 2))


def test_classes_choose_the_class_of_the_second_heatmap():
    """The explained class is the paper's choice; its code uses the predicted class."""
    classes = []

    def method(model, x, target):
        classes.append(torch.as_tensor(target).tolist())
        return first_channel(model, x, target)

    model, x = linear_case((-4.0, -2.0, -2.0, 0.0))
    for metric in (Coherency(), Coherency(classes="predicted")):
        metric(model, x, 0, torch.rand(1, 2, 2), method=method)

    assert classes == [[0], [1]]


def test_wrong_settings_are_reported():
    """The error is raised on construction."""
    for make in (lambda: Coherency(fill="white"), lambda: ADCC(classes="top"), lambda: Complexity(resize="cubic")):
        with pytest.raises(UnknownNameError, match="unknown"):
            make()


shares = st.floats(0.01, 0.99)


@given(shares, shares, shares)
def test_the_harmonic_mean_lies_between_its_parts(coherent, complex_, dropped):
    """The harmonic mean is at least the smallest part and at most the arithmetic mean."""
    parts = (coherent, 1 - complex_, 1 - dropped)

    whole = float(adcc(*(torch.tensor([one], dtype=torch.float64) for one in (coherent, complex_, dropped))))

    assert min(parts) - 1e-9 <= whole <= sum(parts) / 3 + 1e-9
