"""Gradients averaged over many inputs: noisy ones, or those on the way from an empty image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import UnknownNameError, require_count, require_known
from fusioncam.functional.cam import grad_cam, grad_cam_plus_plus
from fusioncam.functional.heatmaps import minmax, precise
from fusioncam.functional.masks import FILLS
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import Method, noise, to_heatmap, warn_if_flat
from fusioncam.methods.costs import cost_of
from fusioncam.methods.gradient import GradCAM
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class SmoothGradCAMPlusPlus:
    """Smooth Grad-CAM++: Grad-CAM++ of derivatives averaged over noise (Omeiza et al. 2019, arXiv 1908.01224).

    ``samples`` inputs with normal noise of deviation ``std``, in the units of the normalised input; the maps are
    those of the clean image. ``alpha`` has the second derivative above its line, as in Grad-CAM++, where the paper
    prints the first.
    """

    family: ClassVar[str] = "gradient"
    paper: ClassVar[str] = "arXiv 1908.01224"

    samples: int = 4
    std: float = 0.3
    seed: int = 0
    layer: str | None = None

    def __post_init__(self) -> None:
        require_count("samples", self.samples)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"1 + {self.samples}"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        drawn = self.std * noise(x, self.samples, self.seed)
        gradients = torch.stack([model.record(x + one, target, self.layer).gradients for one in drawn])
        powers = (gradients.pow(power).mean(0) for power in (1, 2, 3))
        cam = grad_cam_plus_plus(model.record(x, target, self.layer).activations, *powers)
        return to_heatmap(cam, x, self)


@dataclass(frozen=True)
class ExpectedGradCAM:
    """Expected Grad-CAM: Grad-CAM of the gradient expected on the ways from noise to the image.

    After Buono et al. 2024, arXiv 2406.01274, whose code is not public: ours has the expected gradients of the
    paper and not its kernel smoothing, and its defaults are ours. ``samples`` empty images with noise of
    deviation ``std``, each at another distance from the image: where the score no longer moves at the image
    itself, it did on the way.
    """

    family: ClassVar[str] = "gradient"
    paper: ClassVar[str] = "arXiv 2406.01274"

    samples: int = 50
    std: float = 1.0
    seed: int = 0
    layer: str | None = None

    def __post_init__(self) -> None:
        require_count("samples", self.samples)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"1 + {self.samples}"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        empty = self.std * noise(x, self.samples, self.seed)
        activations = model.record(x, target, self.layer).activations
        total = torch.zeros_like(activations)
        for way, one in zip(middles(self.samples), empty, strict=True):
            total += model.record(one + way * (x - one), target, self.layer).gradients
        return to_heatmap(grad_cam(activations, total / self.samples), x, self)


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated Gradients, the yardstick that is no CAM (Sundararajan et al. 2017, arXiv 1703.01365, eq. 1).

    The gradient by the pixels, integrated from the empty image (``fill``) to the image in ``steps`` by the
    midpoint rule, times their difference; the map is the absolute sum over the colours.
    """

    family: ClassVar[str] = "gradient"
    paper: ClassVar[str] = "arXiv 1703.01365"

    steps: int = 50
    fill: str = "mean"

    def __post_init__(self) -> None:
        require_count("steps", self.steps)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"{self.steps}"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)``."""
        x = x.to(model.device)
        away = precise(x) - model.fill_pixels(precise(x), self.fill)
        total = torch.zeros_like(away)
        for way in middles(self.steps):
            total += model.input_gradients(x - (1 - way) * away, target)
        return warn_if_flat(minmax((away * total / self.steps).sum(1).abs()), self)


def middles(steps: int) -> list[float]:
    """List the middles of equal parts of the way from 0 to 1."""
    return [(step + 0.5) / steps for step in range(steps)]


@dataclass(frozen=True)
class Augmented:
    """A method's heatmaps averaged over the image, its mirror image and noisy ones.

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
        """The passes of one image."""
        times, each = 1 + self.flips + self.samples, cost_of(self.method)
        return str(times * int(each)) if each.isdigit() else f"{times} x ({each})"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        heatmaps = torch.stack([one.to(precise(x)) for one in self._each(model, x, target)])
        return warn_if_flat(minmax(heatmaps.mean(0)), self)

    def _each(self, model: ExplainedModel, x: Tensor, target: Target) -> Iterator[Tensor]:
        yield self.method(model, x, target)
        if self.flips:
            yield self.method(model, x.flip(-1), target).flip(-1)
        for one in noise(x, self.samples, self.seed):
            yield self.method(model, x + self.std * one, target)
