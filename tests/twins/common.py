"""Operations that the papers use without definition."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def up(A: Tensor, size: tuple[int, ...]) -> Tensor:
    """Upsample one map linearly, with aligned pixel centres."""
    mode = ("linear", "bilinear", "trilinear")[A.dim() - 1]
    return F.interpolate(A[None, None], size=size, mode=mode, align_corners=False)[0, 0]


def s(A: Tensor) -> Tensor:
    """Normalise one map to [0, 1] (Score-CAM, eq. 5); a constant one to 0."""
    low, high = A.min(), A.max()
    return torch.zeros_like(A) if low == high else (A - low) / (high - low)


def relu(A: Tensor) -> Tensor:
    return torch.maximum(A, torch.zeros_like(A))


def percentile(A: Tensor, theta: float) -> float:
    return float(np.percentile(A.numpy(), theta))


def maps_and_gradients(toy, x: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """Return A^k and dY^c/dA^k of one image (C, *s)."""
    A = toy.features(x[None]).detach().requires_grad_()
    toy.head(A.clone())[0, c].backward()
    return A.detach()[0], A.grad[0]


def logit(toy, x: Tensor, c: int) -> float:
    with torch.no_grad():
        return float(toy(x[None])[0, c])


def probability(toy, x: Tensor, c: int) -> float:
    with torch.no_grad():
        Y = toy(x[None])[0].tolist()
    Z = sum(math.exp(y - max(Y)) for y in Y)
    return math.exp(Y[c] - max(Y)) / Z
