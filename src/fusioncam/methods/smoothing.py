"""Methods that average over many inputs: noisy images, mirrored ones, or those on a path from an empty image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import SettingError, ShapeError, require_count, require_known
from fusioncam.functional.cam import grad_cam, grad_cam_plus_plus_from_derivatives
from fusioncam.functional.heatmaps import minmax, precise
from fusioncam.functional.masks import FILLS
from fusioncam.methods.base import Method, noise, to_heatmap, warn_if_flat
from fusioncam.methods.costs import PassCount, cost_of
from fusioncam.methods.gradient import GradCAM
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.pixel_gradients import input_gradients
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class SmoothGradCAMPlusPlus:
    """Smooth Grad-CAM++: Grad-CAM++ of derivatives averaged over noise (Omeiza et al. 2019, arXiv 1908.01224).

    The derivatives are averaged over ``samples`` inputs with normal noise of standard deviation ``std``, in the units
    of the normalised input; the activations are those of the image without noise. The numerator of ``alpha`` is the
    second derivative, as in Grad-CAM++, where the paper prints the first.
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
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(recorded=True, full=self.samples)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        draws = self.std * noise(x, self.samples, self.seed)
        gradients = torch.stack([model.record(x + draw, target, self.layer).gradients for draw in draws])
        powers = (gradients.pow(power).mean(0) for power in (1, 2, 3))
        cam = grad_cam_plus_plus_from_derivatives(model.record(x, target, self.layer).activations, *powers)
        return to_heatmap(cam, x, self)


@dataclass(frozen=True)
class ExpectedGradCAM:
    """Expected Grad-CAM: Grad-CAM of the expected gradient on paths from noise to the image.

    After Buono et al. 2024, arXiv 2406.01274, whose code is not public: this implementation has the expected
    gradients of the paper but not its kernel smoothing, and the defaults are ours. ``samples`` paths start at empty
    images with noise of standard deviation ``std``, and each is evaluated at another distance from the image. Where
    the score is saturated at the image itself, its gradient on the path is not 0.
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
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(recorded=True, full=self.samples)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        starts = self.std * noise(x, self.samples, self.seed)
        activations = model.record(x, target, self.layer).activations
        total = torch.zeros_like(activations)
        for fraction, start in zip(midpoints(self.samples), starts, strict=True):
            total += model.record(start + fraction * (x - start), target, self.layer).gradients
        return to_heatmap(grad_cam(activations, total / self.samples), x, self)


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated Gradients, a pixelwise reference, not a CAM (Sundararajan et al. 2017, arXiv 1703.01365, eq. 1).

    The gradient with respect to the pixels, integrated from the empty image (``fill``) to the image in ``steps``
    steps by the midpoint rule, times the difference of the images; the map is the absolute value of the sum over
    channels.
    """

    family: ClassVar[str] = "gradient"
    paper: ClassVar[str] = "arXiv 1703.01365"

    steps: int = 50
    fill: str = "mean"

    def __post_init__(self) -> None:
        require_count("steps", self.steps)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(full=self.steps)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        x = x.to(model.device)
        difference = precise(x) - model.fill_pixels(precise(x), self.fill)
        total = torch.zeros_like(difference)
        for fraction in midpoints(self.steps):
            total += input_gradients(model, x - (1 - fraction) * difference, target)
        return warn_if_flat(minmax((difference * total / self.steps).sum(1).abs()), self)


@dataclass(frozen=True)
class ExpectedGradients:
    """Expected Gradients: Integrated Gradients averaged over many references (Erion et al. 2021, arXiv 1906.10670).

    A pixelwise reference, not a CAM. The mean of ``samples`` gradients, each at another fraction of the way from one
    of the references to the image, times the difference of the two; the map is the absolute value of the sum over
    channels. The paper draws references from the training images and the fractions at random; here the fractions are
    evenly spaced. ``references`` is a function from the number of samples to these images ``(samples, C, *s)`` as
    inputs of the network, or "noise": normal noise, whose mean and deviation are those of training images after the
    normalisation.
    """

    family: ClassVar[str] = "gradient"
    paper: ClassVar[str] = "arXiv 1906.10670"

    samples: int = 50
    references: str | Callable[[int], Tensor] = "noise"
    seed: int = 0

    def __post_init__(self) -> None:
        require_count("samples", self.samples)
        if not callable(self.references):
            require_known("kind of references", self.references, ("noise",))

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(full=self.samples)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        x = x.to(model.device)
        total = torch.zeros_like(precise(x))
        for fraction, reference in zip(midpoints(self.samples), self._references(x), strict=True):
            difference = x - reference
            total += precise(difference) * input_gradients(model, reference + fraction * difference, target)
        return warn_if_flat(minmax(total.sum(1).abs()), self)

    def _references(self, x: Tensor) -> Tensor:
        if not callable(self.references):
            return noise(x, self.samples, self.seed)
        images = self.references(self.samples)
        expected = (self.samples, *x.shape[1:])
        if not isinstance(images, Tensor) or images.shape != expected:
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ShapeError(f"references must return a tensor {expected}, one image for each sample, got {got}")
        return images.to(x)


def midpoints(steps: int) -> list[float]:
    """Return the midpoints of ``steps`` equal intervals of [0, 1]."""
    return [(step + 0.5) / steps for step in range(steps)]


@dataclass(frozen=True)
class Augmented:
    """A method's heatmaps averaged over the image, its mirror image and noisy copies.

    ``flips`` includes the mirror image, ``samples`` is the number of noisy copies. The noise is normal with standard
    deviation ``std``, in the units of the normalised input.
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
            raise SettingError(f"samples must be an integer of at least 0, got {self.samples!r}")

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(self.method).times(1 + self.flips + self.samples)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        heatmaps = torch.stack([heatmap.to(precise(x)) for heatmap in self._heatmaps(model, x, target)])
        return warn_if_flat(minmax(heatmaps.mean(0)), self)

    def _heatmaps(self, model: ExplainedModel, x: Tensor, target: Target) -> Iterator[Tensor]:
        yield self.method(model, x, target)
        if self.flips:
            yield self.method(model, x.flip(-1), target).flip(-1)
        for draw in noise(x, self.samples, self.seed):
            yield self.method(model, x + self.std * draw, target)
