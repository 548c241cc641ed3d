"""Score-CAM and its kin: many masked passes, no gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_count, require_known
from fusioncam.functional.heatmaps import minmax, precise, relu_above_rounding, upsample, weighted_sum
from fusioncam.functional.masks import FILLS, ChannelMasks, RiseMasks, TransformedMasks
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import noise, warn_if_flat
from fusioncam.methods.score_prediction import AUTO, estimate, require_budget
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target


def softmax_weights(scores: Tensor, active: Tensor) -> Tensor:
    """Turn scores ``(N, K)`` into weights by a softmax over the living channels; the others weigh 0."""
    weights = scores.masked_fill(~active, -torch.inf).softmax(dim=1)
    return weights.where(active, 0)  # also the softmax of an image without a living channel


def from_channels(activations: Tensor, weights: Tensor, x: Tensor, method: object) -> Tensor:
    """Give heatmaps of weighted channels, ReLU last, as Score-CAM's codes have it."""
    return warn_if_flat(
        minmax(relu_above_rounding(upsample(weighted_sum(activations, weights), x.shape[2:]))), method
    )


@dataclass(frozen=True)
class ScoreCAM:
    """Score-CAM: channels weighted by the score of the image seen through them (Wang et al. 2020).

    arXiv 1910.01279, eq. 4-7 and algorithm 1. Each channel, brought to the input's size and stretched to
    [0, 1], masks the image; the target's score of the masked image weighs the channel. A constant channel
    masks everything, weighs nothing and costs no pass.

    ``readout`` is what counts as score, "logit" or "probability". ``softmax`` turns the scores into weights by
    a softmax over the channels, in which ``increase``, the score less that of the empty image (eq. 6), would
    cancel. ``normalise`` says whether a mask is stretched "after" or "before" it is brought to the input's size,
    and ``maps`` whether the weights multiply the "raw" or the "normalised" channels. Public codes differ in all
    of them. ``channels`` keeps only so many, those of the largest deviation (Faster Score-CAM). ``budget`` scores
    only so many and predicts the others: nearly the same map for far fewer passes, see
    :mod:`fusioncam.methods.score_prediction`. "auto" adds masks until the error of the map, as estimated from masks that were
    predicted before they were scored, is under ``tolerance`` times the map's deviation. ``fill`` shows where a mask
    is 0. ``layer`` defaults to the model's.
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
        require_known("moment to normalise", self.normalise, ("after", "before"))
        require_known("kind of maps", self.maps, ("raw", "normalised"))
        require_known("fill", self.fill, FILLS)
        require_budget(self.budget, self.tolerance)
        if self.channels is not None:
            require_count("channels", self.channels)

    @property
    def cost(self) -> str:
        """The passes of one image; K is the number of channels."""
        return f"1 + {masks_scored(self.budget, self.channels or 'K')}" + (" + 1" if self.increase else "")

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        activations = model.record(x, target, self.layer).activations
        masks = ChannelMasks(activations, x.shape[2:], self.normalise)
        active = masks.active.T
        if self.channels is not None:
            active = most_varied(activations, active, self.channels)
        empty = empty_scores(model, x, target, self.readout, self.fill)[:, None] if self.increase else 0

        def scores(chosen: Tensor) -> Tensor:
            masks.active = chosen.T
            return model.masked_scores(x, masks, target, readout=self.readout, fill=self.fill).T - empty

        def weights(scores: Tensor) -> Tensor:
            return softmax_weights(scores, active) if self.softmax else scores.where(active, 0)

        known = score_within_budget(self, scores, weights, activations, active)
        if self.maps == "normalised":
            activations = minmax(activations.flatten(0, 1)).reshape(activations.shape)
        return from_channels(activations, weights(known), x, self)


def most_varied(activations: Tensor, active: Tensor, channels: int) -> Tensor:
    """Say which living channels have the largest standard deviation, ``(N, K)``; ties go to the lower index."""
    deviation = activations.flatten(2).std(2, correction=0).where(active, -1)
    order = deviation.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(active).scatter(1, order[:, :channels], True)


def empty_scores(model: ExplainedModel, x: Tensor, target: Target, readout: str, fill: str) -> Tensor:
    """Give the target's score ``(N,)`` of the image seen through nothing."""
    return model.masked_scores(x, x.new_zeros(1, len(x), *x.shape[2:]), target, readout=readout, fill=fill)[0]


def score_within_budget(
    method: ScoreCAM | SSCAM | ISCAM,
    scores: Callable[[Tensor], Tensor],
    weights: Callable[[Tensor], Tensor],
    activations: Tensor,
    active: Tensor,
) -> Tensor:
    """Give the scores ``(N, K)`` of the living channels within the method's budget: all of them if it has none."""
    if method.budget is None:
        return scores(active)
    return estimate(scores, weights, activations, active, method.budget, method.tolerance)


def masks_scored(budget: int | str | None, most: int | str = "K", times: int = 1) -> str:
    """Say how many masks of an image are scored so many times; K is the number of channels."""
    scored: int | str = budget if isinstance(budget, int) else most
    passes = scored * times if isinstance(scored, int) else scored if times == 1 else f"{times} {scored}"
    return f"up to {passes}" if budget == AUTO else str(passes)


def from_averages(
    method: SSCAM | ISCAM,
    scored: Callable[[ChannelMasks], Iterable[Tensor]],
    model: ExplainedModel,
    x: Tensor,
    target: Target,
) -> Tensor:
    """Give Score-CAM's heatmaps with the average of several scores ``(K, N)`` in place of one.

    ``scored`` is asked anew for each round of a budget, with the masks of that round active.
    """
    activations = model.record(x, target, method.layer).activations
    masks = ChannelMasks(activations, x.shape[2:])
    active = masks.active.T

    def scores(chosen: Tensor) -> Tensor:
        masks.active = chosen.T
        return torch.stack(list(scored(masks))).mean(0).T

    known = score_within_budget(method, scores, lambda scores: softmax_weights(scores, active), activations, active)
    return from_channels(activations, softmax_weights(known, active), x, method)


@dataclass(frozen=True)
class SSCAM:
    """SS-CAM: Score-CAM with scores averaged over noise (Wang et al. 2020, arXiv 2006.14255).

    ``noise`` of deviation ``std`` is added to the mask ("maps", form 1 of the paper) or to the masked image
    ("input", form 2), ``samples`` times; one draw serves all channels. ``budget`` and ``tolerance`` are as in
    :class:`ScoreCAM`: the averages of so many channels, which are smoother than single scores, tell the others'.
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
        require_known("place of noise", self.noise, ("maps", "input"))
        require_budget(self.budget, self.tolerance)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"1 + {masks_scored(self.budget, times=self.samples)}"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        x = x.to(model.device)
        drawn = self.std * noise(x[:, 0] if self.noise == "maps" else x, self.samples, self.seed)

        def scored(masks: ChannelMasks) -> Iterator[Tensor]:
            return (self._scores(model, x, masks, one, target) for one in drawn)

        return from_averages(self, scored, model, x, target)

    def _scores(self, model: ExplainedModel, x: Tensor, masks: ChannelMasks, drawn: Tensor, target: Target) -> Tensor:
        if self.noise == "maps":
            noisy = TransformedMasks(masks, lambda mask: mask + drawn)
            return model.masked_scores(x, noisy, target, readout="logit", fill=self.fill)
        # noise on the image and on what fills it adds to every masked image
        fill = model.fill_pixels(x, self.fill) + drawn
        return model.masked_scores(x + drawn, masks, target, readout="logit", fill=fill)


@dataclass(frozen=True)
class ISCAM:
    """IS-CAM: Score-CAM with scores averaged along a path of growing masks (Naidu et al. 2020, arXiv 2010.03023).

    ``path`` says how the mask grows in ``samples`` steps: "cumulative" adds ``i / samples`` at step ``i``, as the
    paper's algorithm does, which leaves [0, 1]; "even" is the integral that its text speaks of. ``budget`` and
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
    def cost(self) -> str:
        """The passes of one image."""
        return f"1 + {masks_scored(self.budget, times=self.samples)}"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        steps = [step / self.samples for step in range(1, self.samples + 1)]
        sizes = list(accumulate(steps)) if self.path == "cumulative" else steps

        def scored(masks: ChannelMasks) -> Iterator[Tensor]:
            for size in sizes:
                grown = TransformedMasks(masks, partial(torch.mul, size))
                yield model.masked_scores(x, grown, target, readout="logit", fill=self.fill)

        return from_averages(self, scored, model, x, target)


@dataclass(frozen=True)
class RISE:
    """RISE: random masks weighted by the probability of the image seen through them (Petsiuk et al. 2018).

    arXiv 1806.07421; see :class:`fusioncam.functional.masks.RiseMasks`. No layer is looked at: any network will do.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 1806.07421"

    masks: int = 4000
    cells: int = 7
    keep: float = 0.5
    readout: str = "probability"
    fill: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        require_count("masks", self.masks)
        require_count("cells", self.cells)
        require_known("readout", self.readout, READOUTS)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"{self.masks}"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        masks = RiseMasks(self.masks, precise(x), self.cells, self.keep, self.seed)
        scores = model.masked_scores(x, masks, target, readout=self.readout, fill=self.fill)
        total = torch.zeros_like(precise(x)[:, 0])
        for start in range(0, self.masks, 64):
            some = torch.arange(start, min(start + 64, self.masks))
            total += torch.einsum("mn,m...->n...", scores[some].to(total), masks[some, some])
        return warn_if_flat(minmax(total), self)
