"""Any method, steadied: averaged over flips and noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import UnknownNameError
from fusioncam.functional.heatmaps import minmax, precise
from fusioncam.inference.cache import once
from fusioncam.methods.base import Method, checked, noise
from fusioncam.methods.costs import cost_of
from fusioncam.methods.gradient import GradCAM
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class Augmented:
    """A method's heatmaps averaged over the picture, its mirror image and noisy ones.

    ``flips`` asks for the mirror image, ``samples`` says how many noisy ones. The noise is normal of deviation
    ``std``, in the units of the normalised input.
    """

    family: ClassVar[str] = "wrapper"
    paper: ClassVar[str] = ""

    method: Method = field(default_factory=GradCAM)
    flips: bool = True
    samples: int = 4
    std: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.samples, int) or self.samples < 0:
            raise UnknownNameError(f"samples is a whole number from 0, got {self.samples!r}")

    @property
    def cost(self) -> str:
        """The passes of one picture."""
        times, each = 1 + self.flips + self.samples, cost_of(self.method)
        return str(times * int(each)) if each.isdigit() else f"{times} x ({each})"

    @once
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        heatmaps = torch.stack([one.to(precise(x)) for one in self._each(model, x, target)])
        return checked(minmax(heatmaps.mean(0)), self)

    def _each(self, model: ExplainedModel, x: Tensor, target: Target) -> Iterator[Tensor]:
        yield self.method(model, x, target)
        if self.flips:
            yield self.method(model, x.flip(-1), target).flip(-1)
        for one in noise(x, self.samples, self.seed):
            yield self.method(model, x + self.std * one, target)
