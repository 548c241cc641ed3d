"""Sanity checks: does the heatmap depend on what it explains, and is it stable under small changes of the image.

These metrics call the method again: ``metric(model, x, target, heatmaps, method=method)``, where ``heatmaps`` are
those of ``method`` for ``x``. Random numbers come from ``seed`` and are the same for every image. The passes of these
calls are not cached, because no other call could use them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_count, require_known, require_number
from fusioncam.functional.heatmaps import expand_like, is_flat
from fusioncam.functional.similarity import heatmap_similarity, histogram_entropy, relative_change
from fusioncam.methods.base import Method
from fusioncam.metrics.base import Metric, random_like, regenerate, require_method, validate_heatmaps
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.randomisation import DRAWS, randomised, with_fixed_layer
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class ModelRandomisation(Metric):
    """Cascading model randomisation: the similarity to heatmaps of randomised networks (Adebayo et al. 2018).

    arXiv 1810.03292. On copies of the network the layers are randomised from the top down, in ``stages`` even steps
    until no layer is as trained. The value is the mean similarity of the heatmaps of these copies, for the same
    class, to that of the trained network. Near 0 the heatmap depends on what the network learned; near 1 it does not.
    :meth:`curve` returns every stage.

    A layer is a module with parameters of its own, in the order of definition. ``draw`` is how they are randomised:
    "shuffle" permutes the values of each parameter, which keeps the magnitude of the activations; "reset" calls the
    layer's own initialisation, as the paper and Quantus do, and shuffles layers that have none. Resetting mutes deep
    networks: the last feature maps of EfficientNet-Lite0 shrink by eight orders of magnitude. ``similarity`` is
    "spearman", the paper's rank correlation, or "pearson". The value of a constant heatmap is NaN; a constant heatmap
    of a copy counts as 0.

    With ``samples`` above 0 it is the smooth test (Hedstroem et al. 2023, arXiv 2405.02383): each heatmap, also that
    of the trained network, is the mean over so many noisy images, because noise in heatmaps lowers their similarity
    as randomisation does. ``level`` is that of :class:`NoiseStability`. The paper takes 50 samples.
    """

    family: ClassVar[str] = "sanity"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 1810.03292"
    needs_method: ClassVar[bool] = True

    stages: int = 5
    draw: str = "shuffle"
    similarity: str = "spearman"
    seed: int = 0
    samples: int = 0
    level: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("draw", self.draw, DRAWS)
        require_count("stages", self.stages)
        require_number("samples", self.samples, 0, integer=True)
        require_number("level", self.level, 0)

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image, all of the method."""
        return MetricPasses(methods=(self.stages + 1) * self.samples or self.stages)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the mean similarity ``(N,)`` in [-1, 1]."""
        return self.curve(model, x, target, heatmaps, method).mean(0)

    def curve(
        self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method | None = None
    ) -> Tensor:
        """Return the similarity at each stage, the least changed network first, ``(stages, N)``."""
        method, heatmaps = require_method(self, method), validate_heatmaps(heatmaps, x)
        fixed = with_fixed_layer(model, x)

        def explain(copy: ExplainedModel) -> Tensor:
            return smooth_heatmaps(method, copy, x, target, self.samples, self.level, self.seed)

        if self.samples:
            heatmaps = explain(fixed)
        copies = randomised(fixed, self.stages, self.draw, self.seed)
        return torch.stack([heatmap_similarity(heatmaps, explain(copy), self.similarity) for copy in copies])


@dataclass(frozen=True)
class EfficientRandomisation(Metric):
    """Efficient model randomisation: the rise of the heatmap's entropy in a random network (Hedstroem et al. 2023).

    arXiv 2405.02383. ``(C(H') - C(H)) / C(H)``, where ``H'`` is the heatmap of a copy of the network whose layers are
    all random, and ``C`` the entropy of the histogram of a heatmap with ``bins`` bins: a heatmap of what the network
    learned is simpler than one of a random network. It takes one heatmap and compares no pixels, so that noise in
    heatmaps does not count. ``draw`` is that of :class:`ModelRandomisation`; the paper resets layers. NaN for a
    constant heatmap; -1 for a constant heatmap of the copy.
    """

    family: ClassVar[str] = "sanity"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2405.02383"
    needs_method: ClassVar[bool] = True
    cost: ClassVar[MetricPasses] = MetricPasses(methods=1)

    bins: int = 100
    draw: str = "shuffle"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("draw", self.draw, DRAWS)
        require_number("bins", self.bins, 2, integer=True)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the relative rise ``(N,)``, at least -1."""
        heatmaps = validate_heatmaps(heatmaps, x)
        (copy,) = randomised(with_fixed_layer(model, x), 1, self.draw, self.seed)
        before = histogram_entropy(heatmaps, self.bins)
        after = histogram_entropy(regenerate(method, copy, x, target), self.bins)
        return ((after - before) / before).masked_fill(is_flat(heatmaps), torch.nan)


@dataclass(frozen=True)
class NoiseStability(Metric):
    """Noise stability: the similarity to heatmaps of the image with a little noise.

    The mean similarity of the heatmaps of ``samples`` noisy images to that of the image. The noise is normal; its
    standard deviation is ``level`` times the range of the image's values, as in SmoothGrad (arXiv 1706.03825).
    ``similarity`` and flat heatmaps are as in :class:`ModelRandomisation`. A method that ignores the image is
    perfectly stable: read this metric together with that one.
    """

    family: ClassVar[str] = "sanity"
    higher_is_better: ClassVar[bool] = True
    needs_method: ClassVar[bool] = True

    level: float = 0.05
    samples: int = 5
    similarity: str = "spearman"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("level", self.level, 0)
        require_count("samples", self.samples)

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image, all of the method."""
        return MetricPasses(methods=self.samples)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the mean similarity ``(N,)`` in [-1, 1]."""
        heatmaps = validate_heatmaps(heatmaps, x)
        similarities = [
            heatmap_similarity(heatmaps, regenerate(method, model, images, target), self.similarity)
            for images in noisy_images(x, self.samples, self.level, self.seed)
        ]
        return torch.stack(similarities).mean(0)


@dataclass(frozen=True)
class MaxSensitivity(Metric):
    """Max-sensitivity: the largest relative change of the heatmap near the image (Yeh et al. 2019).

    arXiv 1901.09392, estimated from ``samples`` uniform draws in the cube of ``radius`` around ``x``, in units of the
    network's input: ``max |H(x') - H(x)| / |H(x)|`` with Euclidean norms. The estimate is a lower bound of the true
    maximum. NaN for a heatmap of zeros.
    """

    family: ClassVar[str] = "sanity"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 1901.09392"
    needs_method: ClassVar[bool] = True

    radius: float = 0.02
    samples: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("radius", self.radius, 0)
        require_count("samples", self.samples)

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image, all of the method."""
        return MetricPasses(methods=self.samples)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the largest relative change ``(N,)``, at least 0."""
        heatmaps = validate_heatmaps(heatmaps, x)
        draws = random_like(torch.rand, x, self.samples, self.seed)
        nearby = (x + self.radius * (2 * draw - 1) for draw in draws)
        changes = [relative_change(heatmaps, regenerate(method, model, images, target)) for images in nearby]
        return torch.stack(changes).amax(0)


def noisy_images(x: Tensor, samples: int, level: float, seed: int) -> Iterator[Tensor]:
    """Yield ``samples`` noisy copies of images ``x``; ``level`` is the noise relative to the range of each image."""
    spread = expand_like(x.flatten(1).amax(1) - x.flatten(1).amin(1), x)
    return (x + level * spread * noise for noise in random_like(torch.randn, x, samples, seed))


def smooth_heatmaps(
    method: Method, model: ExplainedModel, x: Tensor, target: Target, samples: int, level: float, seed: int
) -> Tensor:
    """Return the mean heatmaps ``(N, *s)`` of noisy images; with 0 samples those of the images."""
    if not samples:
        return regenerate(method, model, x, target)
    heatmaps = [regenerate(method, model, images, target) for images in noisy_images(x, samples, level, seed)]
    return torch.stack(heatmaps).mean(0)
