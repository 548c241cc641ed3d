"""Gradients of a score with respect to pixels and to masks, for the methods that need them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.errors import MethodError
from fusioncam.functional.heatmaps import precise
from fusioncam.functional.masks import Fill, blend
from fusioncam.inference import hooks
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.gradient_support import with_gradients
from fusioncam.model.masked_passes import background_of
from fusioncam.model.scores import Target, as_targets, read_scores


def input_gradients(model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the gradient ``(N, C, *s)`` of the target's logit with respect to every pixel."""

    def compute(images: Tensor) -> Tensor:
        pixels = images.detach().requires_grad_()
        score = read_scores(model.runner(pixels), as_targets(target, pixels), "logit").sum()
        return precise(torch.autograd.grad(score, pixels)[0]).contiguous()

    return with_gradients(model.runner, x, compute)


class _PositiveGradient(torch.autograd.Function):
    """The identity, with a gradient that is 0 where it is negative."""

    @staticmethod
    def forward(ctx: Any, output: Tensor) -> Tensor:
        return output.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.relu()


def guided_gradients(model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the gradient ``(N, C, *s)`` by every pixel with negative gradients set to 0 at every ReLU module.

    Guided backpropagation (Springenberg et al. 2015, arXiv 1412.6806). It shows edges of the image and depends little
    on the weights (Adebayo et al. 2018, arXiv 1810.03292). Raises :class:`MethodError` for a network without ReLUs.
    """
    relus = [name for name, module in model.network.named_modules() if isinstance(module, nn.ReLU) and name]
    if not relus:
        raise MethodError("guided backpropagation needs modules nn.ReLU, and this network has none: use grad-cam")
    with hooks.replace_outputs(model.network, dict.fromkeys(relus, _PositiveGradient.apply)):
        return input_gradients(model, x, target)


def mask_gradients(
    model: ExplainedModel, x: Tensor, masks: Tensor, target: Target, *, readout: str, fill: Fill = "mean"
) -> tuple[Tensor, Tensor]:
    """Return the scores ``(N,)`` of images under one mask each, and their gradients by the masks ``(N, *s)``."""

    def compute(images: Tensor) -> tuple[Tensor, Tensor]:
        variable, which = masks.detach().to(images).requires_grad_(), torch.arange(len(images), device=images.device)
        background = background_of(images, fill, model.preprocessing)(which, variable)
        scores = read_scores(model.runner(blend(images, variable, background)), as_targets(target, images), readout)
        (gradients,) = torch.autograd.grad(scores.sum(), variable)
        return scores.detach(), precise(gradients)

    return with_gradients(model.runner, x, compute)
