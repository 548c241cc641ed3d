"""ADCC and its parts: is the heatmap coherent, simple, and faithful at once (Poppi et al. 2021, arXiv 2104.10252)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.functional.heatmaps import is_flat
from fusioncam.functional.masks import blend
from fusioncam.functional.similarity import pearson
from fusioncam.methods.base import Method
from fusioncam.metrics.base import as_masks, regenerate, require_method, require_protocol, target_classes
from fusioncam.metrics.faithfulness import CHOOSERS, AverageDrop
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class Coherency:
    """Coherency: does the method see the same when it looks at what its heatmap shows (Poppi et al. 2021).

    arXiv 2104.10252: ``(1 + r) / 2``, with ``r`` the correlation of the heatmap and the method's heatmap for ``x H``.
    ``fill`` shows where the heatmap is 0; ``classes`` says for which class the second heatmap is made. A constant
    second heatmap is like nothing, ``r = 0``; of a constant first one the value is NaN.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2104.10252"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = True
    shares_objective: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "M"

    classes: str = "target"
    fill: str = "mean"
    resize: str = "linear"

    def __post_init__(self) -> None:
        require_protocol(self)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the coherency ``(N,)`` in [0, 1]."""
        method = require_method(self, method)
        masks = as_masks(heatmaps, model, x, self.resize)
        images = x.to(model.device)
        shown = blend(images, masks, model.fill_pixels(images, self.fill))
        again = regenerate(method, model, shown, target_classes(model, x, target, self.classes)).to(masks)
        return coherency(masks, again)


@dataclass(frozen=True)
class Complexity:
    """Complexity: how much of the image the heatmap takes, its mean (Poppi et al. 2021, arXiv 2104.10252)."""

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 2104.10252"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "0"

    resize: str = "linear"

    def __post_init__(self) -> None:
        require_protocol(self)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the complexity ``(N,)`` in [0, 1]."""
        return complexity(as_masks(heatmaps, model, x, self.resize))


@dataclass(frozen=True)
class ADCC:
    """ADCC: the harmonic mean of coherency, simplicity and what is not dropped (Poppi et al. 2021).

    ``3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))``, arXiv 2104.10252: a map that wins one of them by
    giving up another, such as all ones, is near 0. The parts are :class:`Coherency`, :class:`Complexity` and
    :class:`fusioncam.metrics.faithfulness.AverageDrop`. 0 where any of them is; NaN where else one is undefined.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2104.10252"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = True
    shares_objective: ClassVar[tuple[str, ...]] = CHOOSERS
    cost: ClassVar[str] = "1 + M + 1"

    readout: str = "probability"
    classes: str = "target"
    fill: str = "mean"
    resize: str = "linear"

    def __post_init__(self) -> None:
        require_protocol(self)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the harmonic mean ``(N,)`` in [0, 1]."""
        dropped = AverageDrop(self.readout, self.classes, self.fill, resize=self.resize)
        coherent = Coherency(self.classes, self.fill, self.resize)
        complex_ = Complexity(self.resize)(model, x, target, heatmaps)
        return adcc(
            coherent(model, x, target, heatmaps, method=method), complex_, dropped(model, x, target, heatmaps)
        )


# -- arithmetic ------------------------------------------------------------------------------------------------


def coherency(heatmaps: Tensor, again: Tensor) -> Tensor:
    """Give half of 1 + the correlation of maps ``(N, *s)`` with those made again, pair by pair.

    >>> coherency(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.5], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    alike = pearson(heatmaps, again).masked_fill(is_flat(again), 0).masked_fill(is_flat(heatmaps), torch.nan)
    return (1 + alike) / 2


def complexity(heatmaps: Tensor) -> Tensor:
    """Give the mean of each map ``(N, *s)`` in [0, 1] as ``(N,)``.

    >>> complexity(torch.tensor([[0.0, 1.0, 0.5, 0.5]])).tolist()
    [0.5]
    """
    return heatmaps.flatten(1).abs().mean(1)


def adcc(coherency: Tensor, complexity: Tensor, drop: Tensor) -> Tensor:
    """Give the harmonic mean of coherency, ``1 - complexity`` and ``1 - drop``, each ``(N,)`` in [0, 1].

    >>> adcc(torch.tensor([1.0, 1.0]), torch.tensor([0.5, 1.0]), torch.tensor([0.0, 0.0])).tolist()
    [0.75, 0.0]
    """
    parts = torch.stack([coherency, 1 - complexity, 1 - drop])
    return (3 / (1 / parts).sum(0)).masked_fill((parts == 0).any(0), 0)
