"""What a trust card measures, by the metrics that exist: each function gives figures, and judges nothing."""

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
from fusioncam.functional.similarity import similar
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

SHARE = 0.3  # of the pixels, the highest: the highlighted part
RANDOM_MAPS = 5
_CELLS = 7  # a side, as the masks of RISE have
_STEPS = 16
_FILL = "blur"
NOISE = 0.05  # of the range of the image's values
DRAWS = 2
_STAGES = 5  # of which the last is made random
BUDGET = 64
MOST_PASSES = 300

Figures = dict[str, float]
# both go between the image and the blurred one
_METRICS: dict[str, Insertion | Deletion] = {
    "insertion": Insertion(fill=_FILL, steps=_STEPS),
    "deletion": Deletion(fill=_FILL, steps=_STEPS),
}


@dataclass(frozen=True)
class Case:
    """One heatmap ``(1, *s)`` in question, of the image ``x`` ``(1, C, *s)`` for the class ``target`` ``(1,)``."""

    model: ExplainedModel
    x: Tensor
    target: Tensor
    heatmap: Tensor
    method: Method

    @cached_property
    def probabilities(self) -> Tensor:
        """The probability of every class, for the whole image ``(classes,)``."""
        return precise(self.model.logits(self.x)).softmax(1)[0].cpu()

    def probability(self, x: Tensor) -> float:
        """Give the target's probability for another image."""
        return self.model.scores(x, self.target, "probability").item()

    @property
    def whole(self) -> float:
        """The target's probability for the whole image."""
        return self.probabilities[int(self.target)].item()

    @property
    def other(self) -> int:
        """The most probable class that is not the target."""
        return int(self.probabilities.index_fill(0, self.target.cpu(), -1).argmax())


# -- the image, partly hidden --------------------------------------------------------------------------------


@dataclass(frozen=True)
class BaselineComparison:
    """The heatmap, ``RANDOM_MAPS`` random maps and a spot at the centre, all asked of the same image.

    Only the order of their pixels counts. A random map is as coarse as a mask of RISE, ``_CELLS`` random numbers a
    side: pixels hidden here and there would spoil any image at once, and say nothing of where the class is.
    """

    case: Case
    maps: Tensor
    x: Tensor
    target: Tensor

    @classmethod
    def of(cls, case: Case) -> BaselineComparison:
        """Draw the maps that know nothing."""
        size = case.x.shape[2:]
        draw = torch.Generator().manual_seed(0)
        cells = torch.rand((RANDOM_MAPS, *[_CELLS] * len(size)), generator=draw).to(case.heatmap)
        center = Center()(case.model, case.x, case.target).to(case.heatmap)
        maps = torch.cat([case.heatmap, minmax(upsample(cells, size)), center])
        return cls(case, maps, case.x.expand(len(maps), *case.x.shape[1:]), case.target.expand(len(maps)))

    def parts(self) -> Figures:
        """Give the target's probability of the highlighted part alone, and of the image without it."""
        places = pixel_order(resized_heatmaps(self.maps, self.case.model, self.x))
        count = [round(SHARE * places[0].numel())]
        told = {"whole": self.case.whole, "share": SHARE}
        for name, hide in (("only", False), ("without", True)):
            masks = RankMasks(places, count, hide=hide)
            scores = self.case.model.masked_scores(self.x, masks, self.target, readout="probability", fill=_FILL)
            told |= self._told(name, scores[0])
        return told

    def curves(self) -> tuple[Figures, dict[str, dict[str, list[float]]]]:
        """Give the areas of insertion and deletion, their difference, and the curves."""
        areas, curves = {}, {}
        for name, metric in _METRICS.items():
            curve = metric.curve(self.case.model, self.x, self.target, self.maps)
            areas[name] = area(curve, metric.shares(self.x))
            lines = {"heatmap": curve[:, 0], "random": curve[:, 1:-1].mean(1), "center": curve[:, -1]}
            curves[name] = {key: [round(one, 5) for one in line.tolist()] for key, line in lines.items()}
        areas["difference"] = areas["insertion"] - areas["deletion"]
        return {key: one for name, values in areas.items() for key, one in self._told(name, values).items()}, curves

    @staticmethod
    def _told(name: str, values: Tensor) -> Figures:
        """Name what was measured of every map ``(2 + RANDOM_MAPS,)``."""
        random = values[1:-1]
        return {
            name: values[0].item(),
            f"{name}_random": random.mean().item(),
            f"{name}_random_lowest": random.amin().item(),
            f"{name}_random_highest": random.amax().item(),
            f"{name}_center": values[-1].item(),
        }


# -- what it was made of ---------------------------------------------------------------------------------------


def agreement(ingredients: FusionComponents) -> Figures:
    """Give how alike the gradient map and the region map ``(*s)`` are, and what each adds to the probability."""
    alike = similar(ingredients.denoised[None], ingredients.region[None], "spearman")
    gains = {f"gain_{name}": gain.item() for name, gain in ingredients.gains.items()}
    return {"agreement": alike.item()} | gains


# -- made again ------------------------------------------------------------------------------------------------


class PassBudgetExceeded(Exception):
    """Making the map again takes more passes than the check may spend."""


class RegeneratedMaps:
    """The method, asked again about a changed image, network or class.

    What has a budget is asked with one of ``BUDGET`` masks, and all that it gives is then compared with what that
    form gives for the image itself; ``likeness`` is how alike that is to the heatmap in question.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.form = case, with_small_budget(case.method)
        self.cheaper = self.form != case.method
        self.base, self.likeness = case.heatmap, 1.0
        if self.cheaper:
            self.base = self.made(case.model, case.x, case.target)
            self.likeness = self.alike(case.heatmap)

    def made(self, model: ExplainedModel, x: Tensor, target: Tensor) -> Tensor:
        """Make a heatmap; raise :class:`PassBudgetExceeded` if that takes more than ``MOST_PASSES``."""
        with _at_most(MOST_PASSES):
            return regenerate(self.form, model, x, target).to(self.case.heatmap)

    def alike(self, heatmap: Tensor) -> float:
        """Give how alike another heatmap is to the form's own."""
        return similar(self.base, heatmap, "spearman").item()

    @cached_property
    def under_noise(self) -> Figures:
        """Give how alike the map stays under a little noise, on average, and what the network makes of that noise."""
        x = self.case.x
        spread = x.amax() - x.amin()
        noisy = [x + NOISE * spread * one for one in random_like(torch.randn, x, DRAWS, 0)]
        maps = [self.made(self.case.model, one, self.case.target) for one in noisy]
        return {
            "similarity": sum(map(self.alike, maps)) / DRAWS,
            "noise": NOISE,
            "probability": self.case.whole,
            "probability_noisy": sum(map(self.case.probability, noisy)) / DRAWS,
        }

    def under_randomised_weights(self) -> Figures:
        """Give how alike the map stays once the network's last layers are made random, in a copy."""
        model = _forgotten(self.case)
        return {"similarity": self.alike(self.made(model, self.case.x, self.case.target)), "shuffled": 1 / _STAGES}

    def of_other(self) -> Figures:
        """Give how alike the map of the most probable other class is."""
        other = self.case.other
        heatmap = self.made(self.case.model, self.case.x, torch.full_like(self.case.target, other))
        return {
            "similarity": self.alike(heatmap),
            "other": float(other),
            "other_probability": self.case.probabilities[other].item(),
        }


def with_small_budget(method: Any) -> Any:
    """Give the method with no more than ``BUDGET`` masks wherever it has a budget to set.

    >>> from ..methods import METHODS
    >>> with_small_budget(METHODS["fusion-cam"]).region.budget, thrifty(METHODS["grad-cam"])
    (64, GradCAM(layer=None))
    """
    if isinstance(method, tuple):
        return tuple(map(with_small_budget, method))
    if not is_dataclass(method) or isinstance(method, type):
        return method
    values = {one.name: getattr(method, one.name) for one in fields(method) if one.init}
    budget = values.get("budget")
    if budget is not None:  # it goes before those of the partners
        return replace(method, budget=BUDGET) if budget == AUTO or budget > BUDGET else method
    parts = {name: with_small_budget(value) for name, value in values.items()}
    changed = {name: part for name, part in parts.items() if part != values[name]}
    if "budget" in values and not any(map(is_dataclass, values.values())):
        changed["budget"] = BUDGET
    return replace(method, **changed) if changed else method


def _forgotten(case: Case) -> ExplainedModel:
    """Copy the model and shuffle the parameters of its last layers; raise :class:`MethodError` if it cannot be."""
    try:
        return next(randomised(with_fixed_layer(case.model, case.x), _STAGES, "shuffle", 0))
    except Exception as error:  # whatever a foreign module raises when it is copied
        raise MethodError(f"the network cannot be copied ({type(error).__name__}: {error})") from error


@contextmanager
def _at_most(passes: int) -> Iterator[None]:
    def watch(meter: PassCounter) -> None:
        if meter.passes > passes:
            raise PassBudgetExceeded

    with count_passes(watch):
        yield
