"""Contrast: does the heatmap of one class differ from that of another class of the same image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import TargetError, require_known, require_number
from fusioncam.functional.heatmaps import is_flat
from fusioncam.functional.similarity import SIMILARITIES
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import Method
from fusioncam.metrics.base import Metric, regenerate, validate_heatmaps
from fusioncam.metrics.grid_pointing_game import GridPointingGame
from fusioncam.metrics.localization import energy_share
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, as_targets, probabilities_of

# the second class: the one with the highest score beside the explained class, or any other one, chosen by the seed
SECONDS = ("runner-up", "random")


@dataclass(frozen=True)
class Contrast(Metric):
    """Contrast: how much the heatmap of the class differs from that of a second class of the same image.

    ``1 - r``, where ``r`` is the ``similarity`` of both heatmaps, "spearman" or "pearson": 0 if they are the same, 1
    if they are unrelated. The ``second`` class is the "runner-up", which has the highest score beside the explained
    class, or a "random" one. With ``least`` above 0 the value is NaN unless the second class has at least this
    probability, so that only images remain in which the network sees both. The runner-up may be another name of the
    same object, whose heatmaps are rightly similar: see :class:`GridContrast` for objects at different places. A
    constant second heatmap has ``r = 0``; NaN for a constant heatmap, and for networks with one class.
    """

    family: ClassVar[str] = "sanity"
    higher_is_better: ClassVar[bool] = True
    needs_method: ClassVar[bool] = True
    shares_passes: ClassVar[bool] = True
    cost: ClassVar[MetricPasses] = MetricPasses(full=1, methods=1)

    second: str = "runner-up"
    least: float = 0
    similarity: str = "spearman"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("second class", self.second, SECONDS)
        require_number("least", self.least, 0, 1)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the contrast ``(N,)`` in [0, 2]."""
        heatmaps, targets = validate_heatmaps(heatmaps, x), _indices(self, target, x)
        found = self._second(model, x, targets)
        if found is None:
            return heatmaps.new_full((len(x),), torch.nan)
        second, probability = found
        others = regenerate(method, model, x, second, shared=True)
        similarity = SIMILARITIES[self.similarity](heatmaps, others).masked_fill(is_flat(others), 0)
        seen = probability >= self.least
        return (1 - similarity).masked_fill(is_flat(heatmaps) | ~seen.to(heatmaps.device), torch.nan)

    @memoize_pass
    def _second(self, model: ExplainedModel, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the second class and its probability ``(N,)``; None if the network has one class."""
        logits = model.logits(x)
        if logits.shape[1] < 2:
            return None
        second = second_classes(logits, targets, self.second, self.seed)
        return second, probabilities_of(logits).gather(1, second[:, None])[:, 0]


@dataclass(frozen=True)
class GridContrast(GridPointingGame):
    """Grid contrast: how much more of a class's heatmap than of other classes' heatmaps lies in its tile.

    The images are the tiles of mosaics, as in :class:`GridPointingGame`, so that several classes stand in one image.
    The value is the share of the heatmap's sum in the tile minus the mean share that the heatmaps for the classes of
    the other tiles have there: 1 is perfect and 0 a heatmap that does not depend on the class, whichever tiles it
    prefers. In the grid pointing game a class-agnostic heatmap has a high value in a salient tile.
    """

    paper: ClassVar[str] = ""

    side: int = 2

    def _shares(self, model: ExplainedModel, images: Tensor, classes: Tensor, method: Method) -> Tensor:
        whole, masks = self.mosaic(images, classes)
        heatmaps = (regenerate(method, model, whole, index[None]) for index in classes)
        return contrast_of_shares(torch.stack([energy_share(one.expand(masks.shape), masks) for one in heatmaps]))


def second_classes(logits: Tensor, targets: Tensor, second: str, seed: int) -> Tensor:
    """Return a class ``(N,)`` of logits ``(N, classes)`` that is not the target, by one of ``SECONDS``.

    >>> logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    >>> second_classes(logits, torch.tensor([0, 1]), "runner-up", seed=0).tolist()
    [1, 0]
    """
    if second == "runner-up":
        return logits.scatter(1, targets[:, None], -torch.inf).argmax(1)
    step = torch.randint(1, logits.shape[1], (1,), generator=torch.Generator().manual_seed(seed)).to(targets.device)
    return (targets + step) % logits.shape[1]


def contrast_of_shares(shares: Tensor) -> Tensor:
    """Return the contrast ``(P,)`` of the shares ``(P, P)`` of the heatmap for class p in tile q.

    The others' shares are 0 where they are NaN, because a heatmap of zeros has nothing in any tile.

    >>> contrast_of_shares(torch.tensor([[0.75, 0.25], [0.5, 0.5]])).tolist()
    [0.25, 0.25]
    """
    own = shares.diagonal()
    others = shares.masked_fill(torch.eye(len(shares), dtype=torch.bool, device=shares.device), 0).nan_to_num(0)
    return own - others.sum(0) / (len(shares) - 1)


def _indices(metric: object, target: Target, x: Tensor) -> Tensor:
    """Return the target as class indices ``(N,)``; raise :class:`TargetError` if it is anything else."""
    targets = as_targets(target, x)
    if not isinstance(targets, Tensor) or targets.is_floating_point():
        raise TargetError(f"{metric!r} needs class indices (N,), got a target of another kind")
    return targets
