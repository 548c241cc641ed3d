"""Opti-CAM: channel weights that maximise the score of the masked image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_count, require_known, require_number
from fusioncam.functional.heatmaps import minmax, upsample, weighted_sum
from fusioncam.functional.masks import FILLS
from fusioncam.methods.base import warn_if_flat
from fusioncam.methods.costs import PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.pixel_gradients import mask_gradients
from fusioncam.model.scores import READOUTS, Target


@dataclass(frozen=True)
class OptiCAM:
    """Opti-CAM: the weights that maximise the logit of the masked image (Zhang et al. 2023, arXiv 2301.07002).

    The mask is ``minmax(up(sum_k softmax(u)_k relu(A_k)))``. Adam maximises the logit over ``u`` from equal weights,
    in ``steps`` steps with learning rate ``rate``. Average drop and increase measure what it optimises.
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
        require_number("rate", self.rate, 0, above=True)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(recorded=True, full=self.steps)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        with torch.inference_mode(False), torch.enable_grad():
            activations = model.record(x, target, self.layer).activations.relu()
            u = activations.new_zeros(activations.shape[:2]).requires_grad_()
            optimizer = torch.optim.Adam([u], lr=self.rate, maximize=True)
            for _ in range(self.steps):
                masks = minmax(upsample(weighted_sum(activations, u.softmax(1)), x.shape[2:]))
                _, gradients = mask_gradients(model, x, masks, target, readout=self.readout, fill=self.fill)
                (u.grad,) = torch.autograd.grad(masks, u, gradients)
                optimizer.step()
            masks = minmax(upsample(weighted_sum(activations, u.softmax(1)), x.shape[2:]))
        return warn_if_flat(masks.detach(), self)
