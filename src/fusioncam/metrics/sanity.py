"""Does the heatmap depend on what it explains, and hold still under what changes nothing.

These metrics ask the method for more heatmaps: ``metric(model, x, target, heatmaps, method=method)``, where
``heatmaps`` are those that ``method`` gave for ``x``. Random numbers come from ``seed`` and are the same for every
image. Within :func:`fusioncam.inference.cache` nothing of what they ask is kept: nobody would ask for it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.errors import require_known
from fusioncam.functional.heatmaps import expand_like
from fusioncam.functional.similarity import SIMILARITIES, relative_change, similar
from fusioncam.methods.base import Method
from fusioncam.metrics.base import random_like, regenerate, require_method, require_number, validate_heatmaps
from fusioncam.metrics.randomisation import DRAWS, randomised, with_fixed_layer
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class ModelRandomisation:
    """Cascading model randomisation: how like the heatmap stays as the network forgets (Adebayo et al. 2018).

    arXiv 1810.03292. On copies of the network the layers are made random from the top down, in
    ``stages`` even steps until none is left as trained; the value is the mean similarity of the heatmaps of these
    copies, for the same class, to the trained network's. Near 0 the heatmap depends on what was learned; one that
    survives does not. :meth:`curve` has every stage.

    A layer is a module with parameters of its own, in the order of definition. ``draw`` says what becomes of them:
    "shuffle" gives each parameter its own values in random order, so that the network stays as lively as it was;
    "reset" asks the layer to initialise itself, as the paper and Quantus do, and shuffles those that cannot. Deep
    networks fall silent by that: EfficientNet-Lite0's last maps shrink by eight orders of magnitude. ``similarity``
    is "spearman", the paper's rank correlation, or "pearson". NaN for a constant heatmap; that of a copy is like
    nothing and counts as 0.
    """

    family: ClassVar[str] = "sanity"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 1810.03292"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = True
    shares_objective: ClassVar[tuple[str, ...]] = ()

    stages: int = 5
    draw: str = "shuffle"
    similarity: str = "spearman"
    seed: int = 0

    def __post_init__(self) -> None:
        require_known("draw", self.draw, DRAWS)
        require_known("similarity", self.similarity, SIMILARITIES)
        require_number("stages", self.stages, int, 1)

    @property
    def cost(self) -> str:
        """The passes of one image; M is what the method takes."""
        return f"{self.stages} M"

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the mean similarity ``(N,)`` in [-1, 1]."""
        return self.curve(model, x, target, heatmaps, method).mean(0)

    def curve(
        self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method | None = None
    ) -> Tensor:
        """Give the similarity after each stage, the least changed network first, ``(stages, N)``."""
        method, heatmaps = require_method(self, method), validate_heatmaps(heatmaps, x)
        copies = randomised(with_fixed_layer(model, x), self.stages, self.draw, self.seed)
        return torch.stack([similar(heatmaps, regenerate(method, one, x, target), self.similarity) for one in copies])


@dataclass(frozen=True)
class NoiseStability:
    """Noise stability: how like the heatmap stays when a little noise is added to the image.

    The mean similarity of the heatmaps of ``samples`` noisy images to the image's own. The noise is normal, its
    deviation ``level`` times the range of the image's values, as SmoothGrad measures it (arXiv 1706.03825).
    ``similarity`` and flat heatmaps as in :class:`ModelRandomisation`. A map that ignores the image is perfectly
    stable: read it beside that metric.
    """

    family: ClassVar[str] = "sanity"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = ""
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = True
    shares_objective: ClassVar[tuple[str, ...]] = ()

    level: float = 0.05
    samples: int = 5
    similarity: str = "spearman"
    seed: int = 0

    def __post_init__(self) -> None:
        require_known("similarity", self.similarity, SIMILARITIES)
        require_number("level", self.level, float, 0)
        require_number("samples", self.samples, int, 1)

    @property
    def cost(self) -> str:
        """The passes of one image; M is what the method takes."""
        return f"{self.samples} M"

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the mean similarity ``(N,)`` in [-1, 1]."""
        method, heatmaps = require_method(self, method), validate_heatmaps(heatmaps, x)
        spread = expand_like(x.flatten(1).amax(1) - x.flatten(1).amin(1), x)
        noisy = (x + self.level * spread * one for one in random_like(torch.randn, x, self.samples, self.seed))
        return torch.stack(
            [similar(heatmaps, regenerate(method, model, one, target), self.similarity) for one in noisy]
        ).mean(0)


@dataclass(frozen=True)
class MaxSensitivity:
    """Max-sensitivity: the largest relative change of the heatmap near the image (Yeh et al. 2019).

    arXiv 1901.09392, estimated by ``samples`` uniform draws from the cube of ``radius`` around ``x``, in units
    of the network's input: ``max |H(x') - H(x)| / |H(x)|`` with Euclidean norms. A lower bound of the true maximum.
    NaN for a heatmap of zeros.
    """

    family: ClassVar[str] = "sanity"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 1901.09392"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = True
    shares_objective: ClassVar[tuple[str, ...]] = ()

    radius: float = 0.02
    samples: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        require_number("radius", self.radius, float, 0)
        require_number("samples", self.samples, int, 1)

    @property
    def cost(self) -> str:
        """The passes of one image; M is what the method takes."""
        return f"{self.samples} M"

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the largest relative change ``(N,)``, from 0."""
        method, heatmaps = require_method(self, method), validate_heatmaps(heatmaps, x)
        near = (x + self.radius * (2 * one - 1) for one in random_like(torch.rand, x, self.samples, self.seed))
        return torch.stack([relative_change(heatmaps, regenerate(method, model, one, target)) for one in near]).amax(
            0
        )


# -- more heatmaps ---------------------------------------------------------------------------------------------
