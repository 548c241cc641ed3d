"""Gradients of a score with respect to pixels and to masks, for the methods that need them."""

from __future__ import annotations

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import precise
from fusioncam.functional.masks import Fill, blend
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.gradient_support import require_gradients
from fusioncam.model.masked_passes import background_of
from fusioncam.model.scores import Target, as_targets, read_scores


def input_gradients(model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the gradient ``(N, C, *s)`` of the target's logit with respect to every pixel."""
    with require_gradients(model.runner, x):
        pixels = model.runner.validate_input(x).requires_grad_()
        score = read_scores(model.runner(pixels), as_targets(target, pixels), "logit").sum()
        return precise(torch.autograd.grad(score, pixels)[0])


def mask_gradients(
    model: ExplainedModel, x: Tensor, masks: Tensor, target: Target, *, readout: str, fill: Fill = "mean"
) -> tuple[Tensor, Tensor]:
    """Return the scores ``(N,)`` of images under one mask each, and their gradients by the masks ``(N, *s)``."""
    with require_gradients(model.runner, x):
        x = model.runner.validate_input(x)
        masks = masks.detach().to(x).requires_grad_()
        images = torch.arange(len(x), device=x.device)
        blended = blend(x, masks, background_of(x, fill, model.preprocessing)(images, masks))
        scores = read_scores(model.runner(blended), as_targets(target, x), readout)
        (gradients,) = torch.autograd.grad(scores.sum(), masks)
        return scores.detach(), precise(gradients)
