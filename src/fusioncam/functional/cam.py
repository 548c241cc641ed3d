"""How activations and gradients become a cam: plain arithmetic on maps ``(N, K, *s)``, no network."""

from __future__ import annotations

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import expand_like, weighted_sum


def places(maps: Tensor) -> Tensor:
    """Sum over all places: ``(N, K, *s)`` to ``(N, K)``."""
    return maps.flatten(2).sum(2)


def divide(values: Tensor, by: Tensor) -> Tensor:
    """Divide, with 0 where the divisor is 0."""
    nothing = by == 0
    return torch.where(nothing, 0, values / torch.where(nothing, 1, by))


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh by the mean gradient."""
    return weighted_sum(activations, gradients.flatten(2).mean(2))


def grad_cam_plus_plus(activations: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """Weigh by the positive gradients, these by the shares alpha that second and third derivatives give."""
    alpha = divide(second, 2 * second + expand_like(places(activations), third) * third)
    return weighted_sum(activations, places(alpha * first.relu()))


def of_exponential(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ of ``exp`` of the logit, whose derivatives are powers of the logit's own."""
    return grad_cam_plus_plus(activations, gradients, gradients**2, gradients**3)


def xgrad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh by the gradients averaged with the activations as weights."""
    return weighted_sum(activations, divide(places(activations * gradients), places(activations)))


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each place by its own positive gradient."""
    return (gradients.relu() * activations).sum(1)


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each place by its own gradient."""
    return (gradients * activations).sum(1)


def elementwise_grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each place by its own gradient, and keep what is positive in each channel."""
    return (gradients * activations).relu().sum(1)


def principal(maps: Tensor) -> Tensor:
    """Project maps ``(N, K, *s)`` on the first right singular vector of the matrix places x channels.

    The sign is the one with which the projection's sum is above 0.
    """
    flat = maps.flatten(2).double()
    # the smaller of the two Gram matrices has the same first singular value
    wide = flat.shape[1] > flat.shape[2]
    gram = flat.mT @ flat if wide else flat @ flat.mT
    values, vectors = torch.linalg.eigh(gram)
    vector = vectors[..., -1]
    singular = values[:, -1:].clamp(min=0).sqrt()
    projected = singular * vector if wide else torch.einsum("nkp,nk->np", flat, vector)
    sign = torch.where(projected.sum(1, keepdim=True) < 0, -1, 1)
    return (sign * projected).reshape(len(maps), *maps.shape[2:]).to(maps)


def eigen_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Project the activations on their first principal component."""
    return principal(activations)


def eigen_grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Project activations times gradients on their first principal component, turned to where their sum points."""
    evidence = activations * gradients
    cam = principal(evidence)
    agreement = (cam * evidence.sum(1)).flatten(1).sum(1)
    return torch.where(expand_like(agreement, cam) < 0, -cam, cam)
