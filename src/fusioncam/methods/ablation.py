"""Methods that change the layer's maps instead of the image: their passes start at the layer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.functional.heatmaps import minmax, upsample, weighted_sum
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import to_heatmap, warn_if_flat
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target


class WithoutChannel:
    """Each channel of the maps set to 0, one at a time; one that is 0 anyhow is not active."""

    def __init__(self, activations: Tensor) -> None:
        images, channels = activations.shape[:2]
        self.shape = (channels, images)
        self.active = (activations != 0).flatten(2).any(2).T

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        """Give a copy ``(B, K, *s)`` without each of the channels."""
        copies = maps.expand(len(which), *maps.shape).clone()
        copies[torch.arange(len(which)), which] = 0
        return copies


@dataclass(frozen=True)
class AblationCAM:
    """Ablation-CAM: channels weighted by what the score loses without them (Desai and Ramaswamy, WACV 2020).

    The weight is ``y - y_k``, ``y_k`` being the logit with channel ``k`` set to 0. The paper divides by ``y``, which
    is one factor for the whole map: it changes nothing where ``y > 0``, and turns the map over where ``y < 0``.
    """

    family: ClassVar[str] = "region"
    cost: ClassVar[str] = "1 + K partial"
    paper: ClassVar[str] = "10.1109/WACV45572.2020.9093360"

    readout: str = "logit"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_known("readout", self.readout, READOUTS)

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        record = model.record(x, target, self.layer)
        changes = WithoutChannel(record.activations)
        without = model.ablated_scores(x, changes, target, readout=self.readout, layer=self.layer).T
        drop = (model.score_from_logits(record.logits, target, self.readout)[:, None] - without).where(
            changes.active.T, 0
        )
        return to_heatmap(weighted_sum(record.activations, drop), x, self)


class OnePlace:
    """Each place of the maps alone, the others 0; ``spread`` writes it over its neighbourhood as a Gaussian does."""

    def __init__(self, activations: Tensor, *, spread: bool) -> None:
        sides = activations.shape[2:]
        self.shape = (prod(sides), len(activations))
        self._kernels = torch.stack([self._kernel(place, sides, spread) for place in product(*map(range, sides))])

    @staticmethod
    def _kernel(place: tuple[int, ...], sides: torch.Size, spread: bool) -> Tensor:
        """Give ``(*s)``: 1 at the place, or the product of (1/4, 1/2, 1/4) along the sides around it."""
        kernel = torch.ones(())
        for here, side in zip(place, sides, strict=True):
            away = (torch.arange(side) - here).abs()
            along = torch.where(away == 0, 0.5, 0.25) * (away <= 1) if spread else (away == 0).float()
            kernel = kernel[..., None] * along
        return kernel

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        """Give maps ``(B, K, *s)`` of each of the places alone."""
        there = maps.flatten(1).T[which]
        return torch.einsum("bk,b...->bk...", there, self._kernels.to(maps)[which])


@dataclass(frozen=True)
class ReciproCAM:
    """Recipro-CAM: each place weighted by the probability that it gives alone (Byun and Lee, arXiv 2209.14074).

    No gradient, and as many passes as places, which start at the layer. ``spread`` is how a place is shown: as a
    "point", which the authors' code does when called, or as the "gaussian" over its neighbours that it defines.
    """

    family: ClassVar[str] = "region"
    cost: ClassVar[str] = "1 + P partial"
    paper: ClassVar[str] = "arXiv 2209.14074"

    spread: str = "point"
    readout: str = "probability"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_known("spread", self.spread, ("point", "gaussian"))
        require_known("readout", self.readout, READOUTS)

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        activations = model.record(x, target, self.layer).activations
        changes = OnePlace(activations, spread=self.spread == "gaussian")
        scores = model.ablated_scores(x, changes, target, readout=self.readout, layer=self.layer).T
        cam = scores.reshape(len(x), *activations.shape[2:])
        return warn_if_flat(minmax(upsample(cam, x.shape[2:])), self)
