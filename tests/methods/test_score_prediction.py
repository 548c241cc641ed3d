"""A few scored masks stand for all: what is asked for, what is predicted, and how near the map comes."""

from __future__ import annotations

import math

import pytest
import torch

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import SettingError, UnknownNameError
from fusioncam.functional.gaussian_process import Kernel, predict, select_points
from fusioncam.functional.heatmaps import minmax
from fusioncam.functional.masks import ChannelMasks
from fusioncam.inference.costs import count_passes
from fusioncam.methods.ablation import ReciproCAM
from fusioncam.methods.fusion import FusionCAM
from fusioncam.methods.registry import parse
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM, softmax_weights
from fusioncam.methods.score_prediction import AUTO, _points, estimate, map_error
from toys import problem, small


def many_channels(images=2, channels=40):
    """Give a model of many channels, images and targets."""
    torch.manual_seed(3)
    toy = small(inplace=False, channels=channels).eval()
    return ExplainedModel(toy, "features"), torch.randn(images, 3, 12, 12, dtype=torch.float64), [0, 1][:images]


def correlation(first, second):
    """Give the correlation of two maps."""
    return torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].item()


def test_a_smooth_function_is_predicted_from_few_points():
    """Forty values of a smooth function of two variables tell it nearly everywhere between them."""
    points = torch.rand(240, 2, dtype=torch.float64)
    values = torch.sin(3 * points[:, 0]) + points[:, 1] ** 2

    predicted, kernel = predict(points[:40], values[:40], points)

    assert kernel.noise == 1e-6
    torch.testing.assert_close(predicted[:40], values[:40], atol=1e-3, rtol=0)
    assert (predicted - values)[40:].abs().median() < 0.01


def test_noise_is_not_followed():
    """Where values are chance, predictions keep to their mean."""
    points, values = torch.rand(100, 3, dtype=torch.float64), torch.randn(100, dtype=torch.float64)

    predicted, _ = predict(points[:60], values[:60], points[60:])

    assert (predicted - values[:60].mean()).abs().mean() < 0.5 * values.std()


@pytest.mark.parametrize("values", [torch.full((4,), 2.0), torch.tensor([1.0, 2.0, 3.0, 2.0])])
def test_nothing_to_go_by_gives_the_mean(values):
    """Equal values, or equal points, say no more than their mean."""
    points = torch.rand(4, 2) if values.std() == 0 else torch.ones(4, 2)

    predicted, _ = predict(points.double(), values.double(), torch.rand(3, 2).double())

    assert predicted.tolist() == pytest.approx([2.0] * 3)


@pytest.mark.parametrize("budget", [6, 10, 25])
def test_no_more_is_asked_than_the_budget(budget):
    """One recorded pass and the budget are all that an image costs, and what was scored is not changed."""
    model, x, target = many_channels(images=1)
    with count_passes() as meter:
        ScoreCAM(budget=budget)(model, x, target)
    assert meter.passes == 1 + budget

    activations = model.record(x, target).activations
    masks = ChannelMasks(activations, x.shape[2:])
    exact = model.masked_scores(x, masks, target, readout="logit").T
    asked = torch.zeros_like(exact, dtype=torch.bool)

    def score(chosen):
        asked.logical_or_(chosen)
        return exact.where(chosen, torch.nan)

    active = masks.active.T
    given = estimate(score, lambda scores: softmax_weights(scores, active), activations, active, budget, 0.1)

    assert asked.sum() == budget
    assert given[asked].equal(exact[asked])
    assert given[active].isfinite().all()
    assert given[~active].isnan().all()


def test_a_budget_for_all_is_exact():
    """Where every living mask may be scored, nothing is predicted."""
    model, x, target = many_channels()

    activations, active, asked = torch.randn(1, 9, 5, 5), torch.ones(1, 9, dtype=torch.bool), []

    def score(chosen):
        asked.append(int(chosen.sum()))
        return torch.where(chosen, 1.0, torch.nan)

    estimate(score, lambda scores: scores, activations, active, 9, 0.1)
    estimate(score, lambda scores: scores, activations, active, 8, 0.1)

    assert asked == [9, 2, 2, 2, 2]  # all at once, or in rounds
    assert ScoreCAM(budget=80)(model, x, target).equal(ScoreCAM()(model, x, target))
    assert FusionCAM(budget=80)(model, x, target).equal(FusionCAM()(model, x, target))


@pytest.mark.parametrize("method", [ScoreCAM(budget=12), METHODS["score-cam:xplaincam"], METHODS["score-cam:cic"]])
def test_the_map_comes_near(method):
    """A third of the passes give nearly the same map, whatever the readout and the weights."""
    model, x, target = many_channels()
    exact = type(method)(**(vars(method) | {"budget": None}))(model, x, target)

    given = type(method)(**(vars(method) | {"budget": 12}))(model, x, target)

    for one, other in zip(given, exact, strict=True):
        assert correlation(one, other) > 0.9


@pytest.mark.parametrize("method", [ScoreCAM(budget=12), ScoreCAM(budget=AUTO, tolerance=0.3), ISCAM(budget=12)])
def test_batch_equals_singles(method):
    """Each image has masks, predictions and an end of its own."""
    model, x, target = many_channels()

    together = method(model, x, target)

    alone = torch.cat([method(model, x[n : n + 1], target[n : n + 1]) for n in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-9, rtol=0)


def test_a_kernel_by_hand():
    """At no distance 1, at the distance 1 (1 + r) exp(-r) with r = sqrt(3)."""
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0]], dtype=torch.float64)

    alike = Kernel()(points, points)

    r = math.sqrt(3)
    assert alike.flatten().tolist() == pytest.approx([1, (1 + r) * math.exp(-r), (1 + r) * math.exp(-r), 1])


def test_what_moves_the_map_most_is_scored_first():
    """Of three masks far apart the one of the largest effect; of two alike the second is not worth a pass."""
    points = torch.tensor([[0.0], [100.0], [200.0], [200.01]], dtype=torch.float64)
    effects = torch.tensor([[1.0, 0], [0, 2.0], [3.0, 0], [3.0, 0]], dtype=torch.float64)
    nothing = torch.zeros(4, dtype=torch.bool)

    assert select_points(points, effects, nothing, 1, Kernel(noise=0.01)).nonzero().flatten().tolist() in ([2], [3])
    first_two = select_points(points, effects, nothing, 2, Kernel(noise=0.01)).tolist()
    assert first_two[1]
    assert sum(first_two[2:]) == 1
    third_known = torch.tensor([False, False, True, False])
    assert select_points(points, effects, third_known, 1, Kernel(noise=0.01)).tolist() == [False, True, False, False]


def test_masks_that_cancel_are_told_apart_by_the_map():
    """Two alike masks whose channels are each other's negative move nothing: a third one is asked for."""
    points = torch.tensor([[0.0], [0.0], [100.0]], dtype=torch.float64)
    effects = torch.tensor([[5.0], [-5.0], [1.0]], dtype=torch.float64)

    chosen = select_points(points, effects, torch.zeros(3, dtype=torch.bool), 1, Kernel())

    assert chosen.tolist() == [False, False, True]


def test_the_choice_is_the_one_of_least_posterior_covariance():
    """The decomposition along the way chooses what inverting every candidate's matrix chooses."""
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


def test_the_error_of_a_map_by_hand():
    """Channels vary by 1, the map by 3; the fresh weight was wrong by a half, so the unknown one is too."""
    maps = torch.tensor([[[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]]])
    before, after = torch.tensor([[1.0, 1.5, 1.0]]), torch.tensor([[1.0, 1.0, 1.0]])
    known, fresh = torch.tensor([[True, True, False]]), torch.tensor([[False, True, False]])

    assert map_error(maps, before, after, known, fresh).tolist() == pytest.approx([0.5 * 1 / 3])
    assert map_error(-maps, before, after, known, fresh).tolist() == [math.inf]  # nothing is left after the ReLU
    assert map_error(-maps, before, after, known | True, fresh).tolist() == [0]


def passes(method, model, x, target):
    """Give how many passes a method makes."""
    with count_passes() as meter:
        method(model, x, target)
    return meter.passes


def test_auto_asks_for_more_where_less_error_is_asked_for():
    """At least two rounds of 24, all of them under an impossible tolerance, in between otherwise."""
    torch.manual_seed(3)
    model = ExplainedModel(small(inplace=False, channels=120).eval(), "features")
    x, target = torch.randn(1, 3, 12, 12, dtype=torch.float64), [0]
    living = passes(ScoreCAM(), model, x, target) - 1

    asked = [passes(ScoreCAM(budget=AUTO, tolerance=t), model, x, target) - 1 for t in (1e-9, 2e-4, 100.0)]

    assert asked[0] == living
    assert living > asked[1] > asked[2] == 48
    torch.testing.assert_close(ScoreCAM(budget=AUTO, tolerance=1e-9)(model, x, target), ScoreCAM()(model, x, target))


def test_a_finished_image_costs_no_more_passes():
    """Images of a batch end in rounds of their own: together they cost what each costs alone."""
    maps, tops = torch.randn(2, 90, 5, 5, dtype=torch.float64), torch.tensor([1e-3, 3.0])
    scores = torch.randn(2, 90, dtype=torch.float64) * tops[:, None]
    active = torch.ones(2, 90, dtype=torch.bool)

    def asked(images):
        total = torch.zeros_like(active[images])

        def score(chosen):
            total.logical_or_(chosen)
            return scores[images].where(chosen, torch.nan)

        estimate(
            score,
            lambda given: softmax_weights(given, active[images]),
            maps[images],
            active[images],
            AUTO,
            0.02,
        )
        return total

    assert asked([0, 1]).equal(torch.cat([asked([0]), asked([1])]))
    one, other = asked([0, 1]).sum(1).tolist()
    assert one == 48 < other


@pytest.mark.parametrize("budget", [4, AUTO])
def test_a_image_without_a_living_channel(budget):
    """It is asked nothing, and its neighbour is served."""
    maps, active = torch.randn(2, 9, 5, 5, dtype=torch.float64), torch.ones(2, 9, dtype=torch.bool)
    maps[0], active[0] = 0, False

    given = estimate(
        lambda chosen: torch.where(chosen, 1.0, torch.nan), lambda s: s.where(active, 0), maps, active, budget, 0.1
    )

    assert given[0].isnan().all()
    assert given[1].tolist() == [1.0] * 9


@pytest.mark.parametrize("method", [ISCAM(samples=3), SSCAM(samples=3), SSCAM(samples=3, noise="input")])
def test_averages_are_budgeted_too(method):
    """Every sample of 12 channels is scored, the map comes near, and a budget for all is exact."""
    model, x, target = many_channels(images=1)

    def with_budget(budget):
        return type(method)(**(vars(method) | {"budget": budget}))

    assert passes(with_budget(12), model, x, target) == 1 + 3 * 12
    exact = method(model, x, target)
    assert correlation(with_budget(12)(model, x, target), exact) > 0.9
    torch.testing.assert_close(with_budget(40)(model, x, target), exact)


def test_large_maps_are_compared_small():
    """Masks of 28 x 28 places cost no more to compare than those of 7 x 7, and predict as well."""
    torch.manual_seed(3)
    model = ExplainedModel(small(inplace=False, channels=40).eval(), "features")
    x = torch.randn(1, 3, 28, 28, dtype=torch.float64)

    assert correlation(ScoreCAM(budget=12)(model, x, [0]), ScoreCAM()(model, x, [0])) > 0.9
    assert _points(torch.randn(5, 28, 3), torch.ones(5, dtype=torch.bool)).shape == (5, 7 * 3)


def test_equal_masks():
    """Masks that are all the same tell the same, whatever their number."""
    maps, active = torch.randn(1, 1, 5, 5).expand(1, 9, 5, 5), torch.ones(1, 9, dtype=torch.bool)

    given = estimate(lambda chosen: torch.where(chosen, 2.0, torch.nan), lambda s: s, maps, active, 3, 0.1)

    assert given.tolist() == [[2.0] * 9]
    assert _points(maps[0], active[0]).isfinite().all()


@pytest.mark.parametrize("toy_name", ["signal", "volume", "dead"])
def test_any_number_of_sides_and_dead_channels(toy_name):
    """Signals, volumes and networks with constant channels are served too."""
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
    with pytest.raises(SettingError, match="tolerance must be a positive number, got 0"):
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
    """Of 320 channels 64 are scored: Fusion-CAM's map of the cat is all but the same."""
    x = lite0.preprocessing(cat)[None]
    target = lite0.logits(x).argmax(1)
    model = lite0.with_layer("blocks.6")

    exact, given = (FusionCAM(budget=budget)(model, x, target) for budget in (None, 64))

    assert math.isfinite(correlation(given, exact))
    assert correlation(given, exact) > 0.98


def test_small_matrices_are_computed_in_one_thread(monkeypatch):
    """And the number of threads is given back, also after an error."""
    threads, seen = torch.get_num_threads(), []
    monkeypatch.setattr(Kernel, "__call__", lambda *_: seen.append(torch.get_num_threads()) or 1 / 0)
    points = torch.rand(4, 2, dtype=torch.float64)
    with pytest.raises(ZeroDivisionError):
        select_points(points, points, torch.zeros(4, dtype=torch.bool), 2, Kernel())
    with pytest.raises(ZeroDivisionError):
        predict(points, points[:, 0], points)

    assert seen == [1, 1]
    assert torch.get_num_threads() == threads
