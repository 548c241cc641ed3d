"""What every method is, and what all of them do at their ends."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from fusioncam.errors import FlatHeatmapWarning, UnknownNameError
from fusioncam.functional.heatmaps import is_flat, minmax, relu_above_rounding, upsample
from fusioncam.inference.context import current_context
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


class Method(Protocol):
    """Anything that turns a model, inputs ``(N, C, *s)`` and targets ``(N,)`` into heatmaps ``(N, *s)``."""

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        ...


# ways to make one map of several, pixel by pixel: ``(P, N, *s)`` to ``(N, *s)``
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean(0),
    "max": lambda maps: maps.amax(0),
    "product": lambda maps: maps.prod(0),
}


def warn_if_flat(
    heatmaps: Tensor, method: object, *, instead: str = "whose zeros say that there is nothing to show"
) -> Tensor:
    """Hand on the heatmaps, and warn of those that are constant."""
    flat = is_flat(heatmaps).nonzero()[:, 0].tolist()
    if flat:
        names = current_context().image_names
        which = ", ".join(names[n] if names else f"image {n} of the batch" for n in flat)
        warnings.warn(
            f"{which}: a constant map, {instead} ({method!r})",
            FlatHeatmapWarning,
            stacklevel=3,
        )
    return heatmaps


def to_heatmap(cam: Tensor, x: Tensor, method: object) -> Tensor:
    """Bring a raw cam ``(N, *s)`` to heatmaps of the input's size in [0, 1]: ReLU, upsampled, stretched."""
    return warn_if_flat(minmax(upsample(relu_above_rounding(cam), x.shape[2:])), method)


def noise(x: Tensor, samples: int, seed: int) -> Tensor:
    """Draw standard normal ``(samples, C, *s)``: the same for every image of a batch, on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((samples, *x.shape[1:]), generator=generator).to(x)


def layers_of(method: object) -> set[str | None]:
    """List the layers that a method and its partners look at; None is the model's.

    >>> from .fusion import FusionCAM
    >>> from .gradient import GradCAM
    >>> sorted(layers_of(FusionCAM(gradient=GradCAM(layer="blocks.4"))), key=str)
    [None, 'blocks.4']
    """
    if not is_dataclass(method):
        return set()
    found: set[str | None] = set()
    for field in fields(method):
        value = getattr(method, field.name)
        if field.name == "layer":
            found.add(value)
        for part in value if isinstance(value, tuple) else (value,):
            found |= layers_of(part)
    return found


def at_layer(method: object, layer: str) -> Method:
    """Give the same method at another layer; raise :class:`UnknownNameError` if it looks at none."""
    return with_setting(method, "layer", layer, "grad-cam or layer-cam")


def with_setting(method: object, name: str, value: object, such_as: str) -> Method:
    """Give the same method with one setting changed; raise :class:`UnknownNameError` if it has none of that name."""
    if not is_dataclass(method) or name not in {field.name for field in fields(method)}:
        raise UnknownNameError(f"{method!r} has no setting '{name}': use one that has, such as {such_as}")
    return replace(method, **{name: value})  # type: ignore[type-var,return-value] # an instance, not a class


def require_percentile(theta: object) -> None:
    """Raise :class:`UnknownNameError` unless ``theta`` is a number from 0 to 100."""
    if isinstance(theta, bool) or not isinstance(theta, (int, float)) or not 0 <= theta <= 100:
        raise UnknownNameError(f"theta is a percentile from 0 to 100, got {theta!r}")
