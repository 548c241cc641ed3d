"""What a method gave for a batch, checked and brought to the CPU, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from fusioncam.errors import ShapeError
from fusioncam.inference.costs import count_passes
from fusioncam.methods.base import Method
from fusioncam.methods.fusion import FusionComponents
from fusioncam.model.explained_model import ExplainedModel


@dataclass(frozen=True)
class MethodOutput:
    """What one method gave for one batch, on the CPU, where, and what it cost."""

    heatmaps: Tensor
    ingredients: FusionComponents | None
    layer: str
    passes: int
    partial: int
    seconds: float

    @classmethod
    def of(cls, model: ExplainedModel, x: Tensor, target: Tensor, method: Method) -> MethodOutput:
        """Ask the method, and count; raise :class:`ShapeError` if these are no heatmaps."""
        began = time.perf_counter()
        with count_passes() as meter:
            heatmaps = whole(method(model, x, target), x, method)
            ask = getattr(method, "ingredients", None)
            ingredients = ask(model, x, target) if ask else None
            layer = getattr(method, "layer", None) or model.layers.default(x)
        return cls(heatmaps, ingredients, layer, meter.passes, meter.partial, time.perf_counter() - began)

    def of_image(self, n: int) -> dict[str, Any]:
        """Give one image's part of it."""
        images = len(self.heatmaps)
        return {
            "heatmap": self.heatmaps[n],
            "ingredients": None if self.ingredients is None else _part(self.ingredients, n),
            "layer": self.layer,
            "passes": self.passes // images,
            "partial_passes": self.partial // images,
            "seconds": self.seconds / images,
        }


def whole(heatmaps: Tensor, x: Tensor, method: Method) -> Tensor:
    """Check what a method gave, which may be the user's own, and bring it to the CPU."""
    want = (len(x), *x.shape[2:])
    if not isinstance(heatmaps, Tensor) or tuple(heatmaps.shape) != want:
        got = tuple(heatmaps.shape) if isinstance(heatmaps, Tensor) else type(heatmaps).__name__
        raise ShapeError(f"{method!r} gave {got}, not heatmaps {want}")
    heatmaps = heatmaps.detach().float().cpu()
    if not ((heatmaps >= 0) & (heatmaps <= 1)).all():
        low, high = heatmaps.min().item(), heatmaps.max().item()
        raise ShapeError(f"{method!r} gave values from {low:.4g} to {high:.4g}, not heatmaps in [0, 1]")
    return heatmaps


def _part(ingredients: FusionComponents, n: int) -> FusionComponents:
    maps = {one.name: getattr(ingredients, one.name) for one in fields(ingredients)}
    gains = {name: gain[n].cpu() for name, gain in maps.pop("gains").items()}
    return FusionComponents(gains=gains, **{name: value[n].cpu() for name, value in maps.items()})
