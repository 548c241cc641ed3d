"""Explanations that keep the maps of a fusion, so that another theta needs four passes only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Event

import torch
from torch import Tensor

from fusioncam.errors import MethodError
from fusioncam.explanations.explanation import Explanation
from fusioncam.methods.base import Method
from fusioncam.methods.fusion import FusionCAM
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, Targets, as_targets


@dataclass(frozen=True)
class CachedMethod:
    """A method that keeps its first result for calls with the same model, input and classes."""

    method: Method
    first: list[tuple[ExplainedModel, Tensor, Targets, Tensor]] = field(
        default_factory=list, init=False, compare=False, repr=False
    )

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        targets = as_targets(target, x)
        for known_model, known_x, known_targets, heatmaps in self.first:
            if known_model is model and torch.equal(known_x, x) and _equal(known_targets, targets):
                return heatmaps
        # the caller's own target: the cache of passes compares objects by identity
        heatmaps = self.method(model, x, target)
        if not self.first:
            self.first.append((model, x, targets, heatmaps))
        return heatmaps


@dataclass(frozen=True, eq=False)  # compared by identity
class CachedExplanation:
    """An explanation with its method, which keeps the maps of a fusion.

    ``spec`` is the method's SPEC with its own theta, ``budget`` the number of masks at the layer. ``superseded`` is
    set when the visitor requests another heatmap, so that it does not wait for the check of this one.
    """

    explanation: Explanation
    method: Method
    spec: str
    budget: int
    superseded: Event = field(default_factory=Event, kw_only=True)

    @property
    def theta(self) -> float | None:
        """The percentile below which the gradient map is set to zero; None for other methods than Fusion-CAM."""
        return self.method.theta if isinstance(self.method, FusionCAM) else None

    def at_theta(self, theta: float) -> CachedExplanation:
        """Fuse the same maps with another theta: four passes, for the gains.

        Raises :class:`MethodError` for other methods than Fusion-CAM.
        """
        if not isinstance(self.method, FusionCAM):
            raise MethodError(f"{self.spec} has no theta: choose fusion-cam")
        method = replace(self.method, theta=theta)
        explanation = replace(self.explanation.by(method), method=spec_with_theta(self.spec, theta))
        return replace(self, explanation=explanation, method=method, superseded=Event())


def _equal(known: Targets, targets: Targets) -> bool:
    if isinstance(known, Tensor) and isinstance(targets, Tensor):
        return torch.equal(known, targets)
    return known == targets


def cache_maps(method: Method) -> Method:
    """Return the same method; a fusion keeps the maps that it fuses."""
    if not isinstance(method, FusionCAM):
        return method
    gradient, region = CachedMethod(method.gradient), CachedMethod(method.scored_region())
    return replace(method, gradient=gradient, region=region, budget=None)


def spec_with_theta(spec: str, theta: float) -> str:
    """Return the SPEC of a fusion with another theta.

    >>> spec_with_theta("fusion-cam(budget=64)", 20), spec_with_theta("fusion-cam", 7.5)
    ('fusion-cam(budget=64, theta=20)', 'fusion-cam(theta=7.5)')
    """
    return f"{spec[:-1]}, theta={theta:g})" if spec.endswith(")") else f"{spec}(theta={theta:g})"
