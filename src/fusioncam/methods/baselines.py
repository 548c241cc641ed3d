"""Heatmaps that do not depend on the network: the baselines of every table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.errors import SettingError
from fusioncam.functional.heatmaps import minmax, precise
from fusioncam.methods.base import warn_if_flat
from fusioncam.methods.costs import PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class Random:
    """Independent uniform random numbers per pixel: the least that a method must beat. The same for every image."""

    family: ClassVar[str] = "baseline"
    cost: ClassVar[PassCount] = PassCount()
    paper: ClassVar[str] = ""

    seed: int = 0

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        values = torch.rand(x.shape[2:], generator=torch.Generator().manual_seed(self.seed)).to(precise(x))
        return minmax(values[None]).expand(len(x), *x.shape[2:])


@dataclass(frozen=True)
class Center:
    """A Gaussian at the centre, where photographers put objects; its deviation is ``width`` times the side."""

    family: ClassVar[str] = "baseline"
    cost: ClassVar[PassCount] = PassCount()
    paper: ClassVar[str] = ""

    width: float = 0.25

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise SettingError(f"width must be a positive fraction of the side, got {self.width!r}")

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        sides = [
            (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / (self.width * side) for side in x.shape[2:]
        ]
        distance = torch.stack(torch.meshgrid(*sides, indexing="ij")).square().sum(0)
        return minmax((-distance / 2).exp().to(precise(x))[None]).expand(len(x), *x.shape[2:])


@dataclass(frozen=True)
class Ones:
    """1 everywhere: the heatmap that masks nothing, whose average drop is 0."""

    family: ClassVar[str] = "baseline"
    cost: ClassVar[PassCount] = PassCount()
    paper: ClassVar[str] = ""

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` of ones."""
        return precise(x).new_ones(len(x), *x.shape[2:])


@dataclass(frozen=True)
class Edges:
    """The edges of the image: the gradient magnitude of its grey values by the Sobel operator."""

    family: ClassVar[str] = "baseline"
    cost: ClassVar[PassCount] = PassCount()
    paper: ClassVar[str] = ""

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        grey = precise(x).mean(1)
        gradients = [sobel(grey, axis) for axis in range(1, grey.dim())]
        return warn_if_flat(minmax(torch.stack(gradients).square().sum(0).sqrt()), self)


def sobel(maps: Tensor, along: int) -> Tensor:
    """Differentiate maps ``(N, *s)`` along one axis, smooth along the others by 1, 2, 1; replicate the borders."""
    for axis in range(1, maps.dim()):
        pad = [0, 0] * (maps.dim() - 1 - axis) + [1, 1] + [0, 0] * (axis - 1)
        padded = F.pad(maps[:, None], pad, mode="replicate")[:, 0]
        side = maps.shape[axis]
        before, center, after = (padded.narrow(axis, start, side) for start in (0, 1, 2))
        maps = after - before if axis == along else before + 2 * center + after
    return maps
