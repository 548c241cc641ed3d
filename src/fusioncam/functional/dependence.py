"""How much outputs depend on each of several inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from fusioncam.functional.heatmaps import is_flat


def binary_hsic(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Return the Hilbert-Schmidt criterion ``(N, D)`` of binary inputs ``(M, D)`` and outputs ``(M, N)``.

    ``tr(K H L H) / M^2`` with the centring ``H``, the kernel ``K`` of equal inputs, and the Gaussian kernel ``L`` of
    the outputs, whose bandwidth is their median (arXiv 2206.06219). For a binary input ``z`` it is
    ``2 z^T (H L H) z / M^2``. It is 0 where the outputs are equal within rounding.

    >>> binary_hsic(torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([[0.1], [0.1], [0.3], [0.3]]))
    tensor([[0.2162, 0.0000]], dtype=torch.float64)
    """
    z, values = inputs.double(), outputs.T.double()
    width = values.median(1).values.abs().clamp(min=torch.finfo(values.dtype).tiny ** 0.5)
    distances = (values[:, :, None] - values[:, None]) / width[:, None, None]
    kernel = torch.expm1(-distances.square() / 2)  # centring removes the 1, which would round small differences
    centred = kernel - kernel.mean(1, keepdim=True)
    centred = centred - centred.mean(2, keepdim=True)
    found = 2 * (z * (centred @ z)).sum(1) / len(z) ** 2
    return found.clamp(min=0).where(~is_flat(outputs.T)[:, None], 0)


def total_sobol_indices(outputs: Tensor, changed: Tensor) -> Tensor:
    """Return the total-order Sobol indices ``(N, D)``: the share of variance in which each input takes part.

    ``outputs`` ``(M, N)`` are those of M designs, and ``changed`` ``(D, M, N)`` those of the same designs with one
    input drawn again: ``sum_m (f_m - f_m,i)^2 / (2 M Var(f))``, the estimator of Jansen (1999,
    10.1016/S0010-4655(98)00154-4). All outputs have the same distribution, so the variance is that of all of them. An
    index is 0 where they are equal within rounding.

    >>> total_sobol_indices(torch.tensor([[0.0], [1.0]]), torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]]]))
    tensor([[2., 0.]], dtype=torch.float64)
    """
    every = torch.cat([outputs[None], changed]).double().flatten(0, 1)
    centred = every - every.mean(0)
    # without this scale, the squares of tiny outputs would be 0
    scaled = centred / centred.abs().amax(0).clamp(min=torch.finfo(centred.dtype).tiny)
    parts = scaled.reshape(-1, *outputs.shape)
    squares = (parts[:1] - parts[1:]).square().mean(1).T
    indices = squares / (2 * scaled.var(0, correction=0)[:, None])
    return indices.where(~is_flat(every.T)[:, None], 0)
