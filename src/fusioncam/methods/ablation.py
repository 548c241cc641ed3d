"""Methods that change the layer's activations instead of the image, with passes that start at the layer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.functional.heatmaps import weighted_sum
from fusioncam.methods.base import to_heatmap
from fusioncam.methods.costs import PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target, score_from_logits


class WithoutChannel:
    """Changes of the activations that set one channel to 0. Channels that are 0 already are not ``active``."""

    def __init__(self, activations: Tensor) -> None:
        images, channels = activations.shape[:2]
        self.shape = (channels, images)
        self.active = (activations != 0).flatten(2).any(2).T

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        """Return copies ``(B, K, *s)`` of maps ``(K, *s)``, each without one of the ``B`` channels."""
        copies = maps.expand(len(which), *maps.shape).clone()
        copies[torch.arange(len(which)), which] = 0
        return copies


@dataclass(frozen=True)
class AblationCAM:
    """Ablation-CAM: channels weighted by the drop in score without them (Desai and Ramaswamy, WACV 2020).

    The weight is ``y - y_k``, where ``y_k`` is the logit with channel ``k`` set to 0. The paper also divides by
    ``y``, which is the same factor for the whole map: it has no effect where ``y > 0`` and inverts the map where ``y
    < 0``.
    """

    family: ClassVar[str] = "region"
    cost: ClassVar[PassCount] = PassCount(recorded=True, partial_per_channel=1)
    paper: ClassVar[str] = "10.1109/WACV45572.2020.9093360"

    readout: str = "logit"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_known("readout", self.readout, READOUTS)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return to_heatmap(weighted_sum(*self.channel_weights(model, x, target)), x, self)

    def channel_weights(self, model: ExplainedModel, x: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Return the channels ``(N, K, *s)`` and their weights ``(N, K)``."""
        record = model.record(x, target, self.layer)
        changes = WithoutChannel(record.activations)
        ablated = model.ablated_scores(x, changes, target, readout=self.readout, layer=self.layer).T
        score = score_from_logits(record.logits, target, self.readout)[:, None]
        return record.activations, (score - ablated).where(changes.active.T, 0)


class SingleLocation:
    """Changes of the activations that keep one location and set the others to 0.

    ``spread`` copies the kept location to its neighbours with Gaussian weights.
    """

    def __init__(self, activations: Tensor, *, spread: bool) -> None:
        sides = activations.shape[2:]
        self.shape = (prod(sides), len(activations))
        locations = product(*map(range, sides))
        self._kernels = torch.stack([self._kernel(location, sides, spread) for location in locations])

    @staticmethod
    def _kernel(location: tuple[int, ...], sides: torch.Size, spread: bool) -> Tensor:
        """Return ``(*s)``: 1 at the location, or the product of (1/4, 1/2, 1/4) along the axes around it."""
        kernel = torch.ones(())
        for index, side in zip(location, sides, strict=True):
            distance = (torch.arange(side) - index).abs()
            along = torch.where(distance == 0, 0.5, 0.25) * (distance <= 1) if spread else (distance == 0).float()
            kernel = kernel[..., None] * along
        return kernel

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        """Return copies ``(B, K, *s)`` of maps ``(K, *s)``, each with one of the ``B`` locations."""
        kept = maps.flatten(1).T[which]
        return torch.einsum("bk,b...->bk...", kept, self._kernels.to(maps)[which])


@dataclass(frozen=True)
class ReciproCAM:
    """Recipro-CAM: each location weighted by the probability that it yields alone (Byun and Lee, arXiv 2209.14074).

    It needs no gradient, and one pass per location, which starts at the layer. ``spread`` is how a location is
    presented: as a single "point", which is what the authors' code does when it is called, or as the "gaussian" over
    its neighbours that the code defines.
    """

    family: ClassVar[str] = "region"
    cost: ClassVar[PassCount] = PassCount(recorded=True, partial_per_location=1)
    paper: ClassVar[str] = "arXiv 2209.14074"

    spread: str = "point"
    readout: str = "probability"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_known("spread", self.spread, ("point", "gaussian"))
        require_known("readout", self.readout, READOUTS)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        activations = model.record(x, target, self.layer).activations
        changes = SingleLocation(activations, spread=self.spread == "gaussian")
        scores = model.ablated_scores(x, changes, target, readout=self.readout, layer=self.layer).T
        return to_heatmap(scores.reshape(len(x), *activations.shape[2:]), x, self, relu=False)
