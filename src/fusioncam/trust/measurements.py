"""The measurements of a trust card: figures from the library's metrics, without a judgement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fusioncam.errors import MethodError
from fusioncam.functional.heatmaps import minmax, precise, upsample
from fusioncam.functional.similarity import heatmap_similarity
from fusioncam.inference.costs import count_passes
from fusioncam.inference.counters import PassCounter
from fusioncam.methods.base import Method
from fusioncam.methods.baselines import Center
from fusioncam.methods.fusion import FusionComponents
from fusioncam.methods.score_prediction import AUTO
from fusioncam.metrics.base import random_like, regenerate
from fusioncam.metrics.curves import Deletion, Insertion, area
from fusioncam.metrics.masking import RankMasks, pixel_order, resized_heatmaps
from fusioncam.metrics.randomisation import randomised, with_fixed_layer
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import probabilities_of

SHARE = 0.3  # the share of pixels in the highlighted part, the highest ones
RANDOM_MAPS = 5
_CELLS = 7  # random numbers per side, as in the masks of RISE
_STEPS = 16
_FILL = "blur"
NOISE = 0.05  # standard deviation, as a share of the range of the image's values
DRAWS = 2
_STAGES = 5  # the layers are divided into this many parts, of which the last is randomised
BUDGET = 64
MOST_PASSES = 300

Figures = dict[str, float]
# both curves range between the image and the blurred image
_METRICS: dict[str, Insertion | Deletion] = {
    "insertion": Insertion(fill=_FILL, steps=_STEPS),
    "deletion": Deletion(fill=_FILL, steps=_STEPS),
}


@dataclass(frozen=True)
class Case:
    """The heatmap ``(1, *s)`` to check, of the image ``x`` ``(1, C, *s)`` for the class ``target`` ``(1,)``."""

    model: ExplainedModel
    x: Tensor
    target: Tensor
    heatmap: Tensor
    method: Method

    @cached_property
    def probabilities(self) -> Tensor:
        """The probability of every class for the whole image ``(classes,)``."""
        return probabilities_of(precise(self.model.logits(self.x)))[0].cpu()

    def probability(self, x: Tensor) -> float:
        """Return the target's probability for another image."""
        return self.model.scores(x, self.target, "probability").item()

    @property
    def whole(self) -> float:
        """The target's probability for the whole image."""
        return self.probabilities[int(self.target)].item()

    @property
    def other(self) -> int:
        """The most probable class except the target."""
        return int(self.probabilities.index_fill(0, self.target.cpu(), -1).argmax())


# -- the image, partly hidden ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BaselineComparison:
    """The heatmap, ``RANDOM_MAPS`` random heatmaps and a spot at the centre, measured on the same image.

    Only the order of their pixels counts. A random heatmap is as coarse as a mask of RISE, with ``_CELLS`` random
    numbers per side: scattered pixels would destroy any image at once, and would not compare locations.
    """

    case: Case
    maps: Tensor
    x: Tensor
    target: Tensor

    @classmethod
    def of(cls, case: Case) -> BaselineComparison:
        """Return the comparison for a case; the random heatmaps are seeded."""
        size = case.x.shape[2:]
        generator = torch.Generator().manual_seed(0)
        cells = torch.rand((RANDOM_MAPS, *[_CELLS] * len(size)), generator=generator).to(case.heatmap)
        center = Center()(case.model, case.x, case.target).to(case.heatmap)
        maps = torch.cat([case.heatmap, minmax(upsample(cells, size)), center])
        return cls(case, maps, case.x.expand(len(maps), *case.x.shape[1:]), case.target.expand(len(maps)))

    def parts(self) -> Figures:
        """Return the target's probability for the highlighted part alone, and for the image without it."""
        ranks = pixel_order(resized_heatmaps(self.maps, self.case.model, self.x))
        count = [round(SHARE * ranks[0].numel())]
        figures = {"whole": self.case.whole, "share": SHARE}
        for name, hide in (("only", False), ("without", True)):
            masks = RankMasks(ranks, count, hide=hide)
            scores = self.case.model.masked_scores(self.x, masks, self.target, readout="probability", fill=_FILL)
            figures |= _summary(name, scores[0])
        return figures

    def curves(self) -> tuple[Figures, dict[str, dict[str, list[float]]]]:
        """Return the areas under insertion and deletion and their difference, and the curves."""
        areas, curves = {}, {}
        for name, metric in _METRICS.items():
            curve = metric.curve(self.case.model, self.x, self.target, self.maps)
            areas[name] = area(curve, metric.shares(self.x))
            lines = {"heatmap": curve[:, 0], "random": curve[:, 1:-1].mean(1), "center": curve[:, -1]}
            curves[name] = {key: [round(value, 5) for value in line.tolist()] for key, line in lines.items()}
        areas["difference"] = areas["insertion"] - areas["deletion"]
        figures: Figures = {}
        for name, values in areas.items():
            figures |= _summary(name, values)
        return figures, curves


def _summary(name: str, values: Tensor) -> Figures:
    """Return one quantity as figures, for the heatmap, the random heatmaps and the spot ``(2 + RANDOM_MAPS,)``."""
    random = values[1:-1]
    return {
        name: values[0].item(),
        f"{name}_random": random.mean().item(),
        f"{name}_random_lowest": random.amin().item(),
        f"{name}_random_highest": random.amax().item(),
        f"{name}_center": values[-1].item(),
    }


# -- the fused heatmaps ------------------------------------------------------------------------------------------


def agreement(ingredients: FusionComponents) -> Figures:
    """Return the correlation of the gradient and the region heatmap ``(*s)``, and the gain of each."""
    similarity = heatmap_similarity(ingredients.denoised[None], ingredients.region[None], "spearman")
    gains = {f"gain_{name}": gain.item() for name, gain in ingredients.gains.items()}
    return {"agreement": similarity.item()} | gains


# -- the method, run again ---------------------------------------------------------------------------------------


class PassBudgetExceeded(Exception):
    """Computing the heatmap again takes more passes than a check may use."""


class RegeneratedMaps:
    """Heatmaps of the same method for a changed image, network or class, compared with the original.

    A method with a budget of masks runs with at most ``BUDGET`` of them. Its results are then compared with the
    heatmap of the original image under the same budget; ``similarity`` is that heatmap's correlation with the one to
    check.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.method = case, with_small_budget(case.method)
        self.cheaper = self.method != case.method
        self.reference, self.similarity = case.heatmap, 1.0
        if self.cheaper:
            self.reference = self.compute(case.model, case.x, case.target)
            self.similarity = self.similarity_of(case.heatmap)

    def compute(self, model: ExplainedModel, x: Tensor, target: Tensor) -> Tensor:
        """Return a heatmap; raise :class:`PassBudgetExceeded` if it takes more than ``MOST_PASSES``."""
        with _at_most(MOST_PASSES):
            return regenerate(self.method, model, x, target).to(self.case.heatmap)

    def similarity_of(self, heatmap: Tensor) -> float:
        """Return the correlation of a heatmap with the reference."""
        return heatmap_similarity(self.reference, heatmap, "spearman").item()

    @cached_property
    def under_noise(self) -> Figures:
        """The mean similarity and the mean probability for noisy copies of the image."""
        x = self.case.x
        spread = x.amax() - x.amin()
        noisy = [x + NOISE * spread * noise for noise in random_like(torch.randn, x, DRAWS, 0)]
        maps = [self.compute(self.case.model, image, self.case.target) for image in noisy]
        return {
            "similarity": sum(map(self.similarity_of, maps)) / DRAWS,
            "noise": NOISE,
            "probability": self.case.whole,
            "probability_noisy": sum(map(self.case.probability, noisy)) / DRAWS,
        }

    def under_randomised_weights(self) -> Figures:
        """Return the similarity for a copy of the network whose last layers are randomised."""
        heatmap = self.compute(_with_random_layers(self.case), self.case.x, self.case.target)
        return {"similarity": self.similarity_of(heatmap), "shuffled": 1 / _STAGES}

    def of_other_class(self) -> Figures:
        """Return the similarity of the heatmap of the most probable other class."""
        other = self.case.other
        heatmap = self.compute(self.case.model, self.case.x, torch.full_like(self.case.target, other))
        return {
            "similarity": self.similarity_of(heatmap),
            "other": float(other),
            "other_probability": self.case.probabilities[other].item(),
        }


def with_small_budget(method: Any) -> Any:
    """Return the method with at most ``BUDGET`` masks, wherever it has a budget.

    >>> from fusioncam.methods.registry import METHODS
    >>> with_small_budget(METHODS["fusion-cam"]).region.budget, with_small_budget(METHODS["grad-cam"])
    (64, GradCAM(layer=None))
    """
    if isinstance(method, tuple):
        return tuple(map(with_small_budget, method))
    if not is_dataclass(method) or isinstance(method, type):
        return method
    values = {field.name: getattr(method, field.name) for field in fields(method) if field.init}
    budget = values.get("budget")
    if budget is not None:  # it takes precedence over the budgets of partner methods
        return replace(method, budget=BUDGET) if budget == AUTO or budget > BUDGET else method
    parts = {name: with_small_budget(value) for name, value in values.items()}
    changed = {name: part for name, part in parts.items() if part != values[name]}
    if "budget" in values and not any(map(is_dataclass, values.values())):
        changed["budget"] = BUDGET
    return replace(method, **changed) if changed else method


def _with_random_layers(case: Case) -> ExplainedModel:
    """Return a copy of the model with shuffled last layers; raise :class:`MethodError` if it cannot be copied."""
    try:
        return next(randomised(with_fixed_layer(case.model, case.x), _STAGES, "shuffle", 0))
    except MethodError:
        raise
    except Exception as error:  # a user's module may raise any error when it is copied
        raise MethodError(f"the network cannot be copied ({type(error).__name__}: {error})") from error


@contextmanager
def _at_most(passes: int) -> Iterator[None]:
    def stop(counter: PassCounter) -> None:
        if counter.passes > passes:
            raise PassBudgetExceeded

    with count_passes(stop):
        yield
