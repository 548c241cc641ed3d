"""Opti-CAM: channel weights found by climbing the score of the masked image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import UnknownNameError, require_count, require_known
from fusioncam.functional.heatmaps import minmax, upsample, weighted_sum
from fusioncam.functional.masks import FILLS
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import warn_if_flat
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target


@dataclass(frozen=True)
class OptiCAM:
    """Opti-CAM: the weights that maximise the logit of the masked image (Zhang et al. 2023, arXiv 2301.07002).

    The mask is ``minmax(up(sum_k softmax(u)_k relu(A_k)))``; Adam climbs the logit over ``u`` from equal weights, in
    ``steps`` of ``rate``. It optimises what average drop and increase measure.
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 2301.07002"

    steps: int = 100
    rate: float = 0.1
    readout: str = "logit"
    fill: str = "mean"
    layer: str | None = None

    def __post_init__(self) -> None:
        require_count("steps", self.steps)
        require_known("readout", self.readout, READOUTS)
        require_known("fill", self.fill, FILLS)
        if not self.rate > 0:
            raise UnknownNameError(f"rate is a number above 0, got {self.rate!r}")

    @property
    def cost(self) -> str:
        """The passes of one image."""
        return f"1 + {self.steps}"

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        with torch.inference_mode(False), torch.enable_grad():
            activations = model.record(x, target, self.layer).activations.relu()
            u = activations.new_zeros(activations.shape[:2]).requires_grad_()
            climber = torch.optim.Adam([u], lr=self.rate, maximize=True)
            for _ in range(self.steps):
                masks = minmax(upsample(weighted_sum(activations, u.softmax(1)), x.shape[2:]))
                _, gradients = model.mask_gradients(x, masks, target, readout=self.readout, fill=self.fill)
                (u.grad,) = torch.autograd.grad(masks, u, gradients)
                climber.step()
            masks = minmax(upsample(weighted_sum(activations, u.softmax(1)), x.shape[2:]))
        return warn_if_flat(masks.detach(), self)
