"""What every table needs beside the methods: maps that know nothing of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.errors import UnknownNameError
from fusioncam.functional.heatmaps import minmax, precise
from fusioncam.methods.base import warn_if_flat
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class Random:
    """Independent random numbers at every pixel: what a map must at least beat. The same for every image."""

    family: ClassVar[str] = "baseline"
    cost: ClassVar[str] = "0"
    paper: ClassVar[str] = ""

    seed: int = 0

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        drawn = torch.rand(x.shape[2:], generator=torch.Generator().manual_seed(self.seed)).to(precise(x))
        return minmax(drawn[None]).expand(len(x), *x.shape[2:])


@dataclass(frozen=True)
class Center:
    """A Gaussian in the middle, where photographers put things; ``width`` is its deviation in shares of a side."""

    family: ClassVar[str] = "baseline"
    cost: ClassVar[str] = "0"
    paper: ClassVar[str] = ""

    width: float = 0.25

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise UnknownNameError(f"width is a share of the side above 0, got {self.width!r}")

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        sides = [
            (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / (self.width * side) for side in x.shape[2:]
        ]
        distance = torch.stack(torch.meshgrid(*sides, indexing="ij")).square().sum(0)
        return minmax((-distance / 2).exp().to(precise(x))[None]).expand(len(x), *x.shape[2:])


@dataclass(frozen=True)
class Ones:
    """1 everywhere: the map that hides nothing, whose average drop is 0."""

    family: ClassVar[str] = "baseline"
    cost: ClassVar[str] = "0"
    paper: ClassVar[str] = ""

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` of ones."""
        return precise(x).new_ones(len(x), *x.shape[2:])


@dataclass(frozen=True)
class Edges:
    """The image's edges: the length of Sobel's slopes of its channels' mean. A map may well be no better."""

    family: ClassVar[str] = "baseline"
    cost: ClassVar[str] = "0"
    paper: ClassVar[str] = ""

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        grey = precise(x).mean(1)
        slopes = [sobel(grey, axis) for axis in range(1, grey.dim())]
        return warn_if_flat(minmax(torch.stack(slopes).square().sum(0).sqrt()), self)


def sobel(maps: Tensor, along: int) -> Tensor:
    """Slope of maps ``(N, *s)`` along one axis, smoothed along the others by 1, 2, 1; borders repeat."""
    for axis in range(1, maps.dim()):
        pad = [0, 0] * (maps.dim() - 1 - axis) + [1, 1] + [0, 0] * (axis - 1)
        wide = F.pad(maps[:, None], pad, mode="replicate")[:, 0]
        side = maps.shape[axis]
        before, here, after = (wide.narrow(axis, start, side) for start in (0, 1, 2))
        maps = after - before if axis == along else before + 2 * here + after
    return maps
