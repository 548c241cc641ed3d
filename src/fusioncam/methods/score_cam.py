"""Methods that weight masks by the score of the masked image: Score-CAM and its variants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_count, require_known
from fusioncam.functional.heatmaps import minmax, relu_above_rounding, upsample, weighted_sum
from fusioncam.functional.masks import FILLS, ChannelMasks, TransformedMasks
from fusioncam.methods.base import noise, warn_if_flat
from fusioncam.methods.costs import PassCount
from fusioncam.methods.score_prediction import AUTO, require_budget, score_within_budget
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target


def softmax_weights(scores: Tensor, active: Tensor) -> Tensor:
    """Return the softmax of scores ``(N, K)`` over the active channels; the weight of the others is 0."""
    weights = scores.masked_fill(~active, -torch.inf).softmax(dim=1)
    return weights.where(active, 0)  # an image without active channels has a softmax of NaN


def from_channels(activations: Tensor, weights: Tensor, x: Tensor, method: object) -> Tensor:
    """Return heatmaps of weighted channels, with the ReLU after upsampling as in the codes of Score-CAM."""
    cam = upsample(weighted_sum(activations, weights), x.shape[2:])
    return warn_if_flat(minmax(relu_above_rounding(cam)), method)


@dataclass(frozen=True)
class ScoreCAM:
    """Score-CAM: channels weighted by the score of the image that they mask (Wang et al. 2020).

    arXiv 1910.01279, eq. 4-7 and algorithm 1. Each channel, upsampled to the size of the input and rescaled to [0,
    1], masks the image; the target's score of the masked image is the weight of the channel. A constant channel would
    mask everything: its weight is 0 and it needs no pass.

    - ``readout``: the score, "logit" or "probability".
    - ``softmax``: apply a softmax over the channels to the scores.
    - ``increase``: subtract the score of the empty image (eq. 6), which a softmax would cancel.
    - ``normalise``: rescale a mask "after" or "before" upsampling.
    - ``maps``: multiply the weights with the "raw" or the "normalised" channels. Public codes differ in all of these.
    - ``channels``: use only this many channels, those with the largest standard deviation (Faster Score-CAM).
    - ``budget``: score only this many channels and predict the others, which yields nearly the same map with far
      fewer passes; see :mod:`fusioncam.methods.score_prediction`. With "auto", masks are scored until the error of
      the map is below ``tolerance`` times the map's standard deviation. The error is estimated from masks that were
      predicted before they were scored.
    - ``fill``: the pixels that appear where a mask is 0.
    - ``layer``: defaults to the model's.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 1910.01279"

    readout: str = "logit"
    softmax: bool = True
    increase: bool = False
    normalise: str = "after"
    maps: str = "raw"
    channels: int | None = None
    budget: int | str | None = None
    tolerance: float = 0.1
    fill: str = "mean"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_known("readout", self.readout, READOUTS)
        require_known("time to normalise", self.normalise, ("after", "before"))
        require_known("kind of maps", self.maps, ("raw", "normalised"))
        require_known("fill", self.fill, FILLS)
        require_budget(self.budget, self.tolerance)
        if self.channels is not None:
            require_count("channels", self.channels)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of_masks(self.budget, self.channels) + PassCount(full=int(self.increase))

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        return from_channels(*self.channel_weights(model, x, target), x, self)

    def channel_weights(self, model: ExplainedModel, x: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Return the channels ``(N, K, *s)`` and their weights ``(N, K)``."""
        activations = model.record(x, target, self.layer).activations
        masks = ChannelMasks(activations, x.shape[2:], self.normalise)
        active = masks.active.T
        if self.channels is not None:
            active = most_varied(activations, active, self.channels)
        empty = empty_scores(model, x, target, self.readout, self.fill)[:, None] if self.increase else 0

        def score(chosen: Tensor) -> Tensor:
            masks.active = chosen.T
            return model.masked_scores(x, masks, target, readout=self.readout, fill=self.fill).T - empty

        def weights(scores: Tensor) -> Tensor:
            return softmax_weights(scores, active) if self.softmax else scores.where(active, 0)

        scores = score_within_budget(self, score, weights, activations, active)
        if self.maps == "normalised":
            activations = minmax(activations.flatten(0, 1)).reshape(activations.shape)
        return activations, weights(scores)


def cost_of_masks(budget: int | str | None, channels: int | None = None, times: int = 1) -> PassCount:
    """Return the cost of a recorded pass and of scoring each mask ``times`` times.

    ``budget`` masks are scored if it is a number, otherwise (with "auto", at most) as many as ``channels``, or all K.
    """
    masks = budget if isinstance(budget, int) else channels
    passes = PassCount(per_channel=times) if masks is None else PassCount(full=times * masks)
    return replace(passes, recorded=True, at_most=budget == AUTO)


def most_varied(activations: Tensor, active: Tensor, channels: int) -> Tensor:
    """Select the active channels ``(N, K)`` with the largest standard deviation; of equal ones the lower index."""
    deviation = activations.flatten(2).std(2, correction=0).where(active, -1)
    order = deviation.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(active).scatter(1, order[:, :channels], True)


def empty_scores(model: ExplainedModel, x: Tensor, target: Target, readout: str, fill: str) -> Tensor:
    """Return the target's score ``(N,)`` of the completely masked image."""
    return model.masked_scores(x, x.new_zeros(1, len(x), *x.shape[2:]), target, readout=readout, fill=fill)[0]


def from_averages(
    method: SSCAM | ISCAM,
    sample_scores: Callable[[ChannelMasks], Iterable[Tensor]],
    model: ExplainedModel,
    x: Tensor,
    target: Target,
) -> Tensor:
    """Return the heatmaps of Score-CAM with the mean of several scores ``(K, N)`` in place of a single score.

    ``sample_scores`` is called once for each round of a budget, with the masks of that round active.
    """
    activations = model.record(x, target, method.layer).activations
    masks = ChannelMasks(activations, x.shape[2:])
    active = masks.active.T

    def score(chosen: Tensor) -> Tensor:
        masks.active = chosen.T
        return torch.stack(list(sample_scores(masks))).mean(0).T

    weights = partial(softmax_weights, active=active)
    scores = score_within_budget(method, score, weights, activations, active)
    return from_channels(activations, weights(scores), x, method)


@dataclass(frozen=True)
class SSCAM:
    """SS-CAM: Score-CAM with scores averaged over noise (Wang et al. 2020, arXiv 2006.14255).

    ``noise`` with standard deviation ``std`` is added to the mask ("maps", form 1 of the paper) or to the masked
    image ("input", form 2), ``samples`` times; all channels share the same draws. ``budget`` and ``tolerance`` are as
    in :class:`ScoreCAM`; averages are smoother than single scores and therefore easier to predict.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 2006.14255"

    samples: int = 35
    std: float = 2.0
    noise: str = "maps"
    seed: int = 0
    budget: int | str | None = None
    tolerance: float = 0.1
    fill: str = "mean"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_count("samples", self.samples)
        require_known("kind of noise", self.noise, ("maps", "input"))
        require_budget(self.budget, self.tolerance)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of_masks(self.budget, times=self.samples)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        x = x.to(model.device)
        draws = self.std * noise(x[:, 0] if self.noise == "maps" else x, self.samples, self.seed)

        def sample_scores(masks: ChannelMasks) -> Iterator[Tensor]:
            return (self._scores(model, x, masks, draw, target) for draw in draws)

        return from_averages(self, sample_scores, model, x, target)

    def _scores(self, model: ExplainedModel, x: Tensor, masks: ChannelMasks, draw: Tensor, target: Target) -> Tensor:
        if self.noise == "maps":
            noisy = TransformedMasks(masks, lambda mask: mask + draw)
            return model.masked_scores(x, noisy, target, readout="logit", fill=self.fill)
        # noise on both the image and the fill adds the same noise to every masked image
        fill = model.fill_pixels(x, self.fill) + draw
        return model.masked_scores(x + draw, masks, target, readout="logit", fill=fill)


@dataclass(frozen=True)
class ISCAM:
    """IS-CAM: Score-CAM with scores averaged along a path of growing masks (Naidu et al. 2020, arXiv 2010.03023).

    ``path`` defines how the mask grows in ``samples`` steps: "cumulative" adds ``i / samples`` in step ``i``, as the
    paper's algorithm does, and so exceeds 1; "even" is the integral that the paper's text describes. ``budget`` and
    ``tolerance`` are as in :class:`ScoreCAM`.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 2010.03023"

    samples: int = 10
    path: str = "cumulative"
    budget: int | str | None = None
    tolerance: float = 0.1
    fill: str = "mean"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_count("samples", self.samples)
        require_known("path", self.path, ("cumulative", "even"))
        require_budget(self.budget, self.tolerance)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of_masks(self.budget, times=self.samples)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        steps = [step / self.samples for step in range(1, self.samples + 1)]
        factors = list(accumulate(steps)) if self.path == "cumulative" else steps

        def sample_scores(masks: ChannelMasks) -> Iterator[Tensor]:
            for factor in factors:
                scaled = TransformedMasks(masks, partial(torch.mul, factor))
                yield model.masked_scores(x, scaled, target, readout="logit", fill=self.fill)

        return from_averages(self, sample_scores, model, x, target)
