"""Run a method on a batch: check its heatmaps, move them to the CPU and count their passes."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from fusioncam.errors import LayerError, ShapeError
from fusioncam.inference.costs import count_passes, track_cost
from fusioncam.inference.counters import PassCost
from fusioncam.methods.base import Method
from fusioncam.methods.fusion import FusionComponents
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Targets


@dataclass(frozen=True)
class MethodOutput:
    """The heatmaps ``(N, *s)`` of one method for one batch, on the CPU, with their layer and their cost.

    ``full_cost`` also counts what an earlier method computed and this one used.
    """

    heatmaps: Tensor
    ingredients: FusionComponents | None
    layer: str
    passes: int
    partial: int
    seconds: float
    full_cost: PassCost

    @classmethod
    def compute(cls, model: ExplainedModel, x: Tensor, target: Targets, method: Method) -> MethodOutput:
        """Run the method; raise :class:`ShapeError` if it does not return heatmaps."""
        began = time.perf_counter()
        with count_passes() as counter, track_cost() as costs:
            heatmaps = validated_on_cpu(method(model, x, target), x, method)
            compute_ingredients = getattr(method, "ingredients", None)
            ingredients = compute_ingredients(model, x, target) if compute_ingredients else None
            layer = getattr(method, "layer", None) or _default_layer(model, x)
        seconds = time.perf_counter() - began
        return cls(heatmaps, ingredients, layer, counter.passes, counter.partial, seconds, costs.standalone())

    def of_image(self, index: int) -> dict[str, Any]:
        """Return the fields of an explanation that belong to one image; costs are divided among the images."""
        images = len(self.heatmaps)
        return {
            "heatmap": self.heatmaps[index],
            "ingredients": None if self.ingredients is None else _ingredients_of_image(self.ingredients, index),
            "layer": self.layer,
            "passes": self.passes // images,
            "partial_passes": self.partial // images,
            "seconds": self.seconds / images,
            "full_cost": PassCost(
                self.full_cost.seconds / images, self.full_cost.passes // images, self.full_cost.partial // images
            ),
        }


def _default_layer(model: ExplainedModel, x: Tensor) -> str:
    """Return the model's layer; "none" if it has none, after a method that needs no layer."""
    try:
        return model.layers.default(x)
    except LayerError:
        return "none"


def validated_on_cpu(heatmaps: Tensor, x: Tensor, method: Method) -> Tensor:
    """Return a method's heatmaps as float32 on the CPU.

    The method may be the user's own: raises :class:`ShapeError` unless they are ``(N, *s)`` with values in [0, 1].
    """
    expected = (len(x), *x.shape[2:])
    if not isinstance(heatmaps, Tensor) or tuple(heatmaps.shape) != expected:
        got = tuple(heatmaps.shape) if isinstance(heatmaps, Tensor) else type(heatmaps).__name__
        raise ShapeError(f"{method!r} must return heatmaps of shape {expected}, got {got}")
    heatmaps = heatmaps.detach().float().cpu()
    if not ((heatmaps >= 0) & (heatmaps <= 1)).all():
        low, high = heatmaps.min().item(), heatmaps.max().item()
        raise ShapeError(f"{method!r} must return heatmaps in [0, 1], got values from {low:.4g} to {high:.4g}")
    return heatmaps


def _ingredients_of_image(ingredients: FusionComponents, index: int) -> FusionComponents:
    values = {field.name: getattr(ingredients, field.name) for field in fields(ingredients)}
    gains = {name: gain[index].cpu() for name, gain in values.pop("gains").items()}
    return FusionComponents(gains=gains, **{name: maps[index].cpu() for name, maps in values.items()})
