"""CasCAM: a method in stages, each without the evidence that the stages before it highlighted."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import InputTypeError, SettingError, require_count, require_known, require_number, shown
from fusioncam.functional.heatmaps import among_highest, minmax, precise, weighted_sum
from fusioncam.functional.masks import FILLS, blend
from fusioncam.inference.context import without_flat_warnings
from fusioncam.methods.base import Method, warn_if_flat
from fusioncam.methods.costs import PassCount, cost_of
from fusioncam.methods.gradient import GradCAM
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class CasCAM:
    """CasCAM: heatmaps in stages, each without earlier evidence (Choi et al. 2026, 10.32604/cmes.2026.077714).

    A stage keeps the highest ``top`` percent of its heatmap ``H`` (None: all of it), and the stages after it see
    ``f + (x - f) exp(-theta H)`` with the ``fill`` ``f``, which is ``x exp(-theta H)`` for "black". The result is the
    sum of the kept values, where stage k, from 0, has a weight in proportion to ``exp(-decay k)``.

    Without ``models`` the same network explains the faded image: which other evidence does it use when the strongest
    is absent? This needs no training, and it is not what the paper does. There every stage has a network of its own,
    which is trained on faded images and explains the whole image.
    :func:`fusioncam.metrics.cascade.train_cascade` trains them and returns the method with them as ``models``, one
    for each stage after the first.

    The authors multiply raw CAMs, whose unit is that of logits, by a ``theta`` of 0.1 to 0.3. Here it multiplies a
    heatmap in [0, 1], and the default leaves less than 1 % of the highest pixel. Their code also stretches faded
    images to the full range, which is left out because it changes the pixels outside of the heatmap too.
    """

    family: ClassVar[str] = "wrapper"
    paper: ClassVar[str] = "10.32604/cmes.2026.077714"

    method: Method = field(default_factory=GradCAM)
    stages: int = 3
    theta: float = 5.0
    top: float | None = 10.0
    decay: float = 0.1
    fill: str = "black"
    models: tuple[ExplainedModel, ...] = ()

    def __post_init__(self) -> None:
        require_count("stages", self.stages)
        require_known("fill", self.fill, FILLS)
        require_number("theta", self.theta, 0)
        require_number("decay", self.decay, 0)
        if self.top is not None:
            require_number("top", self.top, 0, 100, above=True)
        self._require_models()

    def _require_models(self) -> None:
        if not isinstance(self.models, tuple) or not all(isinstance(one, ExplainedModel) for one in self.models):
            raise InputTypeError(f"models must be a tuple of ExplainedModels, got {shown(self.models)}")
        if self.models and len(self.models) != self.stages - 1:
            raise SettingError(
                f"{self.stages} stages need {self.stages - 1} models, one for each stage after the first; "
                f"got {len(self.models)}"
            )

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return cost_of(self.method).times(self.stages)

    @property
    def weights(self) -> tuple[float, ...]:
        """Return the weight of each stage; they sum to 1."""
        weights = [exp(-self.decay * stage) for stage in range(self.stages)]
        return tuple(weight / sum(weights) for weight in weights)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        heatmaps = self.stage_heatmaps(model, x, target)
        weights = heatmaps.new_tensor(self.weights).expand(len(heatmaps), -1)
        return warn_if_flat(minmax(weighted_sum(heatmaps, weights)), self)

    @explains
    def stage_heatmaps(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return what is kept of the heatmap of each stage, ``(N, stages, *s)``."""
        x = x.to(model.device)
        heatmaps = [self._kept(model, x, target)]
        with without_flat_warnings():  # one is shown if all stages together are flat
            for stage in range(1, self.stages):
                later = _called_alike(self.models[stage - 1], model) if self.models else model
                seen = x if self.models else self.faded(model, x, torch.stack(heatmaps).sum(0))
                heatmaps.append(self._kept(later, seen, target))
        return torch.stack(heatmaps, 1)

    def _kept(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        heatmaps = self.method(model, x, target).to(precise(x))
        return heatmaps if self.top is None else torch.where(among_highest(heatmaps, self.top), heatmaps, 0)

    def faded(self, model: ExplainedModel, x: Tensor, heat: Tensor) -> Tensor:
        """Return images ``(N, C, *s)`` without the evidence of ``heat`` ``(N, *s)``, the sum over earlier stages."""
        return blend(x, torch.exp(-self.theta * heat.to(x.device)), model.fill_pixels(x, self.fill))


def _called_alike(later: ExplainedModel, first: ExplainedModel) -> ExplainedModel:
    """Return the later model, called with the inputs that go along with the image in the first one."""
    calling = first.runner.calling
    return later if calling.extra is None else later.called(calling)
