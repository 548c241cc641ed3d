"""Ensembles: the heatmaps of any number of methods, also your own, combined by a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import SettingError, require_known
from fusioncam.functional.heatmaps import among_highest, minmax, precise
from fusioncam.functional.masks import FILLS
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.methods.ablation import AblationCAM
from fusioncam.methods.activation import EigenCAM
from fusioncam.methods.base import REDUCTIONS, Method, layers_of, warn_if_flat
from fusioncam.methods.costs import PassCount, cost_of
from fusioncam.methods.fusion import FusionCAM, UnionCAM
from fusioncam.methods.gradient import (
    EigenGradCAM,
    ElementwiseGradCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    XGradCAM,
)
from fusioncam.methods.multi_layer import FullGrad
from fusioncam.methods.score_cam import ScoreCAM
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class MetaCAM:
    """MetaCAM: the pixels that most methods rank among their highest (Kaczmarek et al. 2023, arXiv 2307.16863).

    A partner votes for a pixel that is positive and among the highest ``top`` percent of its heatmap; the result is
    the number of votes. With several values of ``top``, each image uses the one with the largest difference between
    the class's probability of the image masked by the result and of the image masked by its complement. This
    criterion replaces the ROAD metric of the paper's adaptive threshold, because methods do not depend on metrics.
    The default partners are the paper's eleven.
    """

    family: ClassVar[str] = "ensemble"
    paper: ClassVar[str] = "arXiv 2307.16863"

    partners: tuple[Method, ...] = (
        GradCAM(),
        HiResCAM(),
        ElementwiseGradCAM(),
        GradCAMPlusPlus(),
        XGradCAM(),
        AblationCAM(),
        ScoreCAM(),
        EigenCAM(),
        EigenGradCAM(),
        LayerCAM(),
        FullGrad(),
    )
    top: tuple[float, ...] = (10, 20, 30, 40, 50)
    fill: str = "mean"

    def __post_init__(self) -> None:
        require_partners(self.partners)
        require_known("fill", self.fill, FILLS)
        if not self.top or not all(0 < top < 100 for top in self.top):
            raise SettingError(f"top must be a list of percentages between 0 and 100, got {self.top!r}")

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        trials = len(self.top) if len(self.top) > 1 else 0
        return cost_of(*self.partners) + PassCount(full=2 * trials)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        heatmaps = partner_heatmaps(self, model, x, target)
        maps = torch.stack([consensus(heatmaps, top) for top in self.top])
        if len(self.top) > 1:
            scores = model.masked_scores(
                x, torch.cat([maps, 1 - maps]), target, readout="probability", fill=self.fill
            )
            inside, outside = scores.to(maps).chunk(2)
            maps = maps[(inside - outside).argmax(0), torch.arange(len(x))][None]
        return warn_if_flat(maps[0], self)


def consensus(heatmaps: Tensor, top: float) -> Tensor:
    """Return the votes ``(N, *s)`` of heatmaps ``(P, N, *s)`` for their highest ``top`` percent, in [0, 1]."""
    flat = heatmaps.flatten(0, 1)
    votes = among_highest(flat, top) & (flat > 0)
    return minmax(votes.reshape(heatmaps.shape).to(heatmaps.dtype).mean(0))


_COMPOSED: dict[str, Callable[[tuple[Method, ...]], Method]] = {
    "fusion": lambda partners: reduce(lambda first, second: FusionCAM(first, second), partners),
    "union": lambda partners: reduce(lambda first, second: UnionCAM(first, second), partners),
    "meta": lambda partners: MetaCAM(partners),
}
RULES = (*_COMPOSED, *REDUCTIONS)


@dataclass(frozen=True)
class Fuse:
    """Any number of methods combined by a ``rule``.

    "mean", "max" and "product" combine the heatmaps pixel by pixel. "fusion" and "union" apply Fusion-CAM and
    Union-CAM to the first two partners, then to the result and the third partner, and so on; "meta" is MetaCAM.
    """

    family: ClassVar[str] = "ensemble"
    paper: ClassVar[str] = ""

    partners: tuple[Method, ...] = field(default_factory=lambda: (GradCAM(), ScoreCAM()))
    rule: str = "mean"

    def __post_init__(self) -> None:
        require_partners(self.partners)
        require_known("rule", self.rule, RULES)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(*self.partners) if self.rule in REDUCTIONS else cost_of(_COMPOSED[self.rule](self.partners))

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        if self.rule in _COMPOSED:
            return _COMPOSED[self.rule](self.partners)(model, x, target)
        return warn_if_flat(minmax(REDUCTIONS[self.rule](partner_heatmaps(self, model, x, target))), self)


def fuse(*partners: Method, rule: str = "mean") -> Fuse:
    """Combine any number of methods, or your own callables, into one; see :class:`Fuse`.

    Args:
        partners: at least two callables ``(model, x, target) -> heatmaps (N, H, W)``.
        rule: how their heatmaps are combined, such as "mean", "max" or "product".

    Returns:
        A method, to be called as ``method(model, x, target)``.

    Examples:
        ```python
        mine = fc.fuse(fc.METHODS["layer-cam"], fc.METHODS["grad-cam"], rule="max")
        heatmaps = mine(model, x, target)
        ```
    """
    return Fuse(partners, rule)


def partner_heatmaps(method: Fuse | MetaCAM, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the heatmaps of all partners ``(P, N, *s)``; the partners share their common passes."""
    with cached_passes(), prefetch_layers(x, layers_of(method)):
        return torch.stack([partner(model, x, target).to(precise(x)) for partner in method.partners])


def require_partners(partners: Sequence[object]) -> None:
    """Raise :class:`SettingError` unless the partners are a tuple of at least two callables."""
    if not isinstance(partners, tuple) or len(partners) < 2 or not all(map(callable, partners)):
        raise SettingError(f"partners must be a tuple of at least two methods, got {partners!r}")
