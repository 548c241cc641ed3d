"""How the score goes as pixels appear or vanish in the order of the heatmap: insertion and deletion.

Only the order of the pixels counts, so heatmaps may have any range. A curve costs one sweep of masked passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.errors import require_count
from fusioncam.functional.heatmaps import expand_like, precise
from fusioncam.functional.masks import gaussian
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import Method
from fusioncam.metrics.base import pixel_order, require_between, require_protocol, resized_heatmaps, target_classes
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class Insertion:
    """Insertion: the area under the score as the heatmap's pixels appear, the highest first (Petsiuk et al. 2018).

    RISE, arXiv 1806.07421, section 4.1. From what ``fill`` shows to the whole image in ``steps`` even steps, or by
    ``pixels`` a step if that is given; the area is that of trapezoids over the share of pixels shown. ``readout`` and
    ``classes`` say which score. A "blur" has ``sigma`` and at most ``size`` pixels a side. Which of equal pixels goes
    first ``ties`` says: see ``TIES``.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 1806.07421"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()

    readout: str = "probability"
    classes: str = "target"
    fill: str = "blur"
    sigma: float = 50
    size: int = 51
    steps: int = 56
    pixels: int | None = None
    ties: str = "first"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        require_curve(self)

    @property
    def cost(self) -> str:
        """The passes of one image; S is the number of its pixels."""
        return f"{self.steps + 1}" if self.pixels is None else f"S / {self.pixels} + 1"

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the area ``(N,)``, of probabilities in [0, 1]."""
        return area(self.curve(model, x, target, heatmaps), self.shares(x))

    @memoize_pass
    def curve(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Give the score after each step ``(steps + 1, N)``, from no pixel to all of them."""
        return swept(self, model, x, target, heatmaps, hide=False)

    def shares(self, x: Tensor) -> Tensor:
        """Give the share of pixels shown after each step ``(steps + 1,)``."""
        return shares_of(self, x)


@dataclass(frozen=True)
class Deletion:
    """Deletion: the area under the score as the heatmap's pixels vanish, the highest first (Petsiuk et al. 2018).

    RISE, arXiv 1806.07421, section 4.1. From the whole image to what ``fill`` shows; the settings are those of
    :class:`Insertion`.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 1806.07421"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()

    readout: str = "probability"
    classes: str = "target"
    fill: str = "mean"
    sigma: float = 50
    size: int = 51
    steps: int = 56
    pixels: int | None = None
    ties: str = "first"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        require_curve(self)

    @property
    def cost(self) -> str:
        """The passes of one image; S is the number of its pixels."""
        return f"{self.steps + 1}" if self.pixels is None else f"S / {self.pixels} + 1"

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the area ``(N,)``, of probabilities in [0, 1]."""
        return area(self.curve(model, x, target, heatmaps), self.shares(x))

    @memoize_pass
    def curve(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Give the score after each step ``(steps + 1, N)``, from all pixels to none of them."""
        return swept(self, model, x, target, heatmaps, hide=True)

    def shares(self, x: Tensor) -> Tensor:
        """Give the share of pixels hidden after each step ``(steps + 1,)``."""
        return shares_of(self, x)


# -- arithmetic ------------------------------------------------------------------------------------------------


class RankMasks:
    """Masks ``(M, N, *s)`` by the rank of each pixel ``(N, *s)``: mask ``m`` shows those below ``counts[m]``.

    ``hide`` turns them around. They are made when asked: see :mod:`fusioncam.functional.masks`.
    """

    def __init__(self, ranks: Tensor, counts: Sequence[int], *, hide: bool = False) -> None:
        self.shape = (len(counts), *ranks.shape)
        self._ranks, self._hide = ranks, hide
        self._counts = torch.tensor(counts, dtype=ranks.dtype, device=ranks.device)

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        mask, image = where
        ranks, counts = self._ranks[image], self._counts[mask]
        return ranks >= expand_like(counts, ranks) if self._hide else ranks < expand_like(counts, ranks)


def counts_of(total: int, steps: int, pixels: int | None = None) -> list[int]:
    """Give how many of so many pixels are changed after each step, 0 and all of them included.

    >>> counts_of(10, steps=4), counts_of(10, steps=4, pixels=3)
    ([0, 2, 5, 8, 10], [0, 3, 6, 9, 10])
    """
    if pixels is not None:
        return [*range(0, total, pixels), total]
    steps = min(steps, total)
    return [round(step * total / steps) for step in range(steps + 1)]


def area(curve: Tensor, shares: Tensor) -> Tensor:
    """Give the area ``(N,)`` under curves ``(steps + 1, N)``, by trapezoids over the shares ``(steps + 1,)``.

    >>> area(torch.tensor([[0.0], [1.0], [1.0]]), torch.tensor([0.0, 0.5, 1.0])).tolist()
    [0.75]
    """
    return torch.trapezoid(curve, shares.to(curve), dim=0)


# -- inside ----------------------------------------------------------------------------------------------------


def swept(
    metric: Insertion | Deletion, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, *, hide: bool
) -> Tensor:
    """Give the score ``(steps + 1, N)`` after each step, all of them in one sweep."""
    places = pixel_order(resized_heatmaps(heatmaps, model, x, metric.resize), metric.ties, metric.seed)
    masks = RankMasks(places, counts_of(places[0].numel(), metric.steps, metric.pixels), hide=hide)
    fill = gaussian(precise(x), metric.sigma, metric.size) if metric.fill == "blur" else metric.fill
    target = target_classes(model, x, target, metric.classes)
    return model.masked_scores(x, masks, target, readout=metric.readout, fill=fill)


def shares_of(metric: Insertion | Deletion, x: Tensor) -> Tensor:
    """Give the shares of pixels ``(steps + 1,)`` at which a curve for images like ``x`` is known."""
    counts = counts_of(x[0, 0].numel(), metric.steps, metric.pixels)
    return torch.tensor(counts, dtype=torch.float64) / counts[-1]


def require_curve(metric: Insertion | Deletion) -> None:
    """Raise :class:`UnknownNameError` for a wrong setting."""
    require_protocol(metric)
    for name in ("steps", "size", *(["pixels"] if metric.pixels is not None else [])):
        require_count(name, getattr(metric, name))
    require_between("sigma", metric.sigma, 0, float("inf"), least=False)
