"""The interface of methods, and the steps that all of them share."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import ClassVar, Protocol, final

import torch
from torch import Tensor

from fusioncam.errors import FlatHeatmapWarning, SettingError, UnknownNameError
from fusioncam.functional.heatmaps import is_flat, minmax, relu_above_rounding, upsample
from fusioncam.inference.context import current_context
from fusioncam.methods.costs import RECORDED, PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


class Method(Protocol):
    """A callable from a model, inputs ``(N, C, *s)`` and targets ``(N,)`` to heatmaps ``(N, *s)``.

    Examples:
        ```python
        def brightness(model, x, target):
            low, high = x.mean(1).aminmax(dim=2, keepdim=True)  # one row at a time
            return (x.mean(1) - low) / (high - low).clamp(min=1e-6)


        explanation = fc.explain("cat.jpg", method=brightness)
        ```
    """

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        ...


@dataclass(frozen=True)
class RecordedCAM(ABC):
    """Base class of methods that compute their cam from the activations and gradients of one recorded pass.

    A subclass defines its citation, ``paper``, and :meth:`cam`. ``layer`` is a dotted name and defaults to the
    model's layer. Calls with ``x (N, C, *s)`` and ``target (N,)`` return heatmaps ``(N, *s)``: the cam after a ReLU,
    upsampled to the size of the input and rescaled to [0, 1].
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = RECORDED
    paper: ClassVar[str]

    layer: str | None = None

    @abstractmethod
    def cam(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """Return the cam ``(N, *s)`` of activations and gradients ``(N, K, *s)``."""

    @final
    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        record = model.record(x, target, self.layer)
        return to_heatmap(self.cam(record.activations, record.gradients), x, self)


# pixelwise reductions of several maps to one: ``(P, N, *s)`` to ``(N, *s)``
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean(0),
    "max": lambda maps: maps.amax(0),
    "product": lambda maps: maps.prod(0),
}


def warn_if_flat(
    heatmaps: Tensor, method: object, *, instead: str = "replaced by zeros because it carries no information"
) -> Tensor:
    """Return the heatmaps unchanged, and warn about those that are constant."""
    flat = is_flat(heatmaps).nonzero()[:, 0].tolist()
    if flat and current_context().warn_if_flat:
        names = current_context().image_names
        images = ", ".join(names[n] if names else f"image {n} of the batch" for n in flat)
        warnings.warn(f"{images}: constant heatmap, {instead} ({method!r})", FlatHeatmapWarning, stacklevel=3)
    return heatmaps


def to_heatmap(cam: Tensor, x: Tensor, method: object, *, relu: bool = True) -> Tensor:
    """Turn a cam ``(N, *s)`` into heatmaps of the size of ``x``: ReLU, upsampling, rescaling to [0, 1]."""
    cam = relu_above_rounding(cam) if relu else cam
    return warn_if_flat(minmax(upsample(cam, x.shape[2:])), method)


def noise(x: Tensor, samples: int, seed: int) -> Tensor:
    """Draw standard normal noise ``(samples, C, *s)``, the same for every image of a batch and every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((samples, *x.shape[1:]), generator=generator).to(x)


def layers_of(method: object) -> set[str | None]:
    """Return the layers that a method and its partners use; None stands for the model's layer.

    >>> from fusioncam.methods import FusionCAM, GradCAM
    >>> sorted(layers_of(FusionCAM(gradient=GradCAM(layer="blocks.4"))), key=str)
    [None, 'blocks.4']
    """
    if not is_dataclass(method):
        return set()
    layers: set[str | None] = set()
    for field in fields(method):
        value = getattr(method, field.name)
        if field.name == "layer":
            layers.add(value)
        for partner in value if isinstance(value, tuple) else (value,):
            layers |= layers_of(partner)
    return layers


def at_layer(method: object, layer: str) -> Method:
    """Return the same method at another layer; raise :class:`UnknownNameError` if it has no ``layer`` setting."""
    return with_setting(method, "layer", layer, "grad-cam or layer-cam")


def with_setting(method: object, name: str, value: object, alternatives: str) -> Method:
    """Return the method with one setting changed; raise :class:`UnknownNameError` if it has no such setting."""
    if not is_dataclass(method) or name not in {field.name for field in fields(method)}:
        raise UnknownNameError(f"{method!r} has no setting '{name}'; use a method that has, such as {alternatives}")
    return replace(method, **{name: value})  # type: ignore[type-var,return-value] # an instance, not a class


def require_percentile(theta: object) -> None:
    """Raise :class:`SettingError` unless ``theta`` is a number from 0 to 100."""
    if isinstance(theta, bool) or not isinstance(theta, (int, float)) or not 0 <= theta <= 100:
        raise SettingError(f"theta must be a percentile between 0 and 100, got {theta!r}")
