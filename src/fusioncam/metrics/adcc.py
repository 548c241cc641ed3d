"""ADCC, ARCC and their parts: whether a heatmap is coherent, simple and faithful at once (Poppi et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import is_flat
from fusioncam.functional.masks import FillSetting, blend
from fusioncam.functional.similarity import pearson
from fusioncam.methods.base import Method
from fusioncam.metrics.base import Metric, regenerate
from fusioncam.metrics.faithfulness import CHOOSERS, AverageDrop
from fusioncam.metrics.masking import as_masks, target_classes
from fusioncam.metrics.passes import MetricPasses
from fusioncam.metrics.removal import ROAD
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.masked_passes import background_of
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class Coherency(Metric):
    """Coherency: the similarity of the heatmap and the method's heatmap of the masked image (Poppi et al. 2021).

    arXiv 2104.10252: ``(1 + r) / 2``, where ``r`` is the correlation of the heatmap and the method's heatmap of
    ``x H``. ``fill`` is shown where the heatmap is 0; ``classes`` chooses the class of the second heatmap. A constant
    second heatmap has ``r = 0``; the value of a constant first heatmap is NaN.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2104.10252"
    needs_method: ClassVar[bool] = True
    cost: ClassVar[MetricPasses] = MetricPasses(methods=1)

    classes: str = "target"
    fill: FillSetting = "mean"
    resize: str = "linear"

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the coherency ``(N,)`` in [0, 1]."""
        masks = as_masks(heatmaps, model, x, self.resize)
        images = x.to(model.device)
        background = background_of(images, self.fill, model.preprocessing)
        masked = blend(images, masks, background(torch.arange(len(images), device=images.device), masks))
        second = regenerate(method, model, masked, target_classes(model, x, target, self.classes)).to(masks)
        return coherency(masks, second)


@dataclass(frozen=True)
class Complexity(Metric):
    """Complexity: the mean of the heatmap, the share of the image that it covers (Poppi et al. 2021).

    arXiv 2104.10252.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 2104.10252"
    cost: ClassVar[MetricPasses] = MetricPasses()

    resize: str = "linear"

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Return the complexity ``(N,)`` in [0, 1]."""
        return complexity(as_masks(heatmaps, model, x, self.resize))


@dataclass(frozen=True)
class ADCC(Metric):
    """ADCC: the harmonic mean of coherency, simplicity and the score that is kept (Poppi et al. 2021).

    ``3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))``, arXiv 2104.10252. A heatmap that excels in one
    part and fails in another, such as all ones, is near 0. The parts are :class:`Coherency`, :class:`Complexity` and
    :class:`fusioncam.metrics.faithfulness.AverageDrop`. The value is 0 if any part is 0, otherwise NaN if any part is
    undefined.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2104.10252"
    needs_method: ClassVar[bool] = True
    shares_objective: ClassVar[tuple[str, ...]] = CHOOSERS
    cost: ClassVar[MetricPasses] = MetricPasses(full=2, methods=1)

    readout: str = "probability"
    classes: str = "target"
    fill: FillSetting = "mean"
    resize: str = "linear"

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the harmonic mean ``(N,)`` in [0, 1]."""
        inputs = (model, x, target, heatmaps)
        return adcc(
            Coherency(self.classes, self.fill, self.resize)(*inputs, method=method),
            Complexity(self.resize)(*inputs),
            AverageDrop(self.readout, self.classes, self.fill, resize=self.resize)(*inputs),
        )


@dataclass(frozen=True)
class ARCC(Metric):
    """ARCC: the harmonic mean of coherency, simplicity and twice ROAD (arXiv 2605.14641).

    ADCC with ROAD in place of the average drop, so that no method optimises it: ROAD, in [-0.5, 0.5], is doubled and
    cut to [0, 1]. ``removed`` and ``noise`` are those of :class:`fusioncam.metrics.removal.ROAD`, whose other
    settings are the defaults; ``fill`` is shown for the coherency. The value is 0 if any part is 0, otherwise NaN if
    any part is undefined.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2605.14641"
    needs_method: ClassVar[bool] = True

    readout: str = "probability"
    classes: str = "target"
    fill: FillSetting = "mean"
    removed: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    noise: float = 0.01
    ties: str = "random"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._road()  # checks its settings

    def _road(self) -> ROAD:
        return ROAD(
            self.readout,
            self.classes,
            removed=self.removed,
            noise=self.noise,
            ties=self.ties,
            seed=self.seed,
            resize=self.resize,
        )

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image: those of ROAD and of the method."""
        return replace(self._road().cost, methods=1)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the harmonic mean ``(N,)`` in [0, 1]."""
        inputs = (model, x, target, heatmaps)
        return harmonic_mean(
            Coherency(self.classes, self.fill, self.resize)(*inputs, method=method),
            1 - Complexity(self.resize)(*inputs),
            (2 * self._road()(*inputs)).clamp(0, 1),
        )


# -- arithmetic --------------------------------------------------------------------------------------------------


def coherency(first: Tensor, second: Tensor) -> Tensor:
    """Return ``(1 + r) / 2`` as ``(N,)``, where ``r`` is the correlation of each pair of heatmaps ``(N, *s)``.

    A constant second heatmap has ``r = 0``; NaN for a constant first one.

    >>> coherency(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.5], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    correlation = pearson(first, second).masked_fill(is_flat(second), 0).masked_fill(is_flat(first), torch.nan)
    return (1 + correlation) / 2


def complexity(heatmaps: Tensor) -> Tensor:
    """Return the mean of each heatmap ``(N, *s)`` in [0, 1] as ``(N,)``.

    >>> complexity(torch.tensor([[0.0, 1.0, 0.5, 0.5]])).tolist()
    [0.5]
    """
    return heatmaps.flatten(1).abs().mean(1)


def adcc(coherency: Tensor, complexity: Tensor, drop: Tensor) -> Tensor:
    """Return the harmonic mean of coherency, ``1 - complexity`` and ``1 - drop``, each ``(N,)`` in [0, 1].

    >>> adcc(torch.tensor([1.0, 1.0]), torch.tensor([0.5, 1.0]), torch.tensor([0.0, 0.0])).tolist()
    [0.75, 0.0]
    """
    return harmonic_mean(coherency, 1 - complexity, 1 - drop)


def harmonic_mean(*parts: Tensor) -> Tensor:
    """Return the harmonic mean ``(N,)`` of parts ``(N,)`` in [0, 1]: 0 if any of them is 0.

    >>> harmonic_mean(torch.tensor([1.0, torch.nan]), torch.tensor([0.5, 0.0])).tolist()
    [0.6666666865348816, 0.0]
    """
    stacked = torch.stack(parts)
    return (len(parts) / (1 / stacked).sum(0)).masked_fill((stacked == 0).any(0), 0)
