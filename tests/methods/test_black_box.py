"""Occlusion, HSIC, Sobol attribution, RISE with a budget and Expected Gradients, where the twins do not reach."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.quasirandom import SobolEngine

from fusioncam import ExplainedModel
from fusioncam.errors import FlatHeatmapWarning, SettingError, ShapeError, UnknownNameError
from fusioncam.functional.dependence import total_sobol_indices
from fusioncam.functional.heatmaps import minmax, upsample
from fusioncam.functional.masks import RiseMasks, WindowMasks
from fusioncam.inference.costs import count_passes
from fusioncam.methods.black_box import HSIC, RISE, Occlusion, Sobol, TwoSidedOcclusion
from fusioncam.methods.mask_prediction import predict_scores
from fusioncam.methods.smoothing import ExpectedGradients
from problems import heatmaps_of
from toys import problem


class Weighted(nn.Module):
    """Two classes with the opposite weighted sums of all pixels as their logits."""

    def __init__(self, weights):
        super().__init__()
        self.maps = nn.Identity()
        self.weights = nn.Parameter(weights)

    def forward(self, x):
        """Return logits ``(N, 2)``."""
        score = (self.maps(x) * self.weights).flatten(1).sum(1)
        return torch.stack([score, -score], 1)


class Either(nn.Module):
    """A network whose first score is the larger of two halves of the image."""

    def forward(self, x):
        """Return logits ``(N, 2)``."""
        upper, lower = x[:, :, :6].flatten(1).amax(1), x[:, :, 6:].flatten(1).amax(1)
        score = torch.maximum(upper, lower)
        return torch.stack([score, -score], 1)


def test_occlusion_by_hand():
    """Four windows that do not overlap: the drop of each is the sum of its weights."""
    weights = torch.zeros(4, 4, dtype=torch.float64)
    weights[:2, :2], weights[2:, 2:] = 1.0, -1.0
    model, x = ExplainedModel(Weighted(weights)), torch.ones(1, 1, 4, 4, dtype=torch.float64)

    found = Occlusion(cells=2, overlap=1, readout="logit")(model, x, 0)

    expected = (weights + 1) / 2
    torch.testing.assert_close(found[0], expected)


def all_masks(windows):
    """Return the masks of one image ``(M, *s)``."""
    index = torch.arange(windows.shape[0])
    return windows[index, torch.zeros_like(index)]


def test_windows_cover_every_pixel_and_are_cut_at_the_border():
    """Of 10 x 7 pixels: windows of 4 x 3 with steps of 2."""
    masks = all_masks(WindowMasks.sliding(torch.zeros(1, 1, 10, 7), cells=3, overlap=2))

    assert masks.shape == (4 * 3, 10, 7)
    assert set(masks.sum((1, 2)).tolist()) == {4 * 3.0}
    assert masks.amax(0).min() == 1
    assert all_masks(WindowMasks.sliding(torch.zeros(1, 1, 10, 8), cells=3, overlap=2))[len(masks) - 1].sum() == 4 * 2


def test_spread_windows_end_at_the_borders():
    """Of 11 x 7 pixels: windows of 5 x 4, evenly spaced, where 0.3 of the sides would be 4 x 3."""
    masks = all_masks(WindowMasks.spread(torch.zeros(1, 1, 11, 7), share=0.3, positions=4))

    assert masks.shape == (4 * 4, 11, 7)
    assert set(masks.sum((1, 2)).tolist()) == {5.0 * 4}
    assert masks.amax(0).min() == 1
    assert [int(mask.amax(1).argmax()) for mask in masks[::4]] == [0, 2, 4, 6]
    assert masks.flip(2).equal(masks.reshape(4, 4, 11, 7).flip(1).flatten(0, 1))


def test_few_pixels_have_few_windows():
    """No window is shown twice; one position is the whole axis."""
    few = torch.zeros(1, 1, 2, 3)

    assert WindowMasks.spread(few, share=0.5, positions=6).shape[0] == 2 * 2
    assert WindowMasks.spread(few, share=1.0, positions=1).shape[0] == 1


def test_two_sided_occlusion_by_hand():
    """Halves that are shown and hidden: the score of each half alone, and its drop, which is the same here."""
    weights = torch.zeros(4, 4, dtype=torch.float64)
    weights[:2, :2], weights[2:, 2:] = 1.0, -1.0
    model, x = ExplainedModel(Weighted(weights)), torch.ones(1, 1, 4, 4, dtype=torch.float64)
    halves = TwoSidedOcclusion(
        shown=0.5, shown_positions=2, hidden=0.5, hidden_positions=2, readout="logit", fill="mean"
    )
    either = (weights + 1) / 2

    found = halves(model, x, 0)

    torch.testing.assert_close(found[0], (either**2 + 0.2 * either) / 1.2)


def test_two_sided_occlusion_makes_61_passes():
    """One for each window that is shown and each that is hidden."""
    model = ExplainedModel(Either())
    with count_passes() as meter:
        TwoSidedOcclusion(readout="logit")(model, torch.eye(24)[None, None], 0)

    assert meter.passes == TwoSidedOcclusion().cost.full == 61


def test_evidence_that_is_shown_twice_is_sufficient_and_not_necessary():
    """Two spots, one of which suffices, are found all the same; occlusion by the same windows finds nothing."""
    model = ExplainedModel(Either())
    x = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    x[..., 2, 2], x[..., 9, 9] = 1, 1

    found = TwoSidedOcclusion(readout="logit")(model, x, 0)[0]

    assert found[2, 2] > 0.9
    assert found[9, 9] > 0.9
    assert found[2, 9] < 0.2
    with pytest.warns(FlatHeatmapWarning):
        assert not Occlusion(cells=4, overlap=1, readout="logit")(model, x, 0).any()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"shown": 0}, SettingError, "shown must be a number above 0 and at most 1, got 0"),
        ({"hidden": 1.1}, SettingError, "hidden must be a number above 0 and at most 1, got 1.1"),
        ({"hidden_positions": 0}, SettingError, "hidden_positions must be a positive integer, got 0"),
        ({"shown_positions": 3}, SettingError, "3 windows of 0.3 leave gaps: use more shown_positions"),
        ({"fill": "pink"}, UnknownNameError, "pink"),
    ],
)
def test_windows_that_leave_gaps_are_reported(settings, error, message):
    """Every pixel must be in a window that is shown and in one that is hidden."""
    with pytest.raises(error, match=message):
        TwoSidedOcclusion(**settings)


def test_hsic_finds_the_only_cell_that_matters():
    """And does not distinguish evidence for the class from evidence against it."""
    weights = torch.zeros(6, 6, dtype=torch.float64)
    weights[2:4, 4:] = 1.0
    model, x = ExplainedModel(Weighted(weights)), torch.ones(1, 1, 6, 6, dtype=torch.float64)

    found = torch.stack([HSIC(masks=64, cells=3)(model, x, c)[0] for c in (0, 1)])

    assert all(heatmap[2:4, 4:].min() > 0.7 for heatmap in found)
    assert all(heatmap[:, :2].max() < 0.1 for heatmap in found)


def test_total_indices_of_a_sum():
    """Of a weighted sum of independent inputs: the share of each squared weight."""
    weights = torch.tensor([3.0, 0, 1, 2], dtype=torch.float64)
    pixels = weights.reshape(2, 2).repeat_interleave(3, 0).repeat_interleave(3, 1)
    model, x = ExplainedModel(Weighted(pixels)), torch.ones(1, 1, 6, 6, dtype=torch.float64)

    found = Sobol(cells=2, designs=1024, readout="logit")(model, x, 1)[0]

    expected = minmax(upsample((weights.square() / 14).reshape(1, 2, 2), (6, 6)))[0]
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_total_indices_of_a_product():
    """They count interactions: those of z_0 z_1 are 4/7 each, since Var = 1/9 - 1/16 and E Var_0 = 1/3 * 1/12."""
    first, second = SobolEngine(6, scramble=True, seed=1).draw(4096).double().split(3, 1)
    changed = torch.stack([torch.cat([first[:, :i], second[:, [i]], first[:, i + 1 :]], 1) for i in range(3)])

    found = total_sobol_indices(first[:, :2].prod(1)[:, None], changed[..., :2].prod(-1)[..., None])

    torch.testing.assert_close(found, torch.tensor([[4 / 7, 4 / 7, 0]], dtype=torch.float64), atol=0.01, rtol=0)


def test_sobol_with_a_budget_is_closer_to_sobol_than_with_as_few_passes():
    """On a network whose score is a weighted sum, for each image of a batch as for it alone."""
    torch.manual_seed(0)
    weights = torch.rand(3, 3, dtype=torch.float64).repeat_interleave(5, 0).repeat_interleave(5, 1)
    model, x = ExplainedModel(Weighted(weights / 20)), torch.rand(2, 1, 15, 15, dtype=torch.float64)
    exact, few = (Sobol(cells=3, designs=designs)(model, x, 0) for designs in (512, 4))

    with count_passes() as meter:
        budget = Sobol(cells=3, budget=40)(model, x, 0)

    assert meter.passes == 2 * 40
    assert Sobol(cells=3, budget=40).cost.at(5, 16) == Sobol(cells=3, designs=4).cost.at(5, 16) == (40, 0)
    errors = [(heatmaps - exact).square().mean((1, 2)) for heatmaps in (few, budget)]
    assert (errors[1] < errors[0] / 2).all()
    torch.testing.assert_close(Sobol(cells=3, budget=40)(model, x[1:], 0)[0], budget[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"designs": 1}, "designs must be at least 2"),
        ({"budget": 1}, "budget must be at least 2"),
        ({"budget": 0}, "positive"),
    ],
)
def test_too_few_designs_are_reported(settings, message):
    """One score has no variance."""
    with pytest.raises(SettingError, match=message):
        Sobol(**settings)


@pytest.mark.parametrize(("method", "dimensions"), [(HSIC(cells=146), "21,316"), (Sobol(cells=103), "21,218")])
def test_too_many_cells_are_reported(method, dimensions):
    """A Sobol sequence has a largest dimension."""
    model, x = ExplainedModel(Weighted(torch.ones(4, 4))), torch.ones(1, 1, 4, 4)
    with pytest.raises(SettingError, match=f"at most 21,201 dimensions, got {dimensions}; use fewer cells"):
        method(model, x, 0)


def test_budget_of_rise_is_its_number_of_passes():
    """A budget for all masks changes nothing."""
    toy, x, target = problem("small")
    plain = RISE(masks=30, cells=3)

    with count_passes() as meter:
        heatmaps_of(RISE(masks=30, cells=3, budget=8), toy, x, target)

    assert meter.passes == 2 * 8
    assert RISE(masks=30, cells=3, budget=8).cost.at(5, 16) == (8, 0)
    torch.testing.assert_close(
        heatmaps_of(RISE(masks=30, cells=3, budget=40), toy, x, target), heatmaps_of(plain, toy, x, target)
    )


@pytest.mark.parametrize("readout", ["probability", "logit"])
def test_scores_of_random_masks_are_predicted(readout):
    """From an eighth of them, where every cell has a weight; those that are known stay as they are."""
    torch.manual_seed(0)
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    masks = RiseMasks(400, x, 4, 0.5, 0)
    index = torch.arange(400)
    shown = masks[index, torch.zeros_like(index)].flatten(1)
    logits = shown @ torch.randn(4, 4, dtype=torch.float64).repeat_interleave(4, 0).repeat_interleave(4, 1).flatten()
    scores = (logits / 10)[:, None] if readout == "logit" else (logits / 10).sigmoid()[:, None]

    found = predict_scores(scores[:50], masks, 4, readout)

    assert found[:50].equal(scores[:50])
    assert torch.corrcoef(torch.stack([found[50:, 0], scores[50:, 0]]))[0, 1] > 0.95


def test_rise_with_a_budget_is_closer_to_rise_than_with_as_few_masks():
    """On a network whose score is a weighted sum, for each image of a batch as for it alone."""
    torch.manual_seed(0)
    weights = torch.randn(3, 3, dtype=torch.float64).repeat_interleave(5, 0).repeat_interleave(5, 1)
    model, x = ExplainedModel(Weighted(weights / 20)), torch.rand(2, 1, 15, 15, dtype=torch.float64)
    exact, few, budget = (
        RISE(cells=3, **settings)(model, x, 0)
        for settings in ({"masks": 800}, {"masks": 40}, {"masks": 800, "budget": 40})
    )

    errors = [(heatmaps - exact).square().mean((1, 2)) for heatmaps in (few, budget)]
    assert (errors[1] < errors[0] / 4).all()
    torch.testing.assert_close(RISE(masks=800, cells=3, budget=40)(model, x[1:], 0)[0], budget[1])


def test_references_of_expected_gradients():
    """With the empty image as the only reference, it is Integrated Gradients."""
    toy, x, target = problem("curved")
    black = ExpectedGradients(7, references=lambda count: torch.zeros(count, *x.shape[1:]))

    torch.testing.assert_close(
        heatmaps_of(black, toy, x, target), heatmaps_of("integrated-gradients", toy, x, target), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize(
    ("references", "error", "message"),
    [
        (lambda count: torch.zeros(count, 3, 4, 4), ShapeError, r"a tensor \(5, 3, 8, 8\).* got \(5, 3, 4, 4\)"),
        (lambda count: [1.0] * count, ShapeError, "got list"),
        ("black", UnknownNameError, "unknown kind of references 'black'"),
    ],
)
def test_wrong_references_are_reported(references, error, message):
    """What they must be, and what they are."""
    toy, x, target = problem("small")

    with pytest.raises(error, match=message):
        heatmaps_of(ExpectedGradients(5, references), toy, x, target)


@pytest.mark.parametrize("settings", [{"cells": 0}, {"overlap": 0}])
def test_wrong_windows_are_reported(settings):
    """At least one cell, and one step per window."""
    with pytest.raises(SettingError):
        Occlusion(**settings)
