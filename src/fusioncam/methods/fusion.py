"""Union-CAM and Fusion-CAM: a gradient map and a region map, united by what each adds to the class score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.functional.heatmaps import denoise, expand_like, is_flat, minmax, similarity_fusion
from fusioncam.functional.masks import FILLS
from fusioncam.inference.cache import cached_passes, memoize_pass, prefetch_layers
from fusioncam.methods.base import Method, layers_of, require_percentile, warn_if_flat, with_setting
from fusioncam.methods.costs import cost_of
from fusioncam.methods.gradient import DenoisedGradCAM, GradCAM
from fusioncam.methods.score_cam import ScoreCAM
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class FusionComponents:
    """What a fusion was made of. Maps are ``(N, *s)`` in [0, 1], gains ``(N,)`` differences of probabilities.

    A gain is the target's probability of the image seen through the map minus that of the empty image.
    """

    heatmaps: Tensor
    denoised: Tensor
    region: Tensor
    union: Tensor
    gains: dict[str, Tensor]


def normalised_gains(first: Tensor, second: Tensor) -> Pair:
    """Divide by the sum, gains below 0 counting as 0; equal halves where neither map adds anything.

    >>> [weight.tolist() for weight in normalised_gains(torch.tensor([0.3, -0.2, 0.0]), torch.tensor([0.1, 0.5, 0.0]))]
    [[0.75, 0.0, 0.5], [0.25, 1.0, 0.5]]
    """
    first, second = first.clamp(min=0), second.clamp(min=0)
    total = first + second
    nothing = total <= 0
    return tuple(torch.where(nothing, 0.5, gain / total.where(~nothing, 1)) for gain in (first, second))  # type: ignore[return-value] # a pair in, a pair out


def signed_ratio(first: Tensor, second: Tensor) -> Pair:
    """Divide by the sum, whatever its sign: explodes where the gains cancel, as the official code does."""
    total = first + second + 1e-8
    return first / total, second / total


def raw_gains(first: Tensor, second: Tensor) -> Pair:
    """Weigh by the gains themselves."""
    return first, second


@dataclass(frozen=True)
class Weighting:
    """How gains become weights, in both steps.

    ``carry``: the second step takes the region map's weight of the first in place of its gain. ``signed``:
    Union-CAM multiplies the map it chose by its gain, so that a negative one turns it upside down.
    ``stand_in``: where the result is constant, the region map stands in for it.
    """

    weigh: Callable[[Tensor, Tensor], Pair]
    carry: bool = False
    signed: bool = False
    stand_in: bool = False

    def finish(self, heatmaps: Tensor, region: Tensor, method: object) -> Tensor:
        """Warn of constant results, and put the region map in their place if that is the way."""
        if not self.stand_in:
            return warn_if_flat(heatmaps, method)
        warn_if_flat(heatmaps, method, instead="in whose place the region map stands")
        return torch.where(expand_like(is_flat(heatmaps), heatmaps), region, heatmaps)


WEIGHTINGS = {
    "shares": Weighting(normalised_gains, stand_in=True),
    "official": Weighting(signed_ratio, carry=True, signed=True),
    "raw": Weighting(raw_gains),
}


@dataclass(frozen=True)
class _United:
    """The first two steps: the union, its gain among the others, and the region's weight in it."""

    union: Tensor
    gains: dict[str, Tensor]
    region_weight: Tensor


def _unite(
    model: ExplainedModel, x: Tensor, target: Target, denoised: Tensor, region: Tensor, gains: str, fill: str
) -> _United:
    def probabilities(*maps: Tensor) -> Tensor:
        return model.masked_scores(x, torch.stack(maps), target, readout="probability", fill=fill)

    empty, with_denoised, with_region = probabilities(torch.zeros_like(region), denoised, region)
    gain = {"denoised": with_denoised - empty, "region": with_region - empty}
    first, second = WEIGHTINGS[gains].weigh(gain["denoised"], gain["region"])
    union = minmax(expand_like(first, denoised) * denoised + expand_like(second, region) * region)
    gain["union"] = probabilities(union)[0] - empty
    return _United(union, gain, second)


@dataclass(frozen=True)
class UnionCAM:
    """Union-CAM: the union of both maps or the region map alone, whichever gains more (Hu et al. 2024).

    10.3389/fnbot.2024.1490198. ``gradient`` and ``region`` are any methods. ``gains`` says how gains become
    weights: "shares" (ours, defined for all gains), "official" or "raw" (the two public codes).
    """

    family: ClassVar[str] = "ensemble"
    paper: ClassVar[str] = "10.3389/fnbot.2024.1490198"

    gradient: Method = field(default_factory=DenoisedGradCAM)
    region: Method = field(default_factory=ScoreCAM)
    gains: str = "shares"
    fill: str = "mean"

    def __post_init__(self) -> None:
        require_known("way to weigh gains", self.gains, WEIGHTINGS)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return cost_of(self.gradient, self.region, more=4)

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        return self.ingredients(model, x, target).heatmaps

    @memoize_pass
    def ingredients(self, model: ExplainedModel, x: Tensor, target: Target) -> FusionComponents:
        """Give the heatmaps with all that they were made of."""
        with cached_passes(), prefetch_layers(x, layers_of(self)):
            denoised, region = self.gradient(model, x, target), self.region(model, x, target)
        united = _unite(model, x, target, denoised, region, self.gains, self.fill)
        weighting = WEIGHTINGS[self.gains]
        better = united.gains["union"] > united.gains["region"]
        chosen = torch.where(expand_like(better, region), united.union, region)
        if weighting.signed:
            gain = torch.where(better, united.gains["union"], united.gains["region"])
            chosen = minmax(expand_like(gain, chosen) * chosen)
        heatmaps = weighting.finish(chosen, region, self)
        return FusionComponents(heatmaps, denoised, region, united.union, united.gains)


@dataclass(frozen=True)
class FusionCAM:
    """Fusion-CAM: denoise, unite, then fuse pixel by pixel (Dekdegue et al. 2026, arXiv 2603.05386).

    1. ``D``: the ``gradient`` map, 0 below its ``theta``-th percentile (``strict``: at it too).
    2. ``U = minmax(w_D D + w_R R)`` with the ``region`` map ``R``.
    3. ``L1 = w_U U``, ``L2 = w_R' R``, ``S = clip(1 - |L1 - L2|, 0, 1)``,
       ``F = minmax(S max(L1, L2) + (1 - S) (L1 + L2) / 2)``.

    The weights come from the gains of the maps (see :class:`FusionComponents`) as ``gains`` says: "shares" (ours:
    a negative gain weighs nothing, two zero gains weigh the same), "official" or "raw" (the two public
    codes). ``gradient`` and ``region`` are any methods; ``budget``, a number of masks or "auto", is handed to the
    region method, which must have one. ``fill`` shows where a map is 0.
    """

    family: ClassVar[str] = "ensemble"
    paper: ClassVar[str] = "arXiv 2603.05386"

    gradient: Method = field(default_factory=GradCAM)
    region: Method = field(default_factory=ScoreCAM)
    theta: float = 10
    gains: str = "shares"
    strict: bool = False
    budget: int | str | None = None
    fill: str = "mean"

    def __post_init__(self) -> None:
        self.scored_region()
        require_percentile(self.theta)
        require_known("way to weigh gains", self.gains, WEIGHTINGS)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return cost_of(self.gradient, self.scored_region(), more=4)

    def scored_region(self) -> Method:
        """Give the region method, with the budget if there is one."""
        return self.region if self.budget is None else with_setting(self.region, "budget", self.budget, "score-cam")

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        return self.ingredients(model, x, target).heatmaps

    @memoize_pass
    def ingredients(self, model: ExplainedModel, x: Tensor, target: Target) -> FusionComponents:
        """Give the heatmaps with all that they were made of."""
        with cached_passes(), prefetch_layers(x, layers_of(self)):
            denoised = denoise(self.gradient(model, x, target), self.theta, strict=self.strict)
            region = self.scored_region()(model, x, target)
        united = _unite(model, x, target, denoised, region, self.gains, self.fill)
        weighting = WEIGHTINGS[self.gains]
        of_region = united.region_weight if weighting.carry else united.gains["region"]
        of_union, of_region = weighting.weigh(united.gains["union"], of_region)
        fused = minmax(
            similarity_fusion(expand_like(of_union, region) * united.union, expand_like(of_region, region) * region)
        )
        heatmaps = weighting.finish(fused, region, self)
        return FusionComponents(heatmaps, denoised, region, united.union, united.gains)
