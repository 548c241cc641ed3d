"""The trust card: levels and figures by hand, the levels of baselines, and its cost."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import samples
from fusioncam import METHODS, ExplainedModel, explain, explain_each
from fusioncam.errors import FusionCamWarning, MethodError, NonFiniteError, ShapeError, TargetError, UnknownNameError
from fusioncam.functional.masks import gaussian_blur
from fusioncam.functional.similarity import spearman
from fusioncam.inference.costs import count_passes
from fusioncam.methods.fusion import FusionComponents
from fusioncam.methods.registry import parse
from fusioncam.metrics.curves import Deletion, Insertion
from fusioncam.metrics.sanity import ModelRandomisation, NoiseStability
from fusioncam.tasks import MultiLabel
from fusioncam.trust import levels
from fusioncam.trust.assess import check
from fusioncam.trust.card import Question
from fusioncam.trust.measurements import (
    BUDGET,
    MOST_PASSES,
    RANDOM_MAPS,
    SHARE,
    BaselineComparison,
    Case,
    agreement,
    with_small_budget,
)
from samples import CAT, COFFEE
from toys import problem

NAMES = tuple(levels.QUESTIONS)
GRAD_CAM = METHODS["grad-cam"]


class Corner(nn.Module):
    """A network that scores the upper left quarter: class 1 has the logit 8 times its mean minus 4, class 0 has 0."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.features.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
        self.head = nn.Linear(2, 2)
        self.head.weight.data = torch.tensor([[0.0, 0.0], [4.0, -4.0]])
        self.head.bias.data = torch.tensor([0.0, -4.0])

    def forward(self, x):
        """Return scores ``(N, 2)``."""
        maps = self.features(x)
        return self.head(maps[:, :, : x.shape[2] // 2, : x.shape[3] // 2].mean((2, 3)))


def corner(side=16):
    """Return that network's model, a noisy image with a high score, its class, and the heatmap of the quarter."""
    x = 0.5 + torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(3))
    x[:, :, side // 2 :] -= 2
    x[:, :, :, side // 2 :] -= 2
    heatmap = torch.zeros(side, side)
    heatmap[: side // 2, : side // 2] = 1
    return ExplainedModel(Corner(), "features"), x, 1, heatmap


def of_class(model, x, target):
    """Return a heatmap of the corner for class 1 and of the opposite corner for class 0."""
    heatmaps = torch.zeros_like(x[:, 0])
    half = x.shape[2] // 2
    heatmaps[:, :half, :half] = 1
    return heatmaps if int(torch.as_tensor(target)) == 1 else heatmaps.flip(1, 2)


def toy(name="small", method="grad-cam", images=1):
    """Return a toy network's model, its input and target, and the heatmap of a method."""
    network, x, target = problem(name, images)
    model = ExplainedModel(network, "features")
    return model, x, target, METHODS[method](model, x, target)[0].float()


def levels_of(card):
    """Return the level of each question by its name."""
    return {one.name: one.level for one in card.questions}


def question(card, name):
    """Return the question of that name."""
    return next(one for one in card.questions if one.name == name)


# -- levels by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "without", "level"),
    [
        (0.40, 0.40, "good"),
        (0.90, 0.00, "good"),
        (0.39, 0.30, "mixed"),
        (0.90, 0.41, "mixed"),
        (0.30, 0.30, "poor"),
        (0.10, 0.70, "poor"),
    ],
)
def test_half_of_the_probability_must_be_kept_and_half_lost(only, without, level):
    """For a probability of 0.8, good needs at least 0.4 for the part and at most 0.4 without it."""
    figures = {"whole": 0.8, "only": only, "without": without, "only_random": 0.1, "without_random": 0.6}
    answer = levels.judge_deletion(figures, "ash")
    assert (answer.name, answer.level) == ("carries-the-class", level)
    for text in ("ash is 80.0%", f"{only:.1%} for the highest 30%", f"{without:.1%} without", "10.0% and 60.0%"):
        assert text in answer.words


@pytest.mark.parametrize(
    ("own", "center", "level"),
    [(0.31, 0.2, "good"), (0.3, 0.2, "mixed"), (0.31, 0.31, "mixed"), (0.11, 0.0, "mixed"), (0.1, 0.0, "poor")],
)
def test_every_baseline_must_be_beaten(own, center, level):
    """Random heatmaps have 0.1 on average and 0.3 at most: good is above all, poor is not above the mean."""
    figures = {"insertion": 0.5, "deletion": 0.5 - own, "difference": own, "difference_center": center}
    figures |= {"difference_random": 0.1, "difference_random_highest": 0.3}
    assert levels.judge_vs_random(figures, {}).level == level


@pytest.mark.parametrize(
    ("similarity", "gradient", "region", "level"),
    [
        (levels.SIMILAR, 0.1, 0.1, "good"),
        (levels.SIMILAR, 0.1, 0.0, "mixed"),
        (0.7, 0.1, 0.1, "mixed"),
        (levels.DISSIMILAR - 0.01, 0.1, 0.1, "poor"),
        (1.0, 0.0, -0.1, "poor"),
    ],
)
def test_both_heatmaps_must_agree_and_increase_the_probability(similarity, gradient, region, level):
    """Similar heatmaps that both increase the probability are good; dissimilar ones, or two without a gain, poor."""
    figures = {"agreement": similarity, "gain_denoised": gradient, "gain_region": region}
    assert levels.judge_agreement(figures).level == level


@pytest.mark.parametrize(
    ("similarity", "stable", "depends"),
    [
        (1.0, "good", "poor"),
        (levels.SIMILAR, "good", "mixed"),
        (0.7, "mixed", "mixed"),
        (levels.DISSIMILAR, "mixed", "good"),
        (levels.DISSIMILAR - 0.01, "poor", "good"),
        (-1.0, "poor", "good"),
    ],
)
def test_similarity_is_good_under_noise_and_poor_for_a_randomised_network(similarity, stable, depends):
    """Both questions use the same two thresholds, in opposite directions."""
    figures = {"similarity": similarity, "probability": 0.5, "probability_noisy": 0.4, "shuffled": 0.2}
    assert levels.judge_stability(figures, "").level == stable
    assert levels.judge_network_dependence(figures, "").level == depends
    assert "from 50.0% to 40.0% (so)." in levels.judge_stability(figures, " (so)").words
    assert "last 20% of layers" in levels.judge_network_dependence(figures, "").words


@pytest.mark.parametrize(
    ("similarity", "under_noise", "level"),
    [
        (0.95, 0.95, "poor"),
        (0.95, 0.96, "mixed"),
        (levels.SIMILAR, 0.96, "good"),
        (0.3, 0.2, "poor"),
        (1.0, 1.0, "poor"),
    ],
)
def test_another_class_must_differ_by_more_than_noise(similarity, under_noise, level):
    """The answer is poor if the next class's heatmap is as similar as the same class's under noise."""
    answer = levels.judge_class_dependence(
        {"similarity": similarity, "other_probability": 0.25}, under_noise, "birch", ""
    )
    assert answer.level == level
    assert "birch (25.0%)" in answer.words


GOOD = dict.fromkeys(NAMES, "good")


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({}, "good"),
        (dict.fromkeys(("carries-the-class", "stable", "of-this-class"), "mixed"), "good"),
        (dict.fromkeys(("carries-the-class", "stable", "of-this-class", "maps-agree"), "mixed"), "mixed"),
        ({"better-than-chance": "mixed"}, "mixed"),
        ({"stable": "poor"}, "mixed"),
        ({"of-this-class": "poor", "maps-agree": "poor"}, "mixed"),
        ({"maps-agree": "unknown", "stable": "unknown"}, "good"),
        ({"depends-on-the-network": "unknown"}, "mixed"),
        ({"carries-the-class": "poor"}, "poor"),
        ({"better-than-chance": "poor", "stable": "poor"}, "poor"),
        ({"depends-on-the-network": "poor"}, "poor"),
        (dict.fromkeys(NAMES, "unknown"), "poor"),
    ],
)
def test_the_overall_level(changed, level):
    """Decisive questions decide; a heatmap that does not beat the baselines is never good."""
    questions = [Question(name, "?", one, "") for name, one in (GOOD | changed).items()]
    got, words = levels.overall(questions)
    assert got == level
    known = sum(one.level != "unknown" for one in questions)
    if known:
        assert f"{sum(one.level == 'good' for one in questions)} of {known} answers are good" in words
    for name in NAMES:  # the sentence names poor answers that decide
        if (GOOD | changed)[name] == "poor" and level == "poor" and name in levels._DECISIVE:
            assert levels._FAILURES[name] in words


# -- figures by hand -------------------------------------------------------------------------------------------


def test_the_highlighted_part_by_hand():
    """The shown and the blurred pixels of the highest 30 % are computed one by one."""
    model, x, target, _ = corner()
    heatmap = torch.rand(16, 16, generator=torch.Generator().manual_seed(1))
    figures = question(check(model, x, target, heatmap, of_class), "carries-the-class").figures

    highest = set(heatmap.flatten().argsort(descending=True)[: round(SHARE * 256)].tolist())
    blurred, logits = gaussian_blur(x, 50)[0, 0].flatten(), dict.fromkeys(("whole", "only", "without"), -4.0)
    for index, value in enumerate(x[0, 0].flatten().tolist()):
        if index // 16 < 8 and index % 16 < 8:
            hidden = float(blurred[index])
            logits["whole"] += 8 * value / 64
            logits["only"] += 8 * (value if index in highest else hidden) / 64
            logits["without"] += 8 * (hidden if index in highest else value) / 64
    for name, logit in logits.items():
        assert figures[name] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
    assert figures["only_random_lowest"] <= figures["only_random"] <= figures["only_random_highest"]


def test_the_curves_are_those_of_the_metrics():
    """Insertion and deletion use the blurred image; areas, and the mean of the random heatmaps, are the metrics'."""
    model, x, target, heatmap = corner()
    answer = question(check(model, x, target, heatmap, of_class), "better-than-chance")
    maps = BaselineComparison.of(Case(model, x, torch.tensor([target]), heatmap[None], of_class)).maps
    assert len(maps) == RANDOM_MAPS + 2
    for name, metric in {"insertion": Insertion(steps=16), "deletion": Deletion(steps=16, fill="blur")}.items():
        values = [metric(model, x, target, one[None]).item() for one in maps]
        found = {one: answer.figures[f"{name}{one}"] for one in ("", "_random", "_random_lowest", "_center")}
        random = values[1:-1]
        expected = {"": values[0], "_random": sum(random) / 5, "_random_lowest": min(random), "_center": values[-1]}
        assert found == pytest.approx(expected, abs=1e-6)
        curves = answer.curves[name]
        assert {len(one) for one in curves.values()} == {17}
        assert curves["heatmap"] == pytest.approx(metric.curve(model, x, target, maps[:1])[:, 0].tolist(), abs=1e-5)
        lines = torch.stack([metric.curve(model, x, target, one[None])[:, 0] for one in maps[1:-1]])
        assert curves["random"] == pytest.approx(lines.mean(0).tolist(), abs=1e-5)
    assert answer.figures["difference"] == pytest.approx(answer.figures["insertion"] - answer.figures["deletion"])
    # the corner appears and disappears first
    assert answer.level == "good"
    assert answer.curves["insertion"]["heatmap"][4] == pytest.approx(answer.curves["insertion"]["heatmap"][-1])


def test_random_heatmaps_differ_and_are_coarse():
    """Each is different, the same in every call, and smooth: neighbouring pixels are similar."""
    model, x, target, heatmap = corner(56)
    case = Case(model, x, torch.tensor([target]), heatmap[None], of_class)
    maps = BaselineComparison.of(case).maps[1:-1]
    assert torch.equal(maps, BaselineComparison.of(case).maps[1:-1])
    assert len({tuple(one.flatten().tolist()) for one in maps}) == RANDOM_MAPS
    dust = METHODS["random"](model, x, 1)
    assert maps.diff(dim=2).abs().mean() < 0.3 * dust.diff(dim=2).abs().mean()


def test_agreement_by_hand():
    """Ranks 0 1 2 3 and 0 1 3 2 have a correlation of 0.8; the gains have the names of their heatmaps."""
    first, second = torch.tensor([[0.0, 0.1], [0.5, 1.0]]), torch.tensor([[0.0, 0.2], [1.0, 0.4]])
    gains = {"denoised": torch.tensor(0.25), "region": torch.tensor(-0.5), "union": torch.tensor(0.125)}
    figures = agreement(FusionComponents(first, first, second, first, gains))
    expected = {"agreement": 0.8, "gain_denoised": 0.25, "gain_region": -0.5, "gain_union": 0.125}
    assert figures == pytest.approx(expected)


def test_figures_are_those_of_the_metrics():
    """Noise and random layers are those of noise-stability and model-randomisation; the class is the next one."""
    model, x, target, heatmap = toy()
    card = check(model, x, target, heatmap, GRAD_CAM)
    maps = heatmap[None].double()
    stable = NoiseStability(samples=2)(model, x, target, maps, method=GRAD_CAM).item()
    assert question(card, "stable").figures["similarity"] == pytest.approx(stable, abs=1e-3)
    first = ModelRandomisation(stages=5).curve(model, x, target, maps, GRAD_CAM)[0].item()
    assert question(card, "depends-on-the-network").figures["similarity"] == pytest.approx(first, abs=1e-3)

    probabilities = model.logits(x).softmax(1)[0]
    other = max(set(range(3)) - {int(target)}, key=lambda one: probabilities[one])
    figures = question(card, "of-this-class").figures
    similarity = spearman(GRAD_CAM(model, x, target), GRAD_CAM(model, x, torch.tensor([other]))).item()
    assert (figures["other"], figures["similarity"]) == (other, pytest.approx(similarity, abs=1e-3))
    assert figures["other_probability"] == pytest.approx(probabilities[other].item(), abs=1e-5)


def test_a_heatmap_of_the_right_location_and_class():
    """The heatmap of the corner is good in all answers, except that it does not depend on the network."""
    model, x, target, heatmap = corner()
    card = check(model, x, target, heatmap, of_class)
    assert levels_of(card) == {
        "carries-the-class": "good",
        "better-than-chance": "good",
        "maps-agree": "unknown",
        "stable": "good",
        "depends-on-the-network": "poor",
        "of-this-class": "good",
    }
    assert card.level == "poor"
    assert levels._FAILURES["depends-on-the-network"] in card.words
    wrong = check(model, x, target, heatmap.flip(0, 1), of_class)
    assert {levels_of(wrong)[name] for name in NAMES[:2]} == {"poor"}


# -- baselines -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), [("random", "random"), ("center", "grad-cam")])
def test_baselines_are_not_good_on_a_photograph(lite0, name, method):
    """A random heatmap is poor; a spot at the centre cannot beat under_noise, even if it is given as Grad-CAM's."""
    x = lite0.preprocessing(samples.photo())[None]
    card = check(lite0, x, 282, METHODS[name](lite0, x, 282)[0], method)
    assert card.level != "good"
    assert levels_of(card)["better-than-chance"] != "good"
    if name == method:
        assert card.level == "poor"
        assert {levels_of(card)[one] for one in ("depends-on-the-network", "of-this-class")} == {"poor"}


# -- unknown answers -------------------------------------------------------------------------------------------


def test_a_constant_heatmap_highlights_nothing():
    """No question is measured for it."""
    model, x, target, heatmap = toy()
    card = check(model, x, target, torch.full_like(heatmap, 0.5), GRAD_CAM)
    assert (card.level, set(levels_of(card).values())) == ("poor", {"unknown"})
    assert {one.words for one in card.questions} == {"The heatmap is constant: it highlights nothing."}
    assert card.passes <= 2


def test_a_network_with_one_class():
    """Chance is unknown, and there is no other class."""
    toy_, x, _ = problem("small", 1)
    toy_.head[-1] = nn.Linear(4, 1).double()
    model = ExplainedModel(toy_.eval(), "features")
    with pytest.warns(FusionCamWarning, match="one output"):
        card = check(model, x, 0, torch.rand(8, 8), GRAD_CAM)
    got = levels_of(card)
    assert [got[name] for name in (*NAMES[:2], "of-this-class")] == ["unknown"] * 3
    assert "MultiLabel" in question(card, "carries-the-class").words
    assert "no other class" in question(card, "of-this-class").words
    assert got["stable"] != "unknown"
    assert card.level != "good"


def test_a_multi_label_network():
    """For a label that is present or absent, the next class is its absence."""
    model = ExplainedModel(MultiLabel(samples.Small(), 1), "wrapped.act", preprocessing=samples.small().preprocessing)
    card = explain(CAT, model=model, method="grad-cam", target=1, check=True).card
    assert question(card, "of-this-class").figures["other"] == 0
    assert "class 0" in question(card, "of-this-class").words
    assert "unknown" not in {levels_of(card)[name] for name in NAMES if name != "maps-agree"}


def test_a_class_with_a_probability_of_chance():
    """Questions about a loss of probability are unknown; the others are answered."""
    model, x, target, heatmap = corner()
    card = check(model, x, 1 - target, heatmap, of_class)
    assert [levels_of(card)[name] for name in NAMES[:2]] == ["unknown", "unknown"]
    assert "no more than chance among 2 classes" in question(card, "better-than-chance").words
    assert levels_of(card)["stable"] != "unknown"


def test_a_method_with_too_many_passes_is_stopped():
    """The method is stopped at the limit, and the card names the metrics to use instead."""
    model, x, target, heatmap = toy()
    card = check(model, x, target, heatmap, METHODS["hsic"])
    for name in NAMES[3:]:
        assert f"more than {MOST_PASSES} passes" in question(card, name).words
        assert levels_of(card)[name] == "unknown"
    assert card.passes < 1000
    assert card.level in ("mixed", "poor")


@dataclass(frozen=True)
class Budgeted:
    """A method that returns another heatmap if it has a budget."""

    budget: int | None = None

    def __call__(self, model, x, target):
        """Return heatmaps."""
        heatmaps = GRAD_CAM(model, x, target)
        return heatmaps if self.budget is None else 1 - heatmaps


def test_a_smaller_budget_that_changes_the_heatmap_is_reported():
    """The three questions that compute the heatmap again give the reason why they are unknown."""
    model, x, target, heatmap = toy()
    card = check(model, x, target, heatmap, Budgeted())
    for name in NAMES[3:]:
        assert (
            f"With {BUDGET} masks the method returns a different heatmap: its correlation with this one is -1.00"
            in question(card, name).words
        )


@pytest.mark.parametrize(
    ("spec", "cheaper"),
    [
        ("fusion-cam", "fusion-cam(region=score-cam(budget=64))"),
        ("fusion-cam(budget=500)", "fusion-cam(budget=64)"),
        ("fusion-cam(budget=auto)", "fusion-cam(budget=64)"),
        ("fusion-cam(budget=16)", "fusion-cam(budget=16)"),
        ("fusion-cam(region=group-cam)", "fusion-cam(region=group-cam)"),
        ("fuse(partners=[grad-cam, score-cam])", "fuse(partners=[grad-cam, score-cam(budget=64)])"),
        ("fusion-cam:multiscale", "fusion-cam:multiscale(base=fusion-cam(region=score-cam(budget=64)))"),
        ("grad-cam", "grad-cam"),
    ],
)
def test_methods_get_a_small_budget(spec, cheaper):
    """Score-CAM and its variants score at most 64 masks, also inside other methods."""
    assert with_small_budget(parse(spec)) == parse(cheaper)


def test_a_callable_gets_no_budget():
    """Functions and classes are returned unchanged."""
    assert with_small_budget(of_class) is of_class
    assert with_small_budget(Budgeted) is Budgeted


def test_the_budget_is_stated():
    """The answers state that Fusion-CAM ran with 64 masks; Grad-CAM runs unchanged."""
    model, x, target, heatmap = toy(method="fusion-cam")
    ingredients = METHODS["fusion-cam"].ingredients(model, x, target)
    one = FusionComponents(
        *(getattr(ingredients, name)[0] for name in ("heatmaps", "denoised", "region", "union")),
        gains={name: gain[0] for name, gain in ingredients.gains.items()},
    )
    card = check(model, x, target, heatmap, "fusion-cam", ingredients=one)
    assert f"computed again with {BUDGET} masks" in question(card, "stable").words
    assert question(card, "maps-agree").level != "unknown"
    bare = check(model, x, target, heatmap, "fusion-cam")
    assert "were not given" in question(bare, "maps-agree").words
    plain = check(model, x, target, heatmap, "grad-cam")
    assert "does not fuse" in question(plain, "maps-agree").words
    assert "computed again" not in question(plain, "stable").words


class Uncopied(samples.Small):
    """A network that cannot be copied, as one that holds a lock or a file."""

    def __deepcopy__(self, memo):
        """Raise, as a lock does."""
        raise TypeError("cannot pickle '_thread.lock' object")


def test_a_network_that_cannot_be_copied():
    """The question about the network is unknown, with the reason; the others are answered."""
    card = explain(CAT, model=samples.explained(Uncopied()), method="grad-cam", check=True).card
    answer = question(card, "depends-on-the-network")
    assert answer.level == "unknown"
    assert "cannot be copied (TypeError: cannot pickle '_thread.lock' object)" in answer.words
    assert levels_of(card)["stable"] != "unknown"
    assert card.level != "good"


@pytest.mark.parametrize("name", ["signal", "volume", "linear", "dead"])
def test_signals_volumes_and_inactive_channels(name):
    """Inputs may have any number of sides."""
    network, x, target = problem(name, 1)
    model = ExplainedModel(network, "features")
    heatmap = torch.rand(x.shape[2:], generator=torch.Generator().manual_seed(0))
    card = check(model, x, target, heatmap, GRAD_CAM)
    assert [one.name for one in card.questions] == list(NAMES)
    json.dumps(card.facts(), allow_nan=False)


# -- wrong input -----------------------------------------------------------------------------------------------


def test_wrong_input_is_reported():
    """Batches, wrong shapes, class weights, unknown classes, NaN and unknown names raise errors."""
    model, x, target, heatmap = toy()
    with pytest.raises(ShapeError, match="must be one image"):
        check(model, x.repeat(2, 1, 1, 1), target, heatmap, GRAD_CAM)
    with pytest.raises(ShapeError, match=r"must have shape \(8, 8\), got \(4, 4\)"):
        check(model, x, target, heatmap[:4, :4], GRAD_CAM)
    with pytest.raises(TargetError, match="index of one class"):
        check(model, x, torch.rand(1, 3), heatmap, GRAD_CAM)
    with pytest.raises(TargetError, match="index from 0 to 2, got 3"):
        check(model, x, 3, heatmap, GRAD_CAM)
    with pytest.raises(NonFiniteError):
        check(model, x, target, heatmap * torch.nan, GRAD_CAM)
    with pytest.raises(UnknownNameError, match="did you mean 'grad-cam'"):
        check(model, x, target, heatmap, "gradcam")


# -- side effects and cost -------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_not_changed(training):
    """Parameters, buffers, gradients, hooks, flags and the random state are as before."""
    model, x, target, heatmap = toy()
    network = model.network.train(training)
    before = {name: one.clone() for name, one in network.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check(model, x, target, heatmap, GRAD_CAM)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert all(one.grad is None for one in network.parameters())
    assert all(module.training is training for module in network.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_passes_are_counted_and_limited():
    """The card has the counted passes, which are below the expected limit for Fusion-CAM."""
    model, x, target, heatmap = toy(method="fusion-cam")
    with count_passes() as counter:
        card = check(model, x, target, heatmap, "fusion-cam")
    assert (card.passes, card.partial_passes) == (counter.passes, counter.partial)
    again = 5 * (1 + BUDGET + 4)
    assert 0 < card.passes < 2 * 17 * 7 + 2 * 7 + 10 + again
    assert card.seconds > 0


def test_two_checks_are_equal():
    """All random numbers are seeded."""
    model, x, target, heatmap = toy()
    first, second = (check(model, x, target, heatmap, GRAD_CAM) for _ in range(2))
    assert first.questions == second.questions


# -- an explanation and its card -------------------------------------------------------------------------------


def test_an_explanation_is_checked_once():
    """The first check stores the card, and the facts contain it."""
    explanation = explain(CAT, model=samples.small(), method="fusion-cam")
    assert explanation.card is None
    assert "check" not in explanation.facts()
    assert explanation._repr_html_() is None
    representation = repr(explanation)
    card = explanation.check()
    assert explanation.check() is card is explanation.card
    assert explanation.facts()["check"] == card.facts()
    assert repr(explanation) == representation
    assert levels_of(card)["maps-agree"] != "unknown"
    assert "cedar" in question(card, "carries-the-class").words


def test_facts_are_json():
    """Names, levels, figures and curves are stored as JSON."""
    card = explain(CAT, model=samples.small(), method="fusion-cam", check=True).card
    facts = json.loads(json.dumps(card.facts(), allow_nan=False))
    assert set(facts) == {"level", "words", "seconds", "passes", "partial_passes", "questions"}
    assert tuple(one["name"] for one in facts["questions"]) == NAMES
    for one in facts["questions"]:
        keys = {"name", "question", "level", "words", "figures"}
        assert set(one) == (keys | {"curves"} if one["name"] == "better-than-chance" else keys)
        assert one["question"].endswith("?")
        assert one["level"] in ("good", "mixed", "poor", "unknown")
        assert all(isinstance(value, float) for value in one["figures"].values())
    curves = facts["questions"][1]["curves"]
    assert set(curves) == {"insertion", "deletion"}
    assert all(set(lines) == {"heatmap", "random", "center"} for lines in curves.values())


def test_the_card_does_not_depend_on_the_batch():
    """Each image of a batch has the same card as alone."""
    together = list(
        explain_each([CAT, COFFEE], model=samples.small(), methods=["grad-cam"], batch_size=2, check=True)
    )
    for image, one in zip([CAT, COFFEE], together, strict=True):
        alone = explain(image, model=samples.small(), method="grad-cam", check=True)
        for answer, other in zip(one.card.questions, alone.card.questions, strict=True):
            assert answer.level == other.level
            assert answer.figures == pytest.approx(other.figures, abs=1e-4)


def test_pickled_without_the_network():
    """A pickled explanation keeps its card; without a card it cannot be checked any more."""
    explanation = explain(CAT, model=samples.small(), method="grad-cam")
    kept = pickle.loads(pickle.dumps(explanation))
    with pytest.raises(MethodError, match="was pickled"):
        kept.check()
    explanation.check()
    kept = pickle.loads(pickle.dumps(explanation))
    assert kept.card == explanation.card
    assert b"Small" not in pickle.dumps(explanation)


def test_each_class_is_checked_against_the_next_one():
    """With top2, each of the two classes is the next class of the other."""
    first, second = explain_each([CAT], model=samples.small(), methods=["grad-cam"], target="top2", check=True)
    assert question(first.card, "of-this-class").figures["other"] == second.target
    assert question(second.card, "of-this-class").figures["other"] == first.target
