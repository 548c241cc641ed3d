"""Winsor-CAM: Grad-CAM of all convolutions, weighted by their clipped importances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.functional.cam import grad_cam, winsorised_weights
from fusioncam.functional.heatmaps import minmax, relu_above_rounding, upsample
from fusioncam.methods.base import require_percentile, warn_if_flat
from fusioncam.methods.costs import RECORDED, PassCount
from fusioncam.model.arguments import explains
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.parameters import convolutions
from fusioncam.model.scores import Target


@dataclass(frozen=True)
class WinsorCAM:
    """Winsor-CAM: Grad-CAM of all convolutions, weighted by clipped importances (Wall et al. 2026, arXiv 2507.10846).

    The importance of a layer is the mean of its channel weights, 0 if that is negative. Importances above the
    ``theta``-th percentile of the positive ones of an image are lowered to it, and the positive ones are rescaled to
    [0.1, 1]. The result is the sum of the layers' Grad-CAM maps, each rescaled to [0, 1], times these weights. A low
    ``theta`` weights the layers more equally, and so shows more detail.

    The paper leaves the percentile to the user, and its code also offers the maximum of the channel weights; the mean
    and the default of 90 are those of the first example of the authors' code. Ours resizes each map to the size of
    the input at once, theirs to the size of the largest map first. ``layers`` are dotted names, by default all
    convolutions with feature maps that the score depends on; in networks with fewer than two, the layer
    normalisations, which the authors' code uses for transformers.
    """

    family: ClassVar[str] = "gradient"
    cost: ClassVar[PassCount] = RECORDED
    paper: ClassVar[str] = "arXiv 2507.10846"

    theta: float = 90
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_percentile(self.theta)

    @explains
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        records = model.records(x, target, self.layers or convolutions(model, x), skip_unused=not self.layers)
        cams = (grad_cam(record.activations, record.gradients) for record in records)
        maps = torch.stack([upsample(minmax(relu_above_rounding(cam)), x.shape[2:]) for cam in cams])
        importances = torch.stack([record.gradients.flatten(1).mean(1) for record in records], 1)
        weights = winsorised_weights(importances, self.theta)
        return warn_if_flat(minmax(torch.einsum("nl,ln...->n...", weights, maps)), self)
