"""Union-CAM and Fusion-CAM: a gradient map and a region map, combined by their gains in the class probability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.functional.heatmaps import denoise, expand_like, is_flat, minmax, similarity_fusion
from fusioncam.functional.masks import FILLS
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.methods.base import Method, layers_of, require_percentile, warn_if_flat, with_setting
from fusioncam.methods.costs import PassCount, cost_of
from fusioncam.methods.gradient import DenoisedGradCAM, GradCAM
from fusioncam.methods.score_cam import ScoreCAM
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target

Pair = tuple[Tensor, Tensor]

# the images masked by zeros, the gradient map, the region map and their union
_SCORED = PassCount(full=4)


@dataclass(frozen=True)
class FusionComponents:
    """A fused heatmap and its components. Heatmaps are ``(N, *s)`` in [0, 1].

    ``gains`` holds the gains ``(N,)`` of the "denoised", "region" and "union" maps. A gain is the target's
    probability of the image masked by the map minus that of the empty image.
    """

    heatmaps: Tensor
    denoised: Tensor
    region: Tensor
    union: Tensor
    gains: dict[str, Tensor]


def normalised_gains(first: Tensor, second: Tensor) -> Pair:
    """Divide the gains by their sum, negative ones counting as 0; return 0.5 each if neither is positive.

    >>> first, second = torch.tensor([0.3, -0.2, 0.0]), torch.tensor([0.1, 0.5, 0.0])
    >>> [weight.tolist() for weight in normalised_gains(first, second)]
    [[0.75, 0.0, 0.5], [0.25, 1.0, 0.5]]
    """
    first, second = first.clamp(min=0), second.clamp(min=0)
    total = first + second
    zero = total <= 0
    return tuple(torch.where(zero, 0.5, gain / total.where(~zero, 1)) for gain in (first, second))  # type: ignore[return-value] # a tuple of two


def signed_ratio(first: Tensor, second: Tensor) -> Pair:
    """Divide the gains by their sum of either sign, as the official code does; unbounded where the gains cancel."""
    total = first + second + 1e-8
    return first / total, second / total


def raw_gains(first: Tensor, second: Tensor) -> Pair:
    """Return the gains themselves as weights."""
    return first, second


@dataclass(frozen=True)
class Weighting:
    """The rule that turns gains into weights, in both steps.

    - ``weigh``: returns the weights of two gains.
    - ``carry``: the second step uses the region map's weight of the first step instead of its gain.
    - ``signed``: Union-CAM multiplies the selected map by its gain, so that a negative gain inverts the map.
    - ``stand_in``: the region map replaces a constant result.
    """

    weigh: Callable[[Tensor, Tensor], Pair]
    carry: bool = False
    signed: bool = False
    stand_in: bool = False

    def finish(self, heatmaps: Tensor, region: Tensor, method: object) -> Tensor:
        """Warn about constant heatmaps, and replace them by the region map if ``stand_in`` is set."""
        if not self.stand_in:
            return warn_if_flat(heatmaps, method)
        warn_if_flat(heatmaps, method, instead="replaced by the region map")
        return torch.where(expand_like(is_flat(heatmaps), heatmaps), region, heatmaps)


WEIGHTINGS = {
    "shares": Weighting(normalised_gains, stand_in=True),
    "official": Weighting(signed_ratio, carry=True, signed=True),
    "raw": Weighting(raw_gains),
}


@dataclass(frozen=True)
class _Union:
    """The union of both maps, the gains of all three, and the region map's weight in the union."""

    heatmaps: Tensor
    gains: dict[str, Tensor]
    region_weight: Tensor


def _unite(
    model: ExplainedModel, x: Tensor, target: Target, denoised: Tensor, region: Tensor, gains: str, fill: str
) -> _Union:
    def probabilities(*maps: Tensor) -> Tensor:
        return model.masked_scores(x, torch.stack(maps), target, readout="probability", fill=fill)

    empty, of_denoised, of_region = probabilities(torch.zeros_like(region), denoised, region)
    gain = {"denoised": of_denoised - empty, "region": of_region - empty}
    first, second = WEIGHTINGS[gains].weigh(gain["denoised"], gain["region"])
    union = minmax(expand_like(first, denoised) * denoised + expand_like(second, region) * region)
    gain["union"] = probabilities(union)[0] - empty
    return _Union(union, gain, second)


@dataclass(frozen=True)
class UnionCAM:
    """Union-CAM: the union of both maps or the region map alone, whichever has the larger gain (Hu et al. 2024).

    10.3389/fnbot.2024.1490198. ``gradient`` and ``region`` are any methods. ``gains`` is the rule that turns gains
    into weights: "shares" (ours, defined for all gains), "official" or "raw" (the two public codes).
    """

    family: ClassVar[str] = "ensemble"
    paper: ClassVar[str] = "10.3389/fnbot.2024.1490198"

    gradient: Method = field(default_factory=DenoisedGradCAM)
    region: Method = field(default_factory=ScoreCAM)
    gains: str = "shares"
    fill: str = "mean"

    def __post_init__(self) -> None:
        require_known("way to weight gains", self.gains, WEIGHTINGS)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(self.gradient, self.region) + _SCORED

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return self.ingredients(model, x, target).heatmaps

    @explains
    def ingredients(self, model: ExplainedModel, x: Tensor, target: Target) -> FusionComponents:
        """Return the heatmaps and their components."""
        with cached_passes(), prefetch_layers(x, layers_of(self)):
            denoised, region = self.gradient(model, x, target), self.region(model, x, target)
            union = _unite(model, x, target, denoised, region, self.gains, self.fill)
        weighting = WEIGHTINGS[self.gains]
        better = union.gains["union"] > union.gains["region"]
        selected = torch.where(expand_like(better, region), union.heatmaps, region)
        if weighting.signed:
            gain = torch.where(better, union.gains["union"], union.gains["region"])
            selected = minmax(expand_like(gain, selected) * selected)
        heatmaps = weighting.finish(selected, region, self)
        return FusionComponents(heatmaps, denoised, region, union.heatmaps, union.gains)


@dataclass(frozen=True)
class FusionCAM:
    """Fusion-CAM: a denoised gradient map fused with a region map (Dekdegue et al. 2026, arXiv 2603.05386).

    1. ``D``: the ``gradient`` map, set to 0 below its ``theta``-th percentile (``strict``: also at it).
    2. ``U = minmax(w_D D + w_R R)`` with the ``region`` map ``R``.
    3. ``L1 = w_U U``, ``L2 = w_R' R``, ``S = clip(1 - |L1 - L2|, 0, 1)``,
       ``F = minmax(S max(L1, L2) + (1 - S) (L1 + L2) / 2)``.

    The weights are computed from the gains of the maps (see :class:`FusionComponents`) by the rule ``gains``:
    "shares" (ours: a negative gain has weight 0, two zero gains have equal weights), "official" or "raw" (the two
    public codes). ``gradient`` and ``region`` are any methods. ``budget``, a number of masks or "auto", is set on the
    region method, which must have that setting. ``fill`` defines the pixels where a map is 0.
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
        require_known("way to weight gains", self.gains, WEIGHTINGS)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(self.gradient, self.scored_region()) + _SCORED

    def scored_region(self) -> Method:
        """Return the region method, with the budget if there is one."""
        return self.region if self.budget is None else with_setting(self.region, "budget", self.budget, "score-cam")

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return self.ingredients(model, x, target).heatmaps

    @explains
    def ingredients(self, model: ExplainedModel, x: Tensor, target: Target) -> FusionComponents:
        """Return the heatmaps and their components."""
        with cached_passes(), prefetch_layers(x, layers_of(self)):
            denoised = denoise(self.gradient(model, x, target), self.theta, strict=self.strict)
            region = self.scored_region()(model, x, target)
            union = _unite(model, x, target, denoised, region, self.gains, self.fill)
        weighting = WEIGHTINGS[self.gains]
        gain_of_region = union.region_weight if weighting.carry else union.gains["region"]
        of_union, of_region = weighting.weigh(union.gains["union"], gain_of_region)
        fused = minmax(
            similarity_fusion(expand_like(of_union, region) * union.heatmaps, expand_like(of_region, region) * region)
        )
        heatmaps = weighting.finish(fused, region, self)
        return FusionComponents(heatmaps, denoised, region, union.heatmaps, union.gains)
