"""Check one heatmap: some seconds of measurements that show how reliable it is.

    card = check(model, x, target, heatmap, METHODS["fusion-cam"])

The card has six questions. Each is answered by the library's metrics: a sentence with its figures, and a level, which
is "good", "mixed", "poor", or "unknown" where it cannot be measured. ``docs/trust.md`` explains the levels, and how
often real heatmaps and baselines get them.

The *highlighted part* is the highest ``SHARE`` of the heatmap's pixels, shown unchanged; what is hidden, that part or
the rest, is replaced by the blurred image. All heatmaps therefore show the same number of pixels, and a wide one has
no advantage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from math import isnan
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.errors import FusionCamError, ShapeError, TargetError
from fusioncam.functional.heatmaps import is_flat
from fusioncam.inference.cache import cached_passes, uncached
from fusioncam.inference.context import without_flat_warnings
from fusioncam.inference.costs import count_passes
from fusioncam.inference.eval_mode import without_graph
from fusioncam.inference.random_state import kept_random_state
from fusioncam.methods.base import Method
from fusioncam.methods.fusion import FusionComponents
from fusioncam.methods.registry import as_method
from fusioncam.metrics.base import as_heatmaps, validate_heatmaps
from fusioncam.model.arguments import usual_arguments
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, as_targets
from fusioncam.trust import levels
from fusioncam.trust.card import Question, TrustCard
from fusioncam.trust.measurements import (
    BUDGET,
    MOST_PASSES,
    BaselineComparison,
    Case,
    PassBudgetExceeded,
    RegeneratedMaps,
    agreement,
)
from fusioncam.utils.text import short_label

# the least correlation of the heatmap and the one from a smaller budget, for the latter to represent the former
SAME = 0.9


def check(
    model: ExplainedModel | nn.Module,
    x: Tensor,
    target: Target,
    heatmap: Tensor | NDArray[Any],
    method: str | Method,
    *,
    ingredients: FusionComponents | None = None,
    report: Callable[[int], None] | None = None,
) -> TrustCard:
    """Measure how reliable a heatmap of one image is for a class.

    The level of a question that cannot be measured is "unknown", with the reason.

    Args:
        model: the model, or a network.
        x: one input ``(1, C, *s)``.
        target: the explained class, or None for the predicted one.
        heatmap: ``(*s)``, a tensor or an array.
        method: the method that made the heatmap. It runs again for noisy images, for another class, and on a copy of
            the network whose last layers are randomised; a method with a budget of masks runs with at most 64.
        ingredients: the components of Union-CAM and Fusion-CAM, without a batch dimension.
        report: is called with the number of questions answered.

    Returns:
        The trust card: its level, the reason in words, and each question with its figures.

    Raises:
        ShapeError: for other shapes.
        TargetError: for a class that the network does not have.
        NonFiniteError: for NaN in the heatmap or the scores.

    Examples:
        ```python
        heatmap = fc.METHODS["grad-cam"](model, x[:1], target[:1])[0]
        card = fc.trust.check(model, x[:1], target[:1], heatmap, "grad-cam")
        print(card.level, card.words)
        ```
    """
    start = time.perf_counter()
    model, x, target = usual_arguments(model, x, target)
    heatmap = as_heatmaps(heatmap)
    kept = kept_random_state(model.device)
    with kept, count_passes() as counter, uncached(), cached_passes(), without_flat_warnings(), without_graph():
        answered = _questions(_case(model, x, target, heatmap, method), ingredients)
        questions = tuple(_reported(answered, report or (lambda _: None)))
    level, words = levels.overall(questions)
    if model.runner.randomness(x).is_random:
        words = f"{levels.sentence(model.runner.randomness(x))} {words}"
    return TrustCard(level, words, questions, time.perf_counter() - start, counter.passes, counter.partial)


def first_question(
    model: ExplainedModel | nn.Module, x: Tensor, target: Target, heatmap: Tensor | NDArray[Any], method: str | Method
) -> Question:
    """Measure only whether the class depends on the highlighted part, in about 15 passes.

    The arguments and errors are those of :func:`check`.
    """
    model, x, target = usual_arguments(model, x, target)
    with kept_random_state(model.device), uncached(), cached_passes(), without_flat_warnings(), without_graph():
        return next(_questions(_case(model, x, target, as_heatmaps(heatmap), method), None))


def _case(model: ExplainedModel, x: Tensor, target: Target, heatmap: Tensor, method: str | Method) -> Case:
    if not isinstance(x, Tensor) or x.dim() < 3 or len(x) != 1:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ShapeError(f"x must be one image (1, C, H, W), got {got}: check images one at a time")
    if tuple(heatmap.shape) != tuple(x.shape[2:]):
        raise ShapeError(
            f"the heatmap of x {tuple(x.shape)} must have shape {tuple(x.shape[2:])}, got {tuple(heatmap.shape)}"
        )
    targets = as_targets(target, x)
    if not isinstance(targets, Tensor) or targets.is_floating_point():
        raise TargetError(f"a check needs the index of one class as target, got {target!r}")
    case = Case(model, x, targets, validate_heatmaps(heatmap[None].cpu(), x), as_method(method)[1])
    model.scores(x, targets, "probability")  # raises for a class that does not exist and for NaN
    return case


def _questions(case: Case, ingredients: FusionComponents | None) -> Iterator[Question]:
    """Yield all questions with their answers, in the order of ``QUESTIONS``."""
    if is_flat(case.heatmap).item():
        for name in levels.QUESTIONS:
            yield levels.unknown(name, "The heatmap is constant: it highlights nothing.")
        return
    yield from _image_questions(case)
    yield _agreement_question(case, ingredients)
    yield from _regeneration_questions(case)


def _reported(questions: Iterator[Question], report: Callable[[int], None]) -> Iterator[Question]:
    for number, question in enumerate(questions, 1):
        report(number)
        yield question


def _image_questions(case: Case) -> Iterator[Question]:
    comparison, classes = BaselineComparison.of(case), len(case.probabilities)
    judges = {
        "carries-the-class": lambda: levels.judge_deletion(
            comparison.parts(), class_name(case.model, int(case.target))
        ),
        "better-than-chance": lambda: levels.judge_vs_random(*comparison.curves()),
    }
    reason = ""
    if classes == 1:
        reason = "The network has one output, so chance is unknown: wrap the network in tasks.MultiLabel."
    elif case.whole <= 1 / classes:
        reason = f"The probability of this class is {case.whole:.2%}, no more than chance among {classes} classes."
    for name, judge in judges.items():
        yield levels.unknown(name, reason) if reason else _or_unknown(name, judge)


def _agreement_question(case: Case, ingredients: FusionComponents | None) -> Question:
    if ingredients is None:
        fuses = hasattr(case.method, "ingredients")
        reason = "The fused heatmaps were not given." if fuses else "The method does not fuse two heatmaps."
        return levels.unknown("maps-agree", reason)
    figures = agreement(ingredients)
    if isnan(figures["agreement"]):
        return levels.unknown("maps-agree", "One of the two heatmaps is constant.", figures)
    return levels.judge_agreement(figures)


def _regeneration_questions(case: Case) -> Iterator[Question]:
    names = ("stable", "depends-on-the-network", "of-this-class")
    try:
        maps = RegeneratedMaps(case)
    except (PassBudgetExceeded, FusionCamError) as error:
        yield from (levels.unknown(name, _reason(error)) for name in names)
        return
    if not maps.similarity >= SAME:  # NaN too
        reason = (
            f"With {BUDGET} masks the method returns a different heatmap: its correlation with this one is "
            f"{maps.similarity:.2f}."
        )
        yield from (levels.unknown(name, reason) for name in names)
        return
    budget_note = f" (computed again with {BUDGET} masks)" if maps.cheaper else ""
    randomness = case.model.runner.randomness(case.x)
    if randomness.is_random:
        yield levels.judge_randomness(randomness)
    else:
        yield _or_unknown("stable", lambda: levels.judge_stability(maps.under_noise, budget_note))
    yield _or_unknown(
        "depends-on-the-network",
        lambda: levels.judge_network_dependence(maps.under_randomised_weights(), budget_note),
    )
    yield _or_unknown("of-this-class", lambda: _class_question(case, maps, budget_note))


def _class_question(case: Case, maps: RegeneratedMaps, budget_note: str) -> Question:
    if len(case.probabilities) == 1:
        return levels.unknown("of-this-class", "The network has no other class.")
    under_noise, other = maps.under_noise["similarity"], class_name(case.model, case.other)
    return levels.judge_class_dependence(maps.of_other_class(), under_noise, other, budget_note)


def _or_unknown(name: str, judge: Callable[[], Question]) -> Question:
    """Return the judged question; an unknown one with the reason if it cannot be measured."""
    try:
        return judge()
    except (PassBudgetExceeded, FusionCamError) as error:
        return levels.unknown(name, _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, PassBudgetExceeded):
        return (
            f"Computing the heatmap again takes more than {MOST_PASSES} passes, too many for a check: use the "
            "metrics noise-stability and model-randomisation."
        )
    return f"It could not be measured: {error}"


def class_name(model: ExplainedModel, index: int) -> str:
    """Return the name of a class for a sentence: the first of its labels, or its index."""
    return short_label(model.labels[index] if model.labels else None, f"class {index}")
