"""The trust card: its arithmetic by hand, that maps which know nothing do not get the best level, what it costs."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import dataclass

import pytest
import torch
from markupsafe import escape
from torch import nn

import samples
from fusioncam import METHODS, ExplainedModel, explain, explain_each
from fusioncam.errors import MethodError, NonFiniteError, ShapeError, TargetError, UnknownNameError
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
from fusioncam.trust.card import Question, TrustCard
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
from fusioncam.trust.rendering import CardView, to_notebook_html, to_table
from samples import CAT, COFFEE
from toys import problem

NAMES = tuple(levels.QUESTIONS)
GRAD_CAM = METHODS["grad-cam"]


class Corner(nn.Module):
    """Scores the upper left quarter of its image: class 1 has a logit of 8 times its mean less 4, class 0 has 0."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.features.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
        self.head = nn.Linear(2, 2)
        self.head.weight.data = torch.tensor([[0.0, 0.0], [4.0, -4.0]])
        self.head.bias.data = torch.tensor([0.0, -4.0])

    def forward(self, x):
        """Give scores ``(N, 2)``."""
        maps = self.features(x)
        return self.head(maps[:, :, : x.shape[2] // 2, : x.shape[3] // 2].mean((2, 3)))


def corner(side=16):
    """Give that network, a noisy image that it is sure of, its class, and the map of what it looks at."""
    x = 0.5 + torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(3))
    x[:, :, side // 2 :] -= 2
    x[:, :, :, side // 2 :] -= 2
    heatmap = torch.zeros(side, side)
    heatmap[: side // 2, : side // 2] = 1
    return ExplainedModel(Corner(), "features"), x, 1, heatmap


def of_class(model, x, target):
    """Make a heatmap of the corner for class 1 and of the opposite one for class 0."""
    heatmaps = torch.zeros_like(x[:, 0])
    half = x.shape[2] // 2
    heatmaps[:, :half, :half] = 1
    return heatmaps if int(torch.as_tensor(target)) == 1 else heatmaps.flip(1, 2)


def toy(name="small", method="grad-cam", images=1):
    """Give a toy's model, its input and target, and the heatmap of a method."""
    network, x, target = problem(name, images)
    model = ExplainedModel(network, "features")
    return model, x, target, METHODS[method](model, x, target)[0].float()


def levels_of(card):
    """Give the level of each question by its name."""
    return {one.name: one.level for one in card.questions}


def question(card, name):
    """Give the question of that name."""
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
def test_half_must_be_kept_and_half_be_lost(only, without, level):
    """Of a probability of 0.8 the highlighted part keeps 0.4, and without it no more than 0.4 is left."""
    figures = {"whole": 0.8, "only": only, "without": without, "only_random": 0.1, "without_random": 0.6}
    answer = levels.judge_deletion(figures, "ash")
    assert (answer.name, answer.level) == ("carries-the-class", level)
    for told in ("ash is 80.0%", f"{only:.1%} for the highest 30%", f"{without:.1%} without", "10.0% and 60.0%"):
        assert told in answer.words


@pytest.mark.parametrize(
    ("mine", "center", "level"),
    [(0.31, 0.2, "good"), (0.3, 0.2, "mixed"), (0.31, 0.31, "mixed"), (0.11, 0.0, "mixed"), (0.1, 0.0, "poor")],
)
def test_every_map_that_knows_nothing_must_be_beaten(mine, center, level):
    """Random maps have 0.1 in the mean and 0.3 at most: good is above all, poor is not above that mean."""
    figures = {"insertion": 0.5, "deletion": 0.5 - mine, "difference": mine, "difference_center": center}
    figures |= {"difference_random": 0.1, "difference_random_highest": 0.3}
    assert levels.judge_vs_random(figures, {}).level == level


@pytest.mark.parametrize(
    ("alike", "gradient", "region", "level"),
    [
        (levels.SIMILAR, 0.1, 0.1, "good"),
        (levels.SIMILAR, 0.1, 0.0, "mixed"),
        (0.7, 0.1, 0.1, "mixed"),
        (levels.DISSIMILAR - 0.01, 0.1, 0.1, "poor"),
        (1.0, 0.0, -0.1, "poor"),
    ],
)
def test_both_maps_must_agree_and_add(alike, gradient, region, level):
    """Alike maps of which both add to the probability are good; unlike ones, or two that add nothing, poor."""
    figures = {"agreement": alike, "gain_denoised": gradient, "gain_region": region}
    assert levels.judge_agreement(figures).level == level


@pytest.mark.parametrize(
    ("alike", "stable", "depends"),
    [
        (1.0, "good", "poor"),
        (levels.SIMILAR, "good", "mixed"),
        (0.7, "mixed", "mixed"),
        (levels.DISSIMILAR, "mixed", "good"),
        (levels.DISSIMILAR - 0.01, "poor", "good"),
        (-1.0, "poor", "good"),
    ],
)
def test_alike_is_good_under_noise_and_poor_without_the_network(alike, stable, depends):
    """The same two thresholds, the other way round."""
    figures = {"similarity": alike, "probability": 0.5, "probability_noisy": 0.4, "shuffled": 0.2}
    assert levels.judge_stability(figures, "").level == stable
    assert levels.judge_network_dependence(figures, "").level == depends
    assert "from 50.0% to 40.0% (so)." in levels.judge_stability(figures, " (so)").words
    assert "last 20% of layers" in levels.judge_network_dependence(figures, "").words


@pytest.mark.parametrize(
    ("alike", "itself", "level"),
    [
        (0.95, 0.95, "poor"),
        (0.95, 0.96, "mixed"),
        (levels.SIMILAR, 0.96, "good"),
        (0.3, 0.2, "poor"),
        (1.0, 1.0, "poor"),
    ],
)
def test_another_class_must_differ_by_more_than_noise(alike, itself, level):
    """A next class whose map is as alike as the same class's under noise is not told apart."""
    answer = levels.judge_class_dependence({"similarity": alike, "other_probability": 0.25}, itself, "birch", "")
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
def test_all_in_all(changed, level):
    """What is needed decides; a map that does not beat those that know nothing is never good."""
    questions = [Question(name, "?", one, "") for name, one in (GOOD | changed).items()]
    got, words = levels.overall(questions)
    assert got == level
    known = sum(one.level != "unknown" for one in questions)
    if known:
        assert f"{sum(one.level == 'good' for one in questions)} of {known} answers are good" in words
    for name in NAMES:  # what is poor and decides is said
        if (GOOD | changed)[name] == "poor" and level == "poor" and name in levels._DECISIVE:
            assert levels._FAILURES[name] in words


# -- figures by hand -------------------------------------------------------------------------------------------


def test_the_highlighted_part_by_hand():
    """What is shown, and what is blurred, of the highest 30 % of pixels, worked out pixel by pixel."""
    model, x, target, _ = corner()
    heatmap = torch.rand(16, 16, generator=torch.Generator().manual_seed(1))
    figures = question(check(model, x, target, heatmap, of_class), "carries-the-class").figures

    highest = set(heatmap.flatten().argsort(descending=True)[: round(SHARE * 256)].tolist())
    blurred, logits = gaussian_blur(x, 50)[0, 0].flatten(), dict.fromkeys(("whole", "only", "without"), -4.0)
    for place, value in enumerate(x[0, 0].flatten().tolist()):
        if place // 16 < 8 and place % 16 < 8:
            hidden = float(blurred[place])
            logits["whole"] += 8 * value / 64
            logits["only"] += 8 * (value if place in highest else hidden) / 64
            logits["without"] += 8 * (hidden if place in highest else value) / 64
    for name, logit in logits.items():
        assert figures[name] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
    assert figures["only_random_lowest"] <= figures["only_random"] <= figures["only_random_highest"]


def test_the_curves_are_those_of_the_metrics():
    """Insertion and deletion from and to the blurred image, their areas, and the mean of the random maps."""
    model, x, target, heatmap = corner()
    answer = question(check(model, x, target, heatmap, of_class), "better-than-chance")
    maps = BaselineComparison.of(Case(model, x, torch.tensor([target]), heatmap[None], of_class)).maps
    assert len(maps) == RANDOM_MAPS + 2
    for name, metric in {"insertion": Insertion(steps=16), "deletion": Deletion(steps=16, fill="blur")}.items():
        values = [metric(model, x, target, one[None]).item() for one in maps]
        told = {one: answer.figures[f"{name}{one}"] for one in ("", "_random", "_random_lowest", "_center")}
        random = values[1:-1]
        expected = {"": values[0], "_random": sum(random) / 5, "_random_lowest": min(random), "_center": values[-1]}
        assert told == pytest.approx(expected, abs=1e-6)
        curves = answer.curves[name]
        assert {len(one) for one in curves.values()} == {17}
        assert curves["heatmap"] == pytest.approx(metric.curve(model, x, target, maps[:1])[:, 0].tolist(), abs=1e-5)
        lines = torch.stack([metric.curve(model, x, target, one[None])[:, 0] for one in maps[1:-1]])
        assert curves["random"] == pytest.approx(lines.mean(0).tolist(), abs=1e-5)
    assert answer.figures["difference"] == pytest.approx(answer.figures["insertion"] - answer.figures["deletion"])
    # the corner comes and goes first
    assert answer.level == "good"
    assert answer.curves["insertion"]["heatmap"][4] == pytest.approx(answer.curves["insertion"]["heatmap"][-1])


def test_random_maps_differ_and_are_coarse():
    """Each is drawn anew, the same every time, and smooth: next to a pixel is one like it."""
    model, x, target, heatmap = corner(56)
    case = Case(model, x, torch.tensor([target]), heatmap[None], of_class)
    maps = BaselineComparison.of(case).maps[1:-1]
    assert torch.equal(maps, BaselineComparison.of(case).maps[1:-1])
    assert len({tuple(one.flatten().tolist()) for one in maps}) == RANDOM_MAPS
    dust = METHODS["random"](model, x, 1)
    assert maps.diff(dim=2).abs().mean() < 0.3 * dust.diff(dim=2).abs().mean()


def test_agreement_by_hand():
    """Ranks 0 1 2 3 against 0 1 3 2 correlate by 0.8; gains are told by their maps' names."""
    first, second = torch.tensor([[0.0, 0.1], [0.5, 1.0]]), torch.tensor([[0.0, 0.2], [1.0, 0.4]])
    gains = {"denoised": torch.tensor(0.25), "region": torch.tensor(-0.5), "union": torch.tensor(0.125)}
    figures = agreement(FusionComponents(first, first, second, first, gains))
    expected = {"agreement": 0.8, "gain_denoised": 0.25, "gain_region": -0.5, "gain_union": 0.125}
    assert figures == pytest.approx(expected)


def test_what_is_made_again_is_what_the_metrics_measure():
    """Noise and randomised layers are those of noise-stability and model-randomisation, the class is the next one."""
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
    alike = spearman(GRAD_CAM(model, x, target), GRAD_CAM(model, x, torch.tensor([other]))).item()
    assert (figures["other"], figures["similarity"]) == (other, pytest.approx(alike, abs=1e-3))
    assert figures["other_probability"] == pytest.approx(probabilities[other].item(), abs=1e-5)


def test_a_map_of_the_right_place_and_class():
    """The corner's map beats chance, carries the class and is of it; it asks no network, so it depends on none."""
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


# -- maps that know nothing ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("name", "said"), [("random", "random"), ("center", "grad-cam")])
def test_maps_that_know_nothing_are_not_good_on_a_photograph(lite0, name, said):
    """Random numbers are poor; a spot at the centre cannot beat itself, whoever is said to have made it."""
    x = lite0.preprocessing(samples.photo())[None]
    card = check(lite0, x, 282, METHODS[name](lite0, x, 282)[0], said)
    assert card.level != "good"
    assert levels_of(card)["better-than-chance"] != "good"
    if name == said:
        assert card.level == "poor"
        assert {levels_of(card)[one] for one in ("depends-on-the-network", "of-this-class")} == {"poor"}


# -- what cannot be measured -----------------------------------------------------------------------------------


def test_a_constant_map_highlights_nothing():
    """Nothing is asked of it."""
    model, x, target, heatmap = toy()
    card = check(model, x, target, torch.full_like(heatmap, 0.5), GRAD_CAM)
    assert (card.level, set(levels_of(card).values())) == ("poor", {"unknown"})
    assert {one.words for one in card.questions} == {"The heatmap is constant: it highlights nothing."}
    assert card.passes <= 2


def test_one_class_alone():
    """Its probability is 1 whatever is seen, and there is no other class."""
    toy_, x, _ = problem("small", 1)
    toy_.head[-1] = nn.Linear(4, 1).double()
    model = ExplainedModel(toy_.eval(), "features")
    card = check(model, x, 0, torch.rand(8, 8), GRAD_CAM)
    got = levels_of(card)
    assert [got[name] for name in (*NAMES[:2], "of-this-class")] == ["unknown"] * 3
    assert "MultiLabel" in question(card, "carries-the-class").words
    assert "no other class" in question(card, "of-this-class").words
    assert got["stable"] != "unknown"
    assert card.level != "good"


def test_two_classes_and_a_wrapper():
    """A label that is present or absent: the next class is its absence."""
    model = ExplainedModel(MultiLabel(samples.Small(), 1), "wrapped.act", preprocessing=samples.small().preprocessing)
    card = explain(CAT, model=model, method="grad-cam", target=1, check=True).card
    assert question(card, "of-this-class").figures["other"] == 0
    assert "class 0" in question(card, "of-this-class").words
    assert "unknown" not in {levels_of(card)[name] for name in NAMES if name != "maps-agree"}


def test_a_class_that_the_network_does_not_see():
    """Of a probability that is no more than a guess, nothing can be lost; what can be asked is."""
    model, x, target, heatmap = corner()
    card = check(model, x, 1 - target, heatmap, of_class)
    assert [levels_of(card)[name] for name in NAMES[:2]] == ["unknown", "unknown"]
    assert "no more than chance among 2 classes" in question(card, "better-than-chance").words
    assert levels_of(card)["stable"] != "unknown"


def test_a_method_that_is_too_dear_is_not_asked_again():
    """It is stopped where it passes the limit, and the card says which metrics would measure it."""
    model, x, target, heatmap = toy()
    card = check(model, x, target, heatmap, METHODS["rise"])
    for name in NAMES[3:]:
        assert f"more than {MOST_PASSES} passes" in question(card, name).words
        assert levels_of(card)[name] == "unknown"
    assert card.passes < 1000
    assert card.level in ("mixed", "poor")


@dataclass(frozen=True)
class Budgeted:
    """Gives another map if it has a budget."""

    budget: int | None = None

    def __call__(self, model, x, target):
        """Give heatmaps."""
        heatmaps = GRAD_CAM(model, x, target)
        return heatmaps if self.budget is None else 1 - heatmaps


def test_a_cheaper_form_that_gives_another_map_does_not_speak_for_it():
    """The three questions that make the map again say why they are not answered."""
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
def test_what_is_dear_is_asked_with_a_budget(spec, cheaper):
    """Score-CAM and its kin score no more than 64 masks, wherever they stand."""
    assert with_small_budget(parse(spec)) == parse(cheaper)


def test_a_callable_is_its_own_cheaper_form():
    """Functions and classes are left alone."""
    assert with_small_budget(of_class) is of_class
    assert with_small_budget(Budgeted) is Budgeted


def test_the_form_that_was_made_again_is_said():
    """Fusion-CAM is asked with 64 masks, Grad-CAM as it is."""
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
    """Cannot be copied, as a network that holds a lock or a file."""

    def __deepcopy__(self, memo):
        """Refuse."""
        raise TypeError("cannot pickle '_thread.lock' object")


def test_a_network_that_cannot_be_copied():
    """That question is unknown, says why, and the others are answered."""
    card = explain(CAT, model=samples.explained(Uncopied()), method="grad-cam", check=True).card
    answer = question(card, "depends-on-the-network")
    assert answer.level == "unknown"
    assert "cannot be copied (TypeError: cannot pickle '_thread.lock' object)" in answer.words
    assert levels_of(card)["stable"] != "unknown"
    assert card.level != "good"


@pytest.mark.parametrize("name", ["signal", "volume", "linear", "dead"])
def test_signals_volumes_and_dead_channels(name):
    """Any number of sides is measured."""
    network, x, target = problem(name, 1)
    model = ExplainedModel(network, "features")
    heatmap = torch.rand(x.shape[2:], generator=torch.Generator().manual_seed(0))
    card = check(model, x, target, heatmap, GRAD_CAM)
    assert [one.name for one in card.questions] == list(NAMES)
    json.dumps(card.facts(), allow_nan=False)


# -- wrong requests --------------------------------------------------------------------------------------------


def test_wrong_requests_are_told():
    """Batches, other shapes, weights of classes, classes that are not there, NaN, and unknown names."""
    model, x, target, heatmap = toy()
    with pytest.raises(ShapeError, match="must be one image"):
        check(model, x.repeat(2, 1, 1, 1), target, heatmap, GRAD_CAM)
    with pytest.raises(ShapeError, match=r"must have shape \(8, 8\), got \(4, 4\)"):
        check(model, x, target, heatmap[:4, :4], GRAD_CAM)
    with pytest.raises(TargetError, match="index of one class"):
        check(model, x, torch.rand(1, 3), heatmap, GRAD_CAM)
    with pytest.raises(TargetError, match="class 3 of 3"):
        check(model, x, 3, heatmap, GRAD_CAM)
    with pytest.raises(NonFiniteError):
        check(model, x, target, heatmap * torch.nan, GRAD_CAM)
    with pytest.raises(UnknownNameError, match="did you mean 'grad-cam'"):
        check(model, x, target, heatmap, "gradcam")


# -- no trace, and the cost ------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_left_as_it_was(training):
    """Parameters, buffers, gradients, hooks, flags and the caller's random numbers are untouched."""
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


def test_passes_are_counted_and_few():
    """The card has the meter's number, which for Fusion-CAM stays under what an image of it may take."""
    model, x, target, heatmap = toy(method="fusion-cam")
    with count_passes() as meter:
        card = check(model, x, target, heatmap, "fusion-cam")
    assert (card.passes, card.partial_passes) == (meter.passes, meter.partial)
    again = 5 * (1 + BUDGET + 4)
    assert 0 < card.passes < 2 * 17 * 7 + 2 * 7 + 10 + again
    assert card.seconds > 0


def test_twice_the_same():
    """All draws are seeded."""
    model, x, target, heatmap = toy()
    first, second = (check(model, x, target, heatmap, GRAD_CAM) for _ in range(2))
    assert first.questions == second.questions


# -- an explanation and its card -------------------------------------------------------------------------------


def test_an_explanation_is_checked_once():
    """The card is made when it is asked for, kept, and told among the facts."""
    explanation = explain(CAT, model=samples.small(), method="fusion-cam")
    assert explanation.card is None
    assert "check" not in explanation.facts()
    assert explanation._repr_html_() is None
    shown = repr(explanation)
    card = explanation.check()
    assert explanation.check() is card is explanation.card
    assert explanation.facts()["check"] == card.facts()
    assert repr(explanation) == shown
    assert levels_of(card)["maps-agree"] != "unknown"
    assert "cedar" in question(card, "carries-the-class").words


def test_facts_are_json():
    """What others read: the names, the levels, the figures as numbers, the curves where they belong."""
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


def test_a_batch_is_checked_as_its_images_are():
    """Each image of a batch has the card that it has alone."""
    together = list(
        explain_each([CAT, COFFEE], model=samples.small(), methods=["grad-cam"], batch_size=2, check=True)
    )
    for image, one in zip([CAT, COFFEE], together, strict=True):
        alone = explain(image, model=samples.small(), method="grad-cam", check=True)
        for mine, other in zip(one.card.questions, alone.card.questions, strict=True):
            assert mine.level == other.level
            assert mine.figures == pytest.approx(other.figures, abs=1e-4)


def test_pickled_without_the_network():
    """A checked explanation keeps its card; one that was not checked says that it cannot be any more."""
    explanation = explain(CAT, model=samples.small(), method="grad-cam")
    kept = pickle.loads(pickle.dumps(explanation))
    with pytest.raises(MethodError, match="was pickled"):
        kept.check()
    explanation.check()
    kept = pickle.loads(pickle.dumps(explanation))
    assert kept.card == explanation.card
    assert b"Small" not in pickle.dumps(explanation)


def test_other_classes_are_checked_as_such():
    """Of top2, each is told of its own class, and of the other as the next one."""
    first, second = explain_each([CAT], model=samples.small(), methods=["grad-cam"], target="top2", check=True)
    assert question(first.card, "of-this-class").figures["other"] == second.target
    assert question(second.card, "of-this-class").figures["other"] == first.target


# -- shown -----------------------------------------------------------------------------------------------------


def test_a_notebook_shows_overlay_and_card_with_names_as_text():
    """The page needs nothing else, and a class or file named like a tag stays text."""
    labels = tuple(f"<script>alert({n})</script>" for n in range(5))
    explanation = explain(CAT, model=samples.explained(samples.Small(), labels), method="grad-cam", check=True)
    page = explanation._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page
    for one in explanation.card.questions:
        assert str(escape(one.question)) in page
    named = to_notebook_html(explanation.card, b"", '"><img onerror=x>')
    assert "<img onerror" not in named


def test_a_terminal_shows_names_as_text(capsys):
    """Markup in a class's name is no markup."""
    from rich.console import Console

    asked = Question("stable", "Is it [i]so[/i], after all that was asked?", "poor", "[bold]no", {})
    card = TrustCard("good", "[red]fine[/red]", (asked,), 1.0, 5, 7)
    Console(width=120).print(to_table(card.facts(), "[blue]cat"))
    shown = capsys.readouterr().out
    for told in ("[red]fine[/red]", "[bold]no", "[blue]cat", "● good", "○ poor", "5 passes and 7 partial"):
        assert told in shown


def test_a_card_is_rendered_from_the_facts_alone():
    """The report renders what explanations.json stores: marks, minus signs, curves, and no unknown level."""
    curves = {"insertion": {"heatmap": [0.0, 1.0], "random": [0.0, 0.5], "center": [0.0, 0.2]}}
    asked = Question("stable", "Is it <b>so</b>?", "mixed", "words", {"similarity_x": -0.25}, curves)
    facts = TrustCard("<i>", "words", (asked,), 1.0, 5, 0).facts()
    view = CardView.from_facts(json.loads(json.dumps(facts)))

    for html in (view.folded_html(), view.open_html()):
        assert '<span class="level unknown">? unknown</span>' in html
        assert '<span class="level mixed">◐ mixed</span> Is it &lt;b&gt;so&lt;/b&gt;?' in html
        assert "<dt>similarity x</dt><dd>\N{MINUS SIGN}0.25</dd>" in html
        assert html.count("<polyline") == 3
        assert "measured in 1.0 s, 5 passes" in html
