"""The trust card: some seconds of measuring that say how far one heatmap can be trusted.

    card = check(model, x, target, heatmap, METHODS["fusion-cam"])

Six questions, each answered by metrics that exist, in a sentence with the figures under it and a level: "good",
"mixed", "poor", or "unknown" where it cannot be measured. What each level means, and how often real maps and maps
that know nothing get it, is told in ``docs/trust.md``.

The *highlighted part* of a map is its highest ``SHARE`` of the pixels, shown as they are; what is hidden, that part
or the rest, shows the blurred image. So all maps show equally much, and a wide one has no advantage.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from math import isnan

from torch import Tensor

from fusioncam.errors import FlatHeatmapWarning, FusionCamError, ShapeError, TargetError
from fusioncam.functional.heatmaps import is_flat
from fusioncam.inference.cache import cached_passes, uncached
from fusioncam.inference.costs import count_passes
from fusioncam.methods.base import Method
from fusioncam.methods.fusion import FusionComponents
from fusioncam.methods.registry import as_method
from fusioncam.metrics.base import validate_heatmaps
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

SAME = 0.9


def check(
    model: ExplainedModel,
    x: Tensor,
    target: Target,
    heatmap: Tensor,
    method: str | Method,
    *,
    ingredients: FusionComponents | None = None,
) -> TrustCard:
    """Measure how far a heatmap ``(*s)`` of one image ``x`` ``(1, C, *s)`` for the class ``target`` can be trusted.

    ``method`` is what made it: it is asked again about a noisy image, another class and a network whose top was
    made random, in a copy. Where it has a budget of masks to set, it is asked with 64. ``ingredients`` are those of
    Union- and Fusion-CAM, without a batch side. A question that cannot be asked is "unknown", and says why.

    Raises :class:`ShapeError` for other shapes, :class:`TargetError` for a class that is not there,
    :class:`NonFiniteError` for NaN in the heatmap or the scores.
    """
    began = time.perf_counter()
    with count_passes() as meter, uncached(), cached_passes(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FlatHeatmapWarning)
        questions = tuple(_answers(_case(model, x, target, heatmap, method), ingredients))
    level, words = levels.overall(questions)
    return TrustCard(level, words, questions, time.perf_counter() - began, meter.passes, meter.partial)


def _case(model: ExplainedModel, x: Tensor, target: Target, heatmap: Tensor, method: str | Method) -> Case:
    if not isinstance(x, Tensor) or x.dim() < 3 or len(x) != 1:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ShapeError(f"a check is of one image, x (1, C, H, W), got {got}: check images one at a time")
    if tuple(heatmap.shape) != tuple(x.shape[2:]):
        raise ShapeError(f"the heatmap of x {tuple(x.shape)} is {tuple(x.shape[2:])}, got {tuple(heatmap.shape)}")
    targets = as_targets(target, x)
    if targets.is_floating_point():
        raise TargetError("a check is of one class: give its index")
    case = Case(model, x, targets, validate_heatmaps(heatmap[None].cpu(), x), as_method(method)[1])
    model.scores(x, targets, "probability")  # tells a class that is not there, and scores that are no numbers
    return case


def _answers(case: Case, ingredients: FusionComponents | None) -> Iterator[Question]:
    """Ask all questions in the order of ``ASKED``."""
    if is_flat(case.heatmap).item():
        for name in levels.ASKED:
            yield levels.unknown(name, "The map is constant: it highlights nothing.")
        return
    yield from _of_the_image(case)
    yield _of_ingredients(case, ingredients)
    yield from _made_again(case)


def _of_the_image(case: Case) -> Iterator[Question]:
    contest, classes = BaselineComparison.of(case), len(case.probabilities)
    asks = {
        "carries-the-class": lambda: levels.judge_deletion(contest.parts(), class_name(case.model, int(case.target))),
        "better-than-chance": lambda: levels.judge_vs_random(*contest.curves()),
    }
    why = ""
    if classes == 1:
        why = "The network has one class, whose probability is 1 whatever is seen: wrap it by tasks.MultiLabel."
    elif case.whole <= 1 / classes:
        why = f"The network gives this class {case.whole:.2%}, no more than a guess among {classes} classes."
    for name, ask in asks.items():
        yield levels.unknown(name, why) if why else _tolerant(name, ask)


def _of_ingredients(case: Case, ingredients: FusionComponents | None) -> Question:
    if ingredients is None:
        fused = hasattr(case.method, "ingredients")
        why = "The method's ingredients were not handed over." if fused else "The method is no fusion of two maps."
        return levels.unknown("maps-agree", why)
    figures = agreement(ingredients)
    if isnan(figures["agreement"]):
        return levels.unknown("maps-agree", "One of the two maps is constant.", figures)
    return levels.judge_agreement(figures)


def _made_again(case: Case) -> Iterator[Question]:
    names = ("stable", "depends-on-the-network", "of-this-class")
    try:
        again = RegeneratedMaps(case)
    except (PassBudgetExceeded, FusionCamError) as error:
        yield from (levels.unknown(name, _why(error)) for name in names)
        return
    how = f" (made again with {BUDGET} masks)" if again.cheaper else ""

    def differs() -> Question:
        if len(case.probabilities) == 1:
            return levels.unknown("of-this-class", "The network has no other class.")
        itself = again.under_noise["similarity"]
        return levels.judge_class_dependence(again.of_other(), itself, class_name(case.model, case.other), how)

    asks = (
        lambda: levels.judge_stability(again.under_noise, how),
        lambda: levels.judge_network_dependence(again.under_randomised_weights(), how),
        differs,
    )
    another = f"Made again{how} it is another map: it correlates with this one by {again.likeness:.2f}."
    for name, ask in zip(names, asks, strict=True):
        # a cheaper form must give nearly the same map to speak for it
        yield _tolerant(name, ask) if again.likeness >= SAME else levels.unknown(name, another)


def _tolerant(name: str, ask: Callable[[], Question]) -> Question:
    """Ask; where it cannot be measured, say why."""
    try:
        return ask()
    except (PassBudgetExceeded, FusionCamError) as error:
        return levels.unknown(name, _why(error))


def _why(error: Exception) -> str:
    if isinstance(error, PassBudgetExceeded):
        return (
            f"Making the map again takes more than {MOST_PASSES} passes, too many for a check: the metrics "
            "noise-stability and model-randomisation measure it."
        )
    return f"It could not be measured: {error}"


def class_name(model: ExplainedModel, index: int) -> str:
    """Name a class as sentences do: the first of its names, or its index."""
    return model.labels[index].split(",")[0] if model.labels else f"class {index}"
