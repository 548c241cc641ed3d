"""Grad-CAM (arXiv 1610.02391, eq. 1 and 2) and the gradient map of Union-CAM."""

from __future__ import annotations

import torch
from torch import Tensor

from .common import maps_and_gradients, percentile, relu, s, up


def grad_cam(toy, x: Tensor, c: int) -> Tensor:
    A, dA = maps_and_gradients(toy, x, c)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        Z = dA[k].numel()
        alpha = dA[k].sum() / Z
        L = L + alpha * A[k]
    return s(up(relu(L), x.shape[1:]))


def denoised_grad_cam(toy, x: Tensor, c: int, theta: float = 10) -> Tensor:
    A, dA = maps_and_gradients(toy, x, c)
    L = torch.zeros_like(A[0])
    for k in range(len(A)):
        tau = percentile(dA[k], theta)
        W = torch.tensor([g if g >= tau and g > 0 else 0.0 for g in dA[k].flatten().tolist()], dtype=x.dtype)
        W = W.reshape(dA[k].shape)
        L = L + W / (W.sum() + 1e-8) * A[k]
    return s(up(L, x.shape[1:]))
