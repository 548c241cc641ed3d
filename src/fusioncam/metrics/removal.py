"""How much of the score is lost as pixels are removed, most or least relevant first: pixel removal and ROAD.

Only the order of the pixels counts, so heatmaps may have any range. Exactly the share that is asked for is removed,
also by heatmaps with many equal pixels. Where all pixels at a threshold go together, as in other libraries, a map
that is 0 in three quarters of its pixels loses the whole image at once. Equal ones go in random order by default:
row by row, what a map leaves at 0 would go from the top of the image down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.errors import UnknownNameError, require_count
from fusioncam.functional.imputation import Imputation
from fusioncam.functional.masks import Fill
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import Method
from fusioncam.metrics.base import pixel_order, require_between, require_protocol, resized_heatmaps, target_classes
from fusioncam.metrics.curves import RankMasks
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class MoRF:
    """Pixel removal, most relevant first: how much of the score is lost on average (Samek et al. 2017).

    The area over the perturbation curve of arXiv 1509.06321, for one image: the mean of ``s(x) - s(x_k)`` over the
    steps, the first one, at which nothing is removed, included. ``upto`` is the share of pixels that is removed in
    the end. ``fill`` shows where pixels are removed: one of ``FILLS``, or "linear" for the imputation of ROAD with
    ``noise``, see :class:`fusioncam.functional.imputation.Imputation`. ``readout`` and ``classes`` say which score;
    "top-1" is 1 where the class has the highest, as in ROAD's paper, whose accuracy :meth:`curve` is then. Which of
    equal pixels goes first ``ties`` says: see ``TIES``.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 1509.06321"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()

    readout: str = "probability"
    classes: str = "target"
    fill: str = "mean"
    noise: float = 0.01
    steps: int = 10
    upto: float = 1
    ties: str = "random"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        require_removal(self)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"{self.steps + 1}"

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the mean loss of score ``(N,)``, of probabilities in [-1, 1]."""
        return mean_drop(self.curve(model, x, target, heatmaps))

    @memoize_pass
    def curve(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Give the score after each step ``(steps + 1, N)``."""
        return scores_after_removal(
            self, model, x, target, resized_heatmaps(heatmaps, model, x, self.resize), self.shares(x).tolist()
        )

    def shares(self, x: Tensor) -> Tensor:
        """Give the share of pixels removed after each step ``(steps + 1,)``."""
        return torch.linspace(0, self.upto, self.steps + 1, dtype=torch.float64)


@dataclass(frozen=True)
class LeRF:
    """Pixel removal, least relevant first: how much of the score is lost on average.

    :class:`MoRF` in the opposite order, so that little should be lost. Equal pixels go by the same rule.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = "arXiv 1509.06321"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()

    readout: str = "probability"
    classes: str = "target"
    fill: str = "mean"
    noise: float = 0.01
    steps: int = 10
    upto: float = 1
    ties: str = "random"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        require_removal(self)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"{self.steps + 1}"

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the mean loss of score ``(N,)``, of probabilities in [-1, 1]."""
        return mean_drop(self.curve(model, x, target, heatmaps))

    @memoize_pass
    def curve(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Give the score after each step ``(steps + 1, N)``."""
        return scores_after_removal(
            self, model, x, target, -resized_heatmaps(heatmaps, model, x, self.resize), self.shares(x).tolist()
        )

    def shares(self, x: Tensor) -> Tensor:
        """Give the share of pixels removed after each step ``(steps + 1,)``."""
        return torch.linspace(0, self.upto, self.steps + 1, dtype=torch.float64)


@dataclass(frozen=True)
class ROAD:
    """ROAD: the score without the least relevant pixels less that without the most relevant ones (Rong et al. 2022).

    arXiv 2202.00449; both orders in one number as pytorch-grad-cam combines them, ``(LeRF - MoRF) / 2``, averaged
    over the ``scores_after_removal`` shares of pixels. Removed pixels are imputed, so that neither blackness nor the shape of what
    is removed tells the network anything: ``noise`` as in :class:`fusioncam.functional.imputation.Imputation`. The other
    settings are those of :class:`MoRF`.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2202.00449"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = False
    shares_objective: ClassVar[tuple[str, ...]] = ()

    readout: str = "probability"
    classes: str = "target"
    fill: str = "linear"
    noise: float = 0.01
    removed: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    ties: str = "random"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        require_protocol(self, "linear", readouts=("top-1",))
        require_between("noise", self.noise, 0, float("inf"))
        if not self.removed:
            raise UnknownNameError(f"removed is a list of shares of pixels, got {self.removed!r}")
        for share in self.removed:
            require_between("removed", share, 0, 1)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"{2 * len(self.removed)}"

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give half of the mean difference ``(N,)``, of probabilities in [-0.5, 0.5]."""
        return self.curve(model, x, target, heatmaps).mean(0)

    @memoize_pass
    def curve(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Give half of the difference for each share ``(len(removed), N)``."""
        without_most, without_least = self.curves(model, x, target, heatmaps).unbind(0)
        return (without_least - without_most) / 2

    def curves(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Give the scores without the most and without the least relevant pixels ``(2, len(removed), N)``."""
        maps = resized_heatmaps(heatmaps, model, x, self.resize)
        return torch.stack([scores_after_removal(self, model, x, target, one, self.removed) for one in (maps, -maps)])

    def shares(self, x: Tensor) -> Tensor:
        """Give the shares of pixels removed ``(len(removed),)``."""
        return torch.tensor(self.removed, dtype=torch.float64)


# -- arithmetic ------------------------------------------------------------------------------------------------


def mean_drop(curve: Tensor) -> Tensor:
    """Give how far curves ``(steps + 1, N)`` lie below their beginning on average ``(N,)``.

    >>> mean_drop(torch.tensor([[1.0], [0.5], [0.0]])).tolist()
    [0.5]
    """
    return curve[0] - curve.mean(0)


# -- inside ----------------------------------------------------------------------------------------------------


def scores_after_removal(
    metric: MoRF | LeRF | ROAD,
    model: ExplainedModel,
    x: Tensor,
    target: Target,
    order: Tensor,
    shares: Sequence[float],
) -> Tensor:
    """Give the score ``(S, N)`` without each share of the pixels, the highest of ``order`` ``(N, *s)`` first."""
    places = pixel_order(order, metric.ties, metric.seed)
    masks = RankMasks(places, [round(share * places[0].numel()) for share in shares], hide=True)
    fill: Fill = Imputation(metric.noise, metric.seed) if metric.fill == "linear" else metric.fill
    target = target_classes(model, x, target, metric.classes)
    return model.masked_scores(x, masks, target, readout=metric.readout, fill=fill)


def require_removal(metric: MoRF | LeRF) -> None:
    """Raise :class:`UnknownNameError` for a wrong setting."""
    require_protocol(metric, "linear", readouts=("top-1",))
    require_count("steps", metric.steps)
    require_between("upto", metric.upto, 0, 1, least=False)
    require_between("noise", metric.noise, 0, float("inf"))
