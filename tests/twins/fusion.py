"""Union-CAM and Fusion-CAM (arXiv 2603.05386), in our variant and those of the two public codes."""

from __future__ import annotations

import torch
from torch import Tensor

from .common import percentile, probability, s
from .gradient import denoised_grad_cam, grad_cam
from .region import score_cam, score_cam_xplaincam


def gain(toy, x: Tensor, M: Tensor, c: int) -> float:
    return probability(toy, x * M, c) - probability(toy, torch.zeros_like(x), c)


def shares(a: float, b: float) -> tuple[float, float]:
    a, b = max(a, 0.0), max(b, 0.0)
    return (0.5, 0.5) if a + b == 0 else (a / (a + b), b / (a + b))


def official(a: float, b: float) -> tuple[float, float]:
    return a / (a + b + 1e-8), b / (a + b + 1e-8)


def denoise(G: Tensor, theta: float, above: bool) -> Tensor:
    tau = percentile(G, theta)
    D = G.clone().flatten()
    for i, g in enumerate(D.tolist()):
        if g < tau or (above and g == tau):
            D[i] = 0
    return D.reshape(G.shape)


def similarity_fusion(L1: Tensor, L2: Tensor) -> Tensor:
    S = (1 - (L1 - L2).abs()).clip(0, 1)
    return s(S * torch.maximum(L1, L2) + (1 - S) * (L1 + L2) / 2)


def fusion_cam(toy, x: Tensor, c: int, theta: float = 10) -> Tensor:
    D, R = denoise(grad_cam(toy, x, c), theta, above=False), score_cam(toy, x, c)
    w_D, w_R = shares(gain(toy, x, D, c), gain(toy, x, R, c))
    U = s(w_D * D + w_R * R)
    w_U, w_R = shares(gain(toy, x, U, c), gain(toy, x, R, c))
    F = similarity_fusion(w_U * U, w_R * R)
    return R if F.min() == F.max() else F


def fusion_cam_official(toy, x: Tensor, c: int) -> Tensor:
    D, R = s(denoise(grad_cam(toy, x, c), 10, above=False)), score_cam(toy, x, c)
    w_D, w_R = official(gain(toy, x, D, c), gain(toy, x, R, c))
    U = s(w_D * D + w_R * R)
    w_U, w_R = official(gain(toy, x, U, c), w_R)
    return similarity_fusion(w_U * U, w_R * R)


def fusion_cam_xplaincam(toy, x: Tensor, c: int) -> Tensor:
    D, R = denoise(grad_cam(toy, x, c), 10, above=True), score_cam_xplaincam(toy, x, c)
    U = s(gain(toy, x, D, c) * D + gain(toy, x, R, c) * R)
    return similarity_fusion(gain(toy, x, U, c) * U, gain(toy, x, R, c) * R)


def union_cam(toy, x: Tensor, c: int) -> Tensor:
    D, R = denoised_grad_cam(toy, x, c), score_cam(toy, x, c)
    w_D, w_R = shares(gain(toy, x, D, c), gain(toy, x, R, c))
    U = s(w_D * D + w_R * R)
    return U if gain(toy, x, U, c) > gain(toy, x, R, c) else R


def union_cam_official(toy, x: Tensor, c: int) -> Tensor:
    D, R = denoised_grad_cam(toy, x, c), score_cam(toy, x, c)
    w_D, w_R = official(gain(toy, x, D, c), gain(toy, x, R, c))
    U = s(w_D * D + w_R * R)
    g_U, g_R = gain(toy, x, U, c), gain(toy, x, R, c)
    return s(g_U * U) if g_U > g_R else s(g_R * R)


def union_cam_xplaincam(toy, x: Tensor, c: int) -> Tensor:
    D, R = denoised_grad_cam(toy, x, c), score_cam_xplaincam(toy, x, c)
    U = s(gain(toy, x, D, c) * D + gain(toy, x, R, c) * R)
    return U if gain(toy, x, U, c) > gain(toy, x, R, c) else R
