"""Compute a cam ``(N, *s)`` from activations and gradients ``(N, K, *s)``."""

from __future__ import annotations

import torch
from torch import Tensor

from fusioncam.functional.factorization import non_negative_factors
from fusioncam.functional.heatmaps import expand_like, is_flat, minmax, percentile, relu_above_rounding, weighted_sum


def spatial_sum(maps: Tensor) -> Tensor:
    """Sum over all locations: ``(N, K, *s)`` to ``(N, K)``."""
    return maps.flatten(2).sum(2)


def safe_divide(values: Tensor, divisor: Tensor) -> Tensor:
    """Divide, with 0 where the divisor is 0."""
    zero = divisor == 0
    return torch.where(zero, 0, values / torch.where(zero, 1, divisor))


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weight channels by their mean gradient (arXiv 1610.02391, eq. 1-2)."""
    return weighted_sum(activations, gradients.flatten(2).mean(2))


def grad_cam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Compute Grad-CAM++ of ``exp`` of the logit, whose derivatives are powers of the logit's gradient.

    (arXiv 1710.11063)
    """
    return grad_cam_plus_plus_from_derivatives(activations, gradients, gradients**2, gradients**3)


def grad_cam_plus_plus_from_derivatives(activations: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """Weight channels by the sum of ``alpha relu(first)``, with ``alpha`` from the second and third derivatives.

    ``alpha = second / (2 second + sum(A) third)``, 0 where the denominator is 0 (arXiv 1710.11063).
    """
    alpha = safe_divide(second, 2 * second + expand_like(spatial_sum(activations), third) * third)
    return weighted_sum(activations, spatial_sum(alpha * first.relu()))


def xgrad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weight channels by ``sum(A g) / sum(A)``, 0 where ``sum(A)`` is 0 (arXiv 2008.02312)."""
    return weighted_sum(activations, safe_divide(spatial_sum(activations * gradients), spatial_sum(activations)))


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weight each location by its own positive gradient (10.1109/TIP.2021.3089943)."""
    return (gradients.relu() * activations).sum(1)


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weight each location by its own gradient (arXiv 2011.08891)."""
    return (gradients * activations).sum(1)


def elementwise_grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weight each location by its own gradient, and apply a ReLU in each channel before the sum."""
    return (gradients * activations).relu().sum(1)


def first_principal_component(maps: Tensor) -> Tensor:
    """Project maps ``(N, K, *s)`` on the first right singular vector of the matrix of locations by channels.

    The sign is chosen so that the sum of the projection ``(N, *s)`` is positive.
    """
    flat = maps.flatten(2).double()
    # both Gram matrices have the same first singular value: decompose the smaller one
    more_channels = flat.shape[1] > flat.shape[2]
    gram = flat.mT @ flat if more_channels else flat @ flat.mT
    values, vectors = torch.linalg.eigh(gram)
    vector = vectors[..., -1]
    singular = values[:, -1:].clamp(min=0).sqrt()
    projection = singular * vector if more_channels else torch.einsum("nkp,nk->np", flat, vector)
    sign = torch.where(projection.sum(1, keepdim=True) < 0, -1, 1)
    return (sign * projection).reshape(len(maps), *maps.shape[2:]).to(maps)


def eigen_cam(activations: Tensor, gradients: Tensor | None = None) -> Tensor:
    """Project the activations on their first principal component (arXiv 2008.00299); the gradients are not used."""
    return first_principal_component(activations)


def eigen_grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Project activations times gradients on their first principal component, with the sign of their sum."""
    products = activations * gradients
    cam = first_principal_component(products)
    agreement = (cam * products.sum(1)).flatten(1).sum(1)
    return torch.where(expand_like(agreement, cam) < 0, -cam, cam)


def centred(maps: Tensor) -> Tensor:
    """Subtract from each channel of ``(N, K, *s)`` its mean; differences within rounding become 0."""
    values = maps.double().flatten(2)
    differences = values - values.mean(2, keepdim=True)
    rounding = 4 * torch.finfo(values.dtype).eps * values.abs().amax(2, keepdim=True)
    return torch.where(differences.abs() > rounding, differences, 0).reshape(maps.shape)


def with_largest_positive(maps: Tensor) -> Tensor:
    """Invert each map ``(N, *s)`` whose value of the largest magnitude is negative.

    >>> with_largest_positive(torch.tensor([[1.0, -3.0], [2.0, -1.0]])).tolist()
    [[-1.0, 3.0], [2.0, -1.0]]
    """
    flat = maps.flatten(1)
    return torch.where(expand_like(-flat.amin(1) > flat.amax(1), maps), -maps, maps)


def seg_eigen_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Project the centred products ``|g| A`` on their first principal component (10.3390/app15137562, eq. 10-13)."""
    component = first_principal_component(centred(gradients.abs() * activations))
    return with_largest_positive(component).to(activations)


def kernel_pca_cam(activations: Tensor) -> Tensor:
    """Project locations on the first principal component under a sigmoid kernel (arXiv 2410.00267).

    The kernel of two locations with the centred channels ``a`` and ``b`` is ``tanh(a b / K + 1)``.
    """
    points = centred(activations).flatten(2).mT
    kernel = torch.tanh(points @ points.mT / points.shape[2] + 1)
    largest = kernel.abs().amax((1, 2))
    for axis in (1, 2):
        kernel = kernel - kernel.mean(axis, keepdim=True)
    values, vectors = torch.linalg.eigh(kernel)
    rounding = 4 * torch.finfo(kernel.dtype).eps * kernel.shape[1] * largest
    sizes = torch.where(values[:, -1] > rounding, values[:, -1], 0).sqrt()
    component = sizes[:, None] * vectors[..., -1]
    return with_largest_positive(component.reshape(len(activations), *activations.shape[2:])).to(activations)


def feature_explanation(activations: Tensor, k: float) -> Tensor:
    """Sum the locations of each channel that exceed its mean by ``k`` standard deviations, weighted by the mean.

    Constant channels have no such locations (10.1109/IPTA50016.2020.9286629).
    """
    flat = activations.flatten(2)
    mean = flat.mean(2, keepdim=True)
    exceeds = flat >= mean + k * flat.std(2, correction=0, keepdim=True)
    varies = ~is_flat(flat.flatten(0, 1)).reshape(mean.shape)
    return (mean * (exceeds & varies)).sum(1).reshape(len(activations), *activations.shape[2:])


def factorised_cam(activations: Tensor, gradients: Tensor, concepts: int) -> Tensor:
    """Weight the concepts of the activations by the mean gradient along each (arXiv 1806.10206).

    The concepts are non-negative factors of the channels, after the lowest value of each channel is subtracted if it
    is negative.
    """
    values = activations.flatten(2).double()
    values = values - values.amin(2, keepdim=True).clamp(max=0)
    channels, maps = non_negative_factors(values, concepts)
    weights = torch.einsum("nk,nkr->nr", gradients.flatten(2).mean(2).double(), channels)
    cam = torch.einsum("nr,nrp->np", weights, maps)
    return cam.reshape(len(activations), *activations.shape[2:]).to(activations)


def winsorised_weights(importances: Tensor, theta: float, low: float = 0.1) -> Tensor:
    """Return the weights of layers by their importances, both ``(N, L)``, as Winsor-CAM (arXiv 2507.10846).

    Positive importances above their ``theta``-th percentile are lowered to it, and then rescaled to [``low``, 1];
    equal ones have the weight 1, and those that are not positive the weight 0.

    >>> winsorised_weights(torch.tensor([[-1.0, 1.0, 3.0, 50.0]]), theta=50)
    tensor([[0.0000, 0.1000, 1.0000, 1.0000]])
    """
    weights = torch.zeros_like(importances)
    for row, values in zip(weights, relu_above_rounding(importances), strict=True):
        positive = values[None, values > 0]
        if positive.shape[1]:
            clipped = positive.clamp(max=percentile(positive, theta)[:, None])
            row[values > 0] = 1 if is_flat(clipped) else (low + (1 - low) * minmax(clipped))[0]
    return weights
