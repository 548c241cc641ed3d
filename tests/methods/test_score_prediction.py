"""Prediction of scores from a few masks: the choice, the prediction and the error of the heatmap."""

from __future__ import annotations

import math

import pytest
import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import SettingError, UnknownNameError
from fusioncam.functional.gaussian_process import Kernel, predict, select_points
from fusioncam.functional.heatmaps import minmax
from fusioncam.functional.masks import ChannelMasks
from fusioncam.inference.context import following_images
from fusioncam.inference.costs import count_passes
from fusioncam.methods.ablation import ReciproCAM
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.registry import parse
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM, softmax_weights
from fusioncam.methods.score_prediction import AUTO, _completed, _points, estimate, map_error
from toys import problem, small


def many_channels(images=2, channels=40):
    """Return a model with many channels, images and targets."""
    torch.manual_seed(3)
    toy = small(inplace=False, channels=channels).eval()
    return ExplainedModel(toy, "features"), torch.randn(images, 3, 12, 12, dtype=torch.float64), [0, 1][:images]


def correlation(first, second):
    """Return the correlation of two maps."""
    return torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].item()


def test_smooth_function_is_predicted_from_few_points():
    """Forty values determine a smooth function of two variables nearly everywhere between them."""
    points = torch.rand(240, 2, dtype=torch.float64)
    values = torch.sin(3 * points[:, 0]) + points[:, 1] ** 2

    predicted, kernel = predict(points[:40], values[:40], points)

    assert kernel.noise == 1e-6
    torch.testing.assert_close(predicted[:40], values[:40], atol=1e-3, rtol=0)
    assert (predicted - values)[40:].abs().median() < 0.01


def test_prediction_of_noise_is_the_mean():
    """The predictions of independent random values are close to their mean."""
    points, values = torch.rand(100, 3, dtype=torch.float64), torch.randn(100, dtype=torch.float64)

    predicted, _ = predict(points[:60], values[:60], points[60:])

    assert (predicted - values[:60].mean()).abs().mean() < 0.5 * values.std()


@pytest.mark.parametrize("values", [torch.full((4,), 2.0), torch.tensor([1.0, 2.0, 3.0, 2.0])])
def test_prediction_without_information_is_the_mean(values):
    """For equal values or equal points."""
    points = torch.rand(4, 2) if values.std() == 0 else torch.ones(4, 2)

    predicted, _ = predict(points.double(), values.double(), torch.rand(3, 2).double())

    assert predicted.tolist() == pytest.approx([2.0] * 3)


@pytest.mark.parametrize("budget", [6, 10, 25])
def test_budget_is_not_exceeded(budget):
    """An image needs one recorded pass and the budget; computed scores are not changed."""
    model, x, target = many_channels(images=1)
    with count_passes() as meter:
        ScoreCAM(budget=budget)(model, x, target)
    assert meter.passes == 1 + budget

    activations = model.record(x, target).activations
    masks = ChannelMasks(activations, x.shape[2:])
    exact = model.masked_scores(x, masks, target, readout="logit").T
    scored = torch.zeros_like(exact, dtype=torch.bool)

    def score(chosen):
        scored.logical_or_(chosen)
        return exact.where(chosen, torch.nan)

    active = masks.active.T
    estimated = estimate(score, lambda scores: softmax_weights(scores, active), activations, active, budget, 0.1)

    assert scored.sum() == budget
    assert estimated[scored].equal(exact[scored])
    assert estimated[active].isfinite().all()
    assert estimated[~active].isnan().all()


def test_budget_for_all_masks_is_exact():
    """If every active mask may be scored, nothing is predicted."""
    model, x, target = many_channels()

    activations, active, counts = torch.randn(1, 9, 5, 5), torch.ones(1, 9, dtype=torch.bool), []

    def score(chosen):
        counts.append(int(chosen.sum()))
        return torch.where(chosen, 1.0, torch.nan)

    estimate(score, lambda scores: scores, activations, active, 9, 0.1)
    estimate(score, lambda scores: scores, activations, active, 8, 0.1)

    assert counts == [9, 2, 2, 2, 2]  # all at once, or in rounds
    assert ScoreCAM(budget=80)(model, x, target).equal(ScoreCAM()(model, x, target))
    assert FusionCAM(budget=80)(model, x, target).equal(FusionCAM()(model, x, target))


@pytest.mark.parametrize("method", [ScoreCAM(budget=12), METHODS["score-cam:xplaincam"], METHODS["score-cam:cic"]])
def test_heatmap_within_budget_is_close_to_the_exact_one(method):
    """A third of the passes yields nearly the same heatmap, for every readout and weighting."""
    model, x, target = many_channels()
    exact = type(method)(**(vars(method) | {"budget": None}))(model, x, target)

    estimated = type(method)(**(vars(method) | {"budget": 12}))(model, x, target)

    for heatmap, expected in zip(estimated, exact, strict=True):
        assert correlation(heatmap, expected) > 0.9


@pytest.mark.parametrize("method", [ScoreCAM(budget=12), ScoreCAM(budget=AUTO, tolerance=0.3), ISCAM(budget=12)])
def test_batch_equals_singles(method):
    """Each image has its own masks, predictions and stopping round."""
    model, x, target = many_channels()

    together = method(model, x, target)

    alone = torch.cat([method(model, x[n : n + 1], target[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-9, rtol=0)


def test_kernel_by_hand():
    """It is 1 at the distance 0, and (1 + r) exp(-r) with r = sqrt(3) at the distance 1."""
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0]], dtype=torch.float64)

    covariance = Kernel()(points, points)

    r = math.sqrt(3)
    assert covariance.flatten().tolist() == pytest.approx([1, (1 + r) * math.exp(-r), (1 + r) * math.exp(-r), 1])


def test_mask_with_the_largest_effect_is_scored_first():
    """Of three distant masks, the one with the largest effect is chosen; of two similar ones only one."""
    points = torch.tensor([[0.0], [100.0], [200.0], [200.01]], dtype=torch.float64)
    effects = torch.tensor([[1.0, 0], [0, 2.0], [3.0, 0], [3.0, 0]], dtype=torch.float64)
    nothing = torch.zeros(4, dtype=torch.bool)

    assert select_points(points, effects, nothing, 1, Kernel(noise=0.01)).nonzero().flatten().tolist() in ([2], [3])
    first_two = select_points(points, effects, nothing, 2, Kernel(noise=0.01)).tolist()
    assert first_two[1]
    assert sum(first_two[2:]) == 1
    third_known = torch.tensor([False, False, True, False])
    assert select_points(points, effects, third_known, 1, Kernel(noise=0.01)).tolist() == [False, True, False, False]


def test_masks_with_cancelling_effects_are_not_chosen():
    """Two equal masks with opposite channels have no effect together, so that a third one is chosen."""
    points = torch.tensor([[0.0], [0.0], [100.0]], dtype=torch.float64)
    effects = torch.tensor([[5.0], [-5.0], [1.0]], dtype=torch.float64)

    chosen = select_points(points, effects, torch.zeros(3, dtype=torch.bool), 1, Kernel())

    assert chosen.tolist() == [False, False, True]


def test_choice_minimises_the_posterior_covariance():
    """The incremental decomposition chooses the same points as inverting the matrix of every candidate."""
    points, effects = torch.rand(30, 2, dtype=torch.float64), torch.randn(30, 4, dtype=torch.float64)
    kernel, known = Kernel(1, 0.1), torch.zeros(30, dtype=torch.bool)
    known[3] = True

    def trace(scored):
        matrix = kernel(points, points)
        gram = matrix[scored][:, scored] + 0.1 * torch.eye(len(scored)).double()
        left = matrix - matrix[:, scored] @ gram.inverse() @ matrix[scored]
        return (effects.T @ left @ effects).trace()

    scored = [3]
    for _ in range(12):
        scored.append(min((k for k in range(30) if k not in scored), key=lambda k: trace([*scored, k])))

    assert set(select_points(points, effects, known, 12, kernel).nonzero().flatten().tolist()) == set(scored) - {3}


def test_map_error_by_hand():
    """Channels have a deviation of 1, the map of 3; the fresh weight has an error of 1/2, so has the unknown one."""
    maps = torch.tensor([[[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]]])
    before, after = torch.tensor([[1.0, 1.5, 1.0]]), torch.tensor([[1.0, 1.0, 1.0]])
    known, fresh = torch.tensor([[True, True, False]]), torch.tensor([[False, True, False]])

    assert map_error(maps, before, after, known, fresh).tolist() == pytest.approx([0.5 * 1 / 3])
    assert map_error(-maps, before, after, known, fresh).tolist() == [math.inf]  # nothing is left after the ReLU
    assert map_error(-maps, before, after, known | True, fresh).tolist() == [0]


def passes(method, model, x, target):
    """Return the number of passes of a method."""
    with count_passes() as meter:
        method(model, x, target)
    return meter.passes


def test_auto_scores_more_masks_for_a_smaller_tolerance():
    """At least two rounds of 24 masks, and all masks for an unreachable tolerance."""
    torch.manual_seed(3)
    model = ExplainedModel(small(inplace=False, channels=120).eval(), "features")
    x, target = torch.randn(1, 3, 12, 12, dtype=torch.float64), [0]
    active = passes(ScoreCAM(), model, x, target) - 1

    scored = [passes(ScoreCAM(budget=AUTO, tolerance=t), model, x, target) - 1 for t in (1e-9, 2e-4, 100.0)]

    assert scored[0] == active
    assert active > scored[1] > scored[2] == 48
    torch.testing.assert_close(ScoreCAM(budget=AUTO, tolerance=1e-9)(model, x, target), ScoreCAM()(model, x, target))


def test_finished_image_needs_no_more_passes():
    """Images of a batch finish in different rounds, and need the same passes as alone."""
    maps, tops = torch.randn(2, 90, 5, 5, dtype=torch.float64), torch.tensor([1e-3, 3.0])
    scores = torch.randn(2, 90, dtype=torch.float64) * tops[:, None]
    active = torch.ones(2, 90, dtype=torch.bool)

    def scored(images):
        total = torch.zeros_like(active[images])

        def score(chosen):
            total.logical_or_(chosen)
            return scores[images].where(chosen, torch.nan)

        estimate(
            score,
            lambda scores: softmax_weights(scores, active[images]),
            maps[images],
            active[images],
            AUTO,
            0.02,
        )
        return total

    assert scored([0, 1]).equal(torch.cat([scored([0]), scored([1])]))
    first, second = scored([0, 1]).sum(1).tolist()
    assert first == 48 < second


@pytest.mark.parametrize("budget", [4, AUTO])
def test_image_without_active_channels(budget):
    """It has no scores, and the other image of the batch is estimated."""
    maps, active = torch.randn(2, 9, 5, 5, dtype=torch.float64), torch.ones(2, 9, dtype=torch.bool)
    maps[0], active[0] = 0, False

    estimated = estimate(
        lambda chosen: torch.where(chosen, 1.0, torch.nan), lambda s: s.where(active, 0), maps, active, budget, 0.1
    )

    assert estimated[0].isnan().all()
    assert estimated[1].tolist() == [1.0] * 9


@pytest.mark.parametrize("method", [ISCAM(samples=3), SSCAM(samples=3), SSCAM(samples=3, noise="input")])
def test_budget_applies_to_averages(method):
    """Every sample of 12 channels is scored, the heatmap is close, and a budget for all is exact."""
    model, x, target = many_channels(images=1)

    def with_budget(budget):
        return type(method)(**(vars(method) | {"budget": budget}))

    assert passes(with_budget(12), model, x, target) == 1 + 3 * 12
    exact = method(model, x, target)
    assert correlation(with_budget(12)(model, x, target), exact) > 0.9
    torch.testing.assert_close(with_budget(40)(model, x, target), exact)


def test_large_maps_are_pooled_for_the_comparison():
    """Masks of 28 x 28 locations are compared as 7 x 7, and predict as well."""
    torch.manual_seed(3)
    model = ExplainedModel(small(inplace=False, channels=40).eval(), "features")
    x = torch.randn(1, 3, 28, 28, dtype=torch.float64)

    assert correlation(ScoreCAM(budget=12)(model, x, [0]), ScoreCAM()(model, x, [0])) > 0.9
    assert _points(torch.randn(5, 28, 3), torch.ones(5, dtype=torch.bool)).shape == (5, 7 * 3)


def test_equal_masks():
    """Equal masks have equal predictions."""
    maps, active = torch.randn(1, 1, 5, 5).expand(1, 9, 5, 5), torch.ones(1, 9, dtype=torch.bool)

    estimated = estimate(lambda chosen: torch.where(chosen, 2.0, torch.nan), lambda s: s, maps, active, 3, 0.1)

    assert estimated.tolist() == [[2.0] * 9]
    assert _points(maps[0], active[0]).isfinite().all()


@pytest.mark.parametrize("toy_name", ["signal", "volume", "dead"])
def test_any_dimension_and_inactive_channels(toy_name):
    """Signals, volumes and networks with constant channels."""
    toy, x, target = problem(toy_name)

    heatmaps = ScoreCAM(budget=2)(ExplainedModel(toy, "features"), x, target)

    assert heatmaps.isfinite().all()
    assert minmax(heatmaps).equal(heatmaps)


def test_wrong_budget_is_reported():
    """A budget is a positive integer or "auto", and the region method must have that setting."""
    with pytest.raises(SettingError, match="budget must be a positive integer, got 0"):
        ScoreCAM(budget=0)
    with pytest.raises(UnknownNameError, match=r"no setting 'budget'.*score-cam"):
        FusionCAM(region=ReciproCAM(), budget=64)
    assert parse("fusion-cam(budget=64)") == FusionCAM(budget=64)
    assert parse("fusion-cam(budget=auto)") == FusionCAM(budget=AUTO)
    with pytest.raises(SettingError, match="positive integer or 'auto', got 'some'"):
        parse("score-cam(budget=some)")
    with pytest.raises(SettingError, match="tolerance must be a number above 0, got 0"):
        ISCAM(budget=AUTO, tolerance=0)


@pytest.mark.parametrize(
    ("spec", "cost"),
    [
        ("fusion-cam(budget=64)", "1 + 68"),
        ("score-cam(budget=auto)", "1 + up to K"),
        ("score-cam(budget=auto, channels=9)", "1 + up to 9"),
        ("is-cam(budget=8)", "1 + 80"),
        ("ss-cam(budget=auto)", "1 + up to 35 K"),
        ("ss-cam", "1 + 35 K"),
    ],
)
def test_cost_of_a_budget(spec, cost):
    """The cost counts only the passes within the budget."""
    assert str(parse(spec).cost) == cost


@pytest.mark.slow
def test_on_a_real_image(lite0, cat):
    """With 64 of 320 channels scored, Fusion-CAM's heatmap of the cat is nearly the same."""
    x = lite0.preprocessing(cat)[None]
    target = lite0.logits(x).argmax(1)
    model = lite0.with_layer("blocks.6")

    exact, estimated = (FusionCAM(budget=budget)(model, x, target) for budget in (None, 64))

    assert math.isfinite(correlation(estimated, exact))
    assert correlation(estimated, exact) > 0.98


def test_small_matrices_are_computed_in_one_thread(monkeypatch):
    """The number of threads is restored, also after an error."""
    threads, used = torch.get_num_threads(), []
    monkeypatch.setattr(Kernel, "__call__", lambda *_: used.append(torch.get_num_threads()) or 1 / 0)
    points = torch.rand(4, 2, dtype=torch.float64)
    with pytest.raises(ZeroDivisionError):
        select_points(points, points, torch.zeros(4, dtype=torch.bool), 2, Kernel())
    with pytest.raises(ZeroDivisionError):
        predict(points, points[:, 0], points)

    assert used == [1, 1]
    assert torch.get_num_threads() == threads


# -- sequences of images -------------------------------------------------------------------------------------------


def test_a_prior_leaves_only_the_changes_to_predict():
    """With the scores of a similar image a few masks suffice, in fewer rounds."""
    model, x, target = many_channels(images=1)
    activations = model.record(x, target).activations
    masks = ChannelMasks(activations, x.shape[2:])
    exact = model.masked_scores(x, masks, target, readout="logit").T
    active, counts = masks.active.T, []

    def score(chosen):
        counts.append(int(chosen.sum()))
        return exact.where(chosen, torch.nan)

    def error(prior):
        found = estimate(score, lambda s: softmax_weights(s, active), activations, active, 8, 0.1, prior)
        return (found - exact)[active].std().item()

    similar = exact + 0.1 * exact[active].std() * torch.randn_like(exact)
    assert error(similar) < 0.2 * exact[active].std() < error(None)
    assert counts == [4, 4, 2, 2, 2, 2]
    similar[0, 3] = torch.nan  # not known, because the channel was constant
    assert error(similar) < 0.4 * exact[active].std()
    assert error(torch.full_like(exact, torch.nan)) < 2 * exact[active].std()


def test_a_prior_of_another_scene_is_not_used():
    """Predictions are those without it where the scores vary more from it than by themselves."""
    activations, active = torch.randn(1, 20, 5, 5), torch.ones(1, 20, dtype=torch.bool)
    points, known = [_points(activations[0], active[0])], torch.arange(20)[None] < 9
    scores = torch.randn(1, 20).where(known, torch.nan)

    def completed(start):
        return _completed(points, scores, known, active, [Kernel()], start)

    assert completed(5 * torch.randn(1, 20)).equal(completed(torch.zeros(1, 20)))
    near = scores.nan_to_num() + 0.01 * torch.randn(1, 20) + 7
    assert not completed(near).equal(completed(torch.zeros(1, 20)))


def test_images_follow_each_other_only_where_requested():
    """The second of two equal images has the better map, the scores are kept, and nothing else changes."""
    model, x, target = many_channels(images=1)
    method, last = ScoreCAM(budget=10), {}
    exact, alone = ScoreCAM()(model, x, target), method(model, x, target)
    for expected in (True, False, False):
        with following_images(last), count_passes() as counter:
            heatmap = method(model, x, target)
        assert heatmap.equal(alone) == expected
        assert counter.passes == 11
    assert (heatmap - exact).abs().mean() < (alone - exact).abs().mean()
    assert method(model, x, target).equal(alone)
    other, x, target = many_channels(images=1, channels=30)
    with following_images(last):
        assert method(other, x, target).equal(method(other, x, target)) is False  # the first of the two starts anew
    assert last[method].shape == (1, 30)
