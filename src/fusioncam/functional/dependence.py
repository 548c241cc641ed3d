"""How much outputs depend on binary inputs."""

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
