"""Combinations and averages of methods, and the baselines."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from .common import percentile, s
from .fusion import fusion_cam
from .gradient import grad_cam, layer_cam, normal
from .region import score_cam


def multiscale(toy, x: Tensor, c: int, finer: tuple[str, ...] = ()) -> Tensor:
    """Fusion-CAM plus the maps of earlier layers, from coarse to fine, with weights of 1/2 and 1/4."""
    L = fusion_cam(toy, x, c)
    for weight, layer in zip((0.5, 0.25), finer, strict=False):
        L = L + weight * layer_cam(toy, x, c, layer)
    return s(L)


def mean_of_two(toy, x: Tensor, c: int) -> Tensor:
    return s((grad_cam(toy, x, c) + score_cam(toy, x, c)) / 2)


def multi_layer(toy, x: Tensor, c: int, layers: tuple[str, ...] = ("features",)) -> Tensor:
    return s(sum(layer_cam(toy, x, c, layer) for layer in layers) / len(layers))


def augmented(toy, x: Tensor, c: int, samples: int = 4, std: float = 0.1) -> Tensor:
    L = grad_cam(toy, x, c) + grad_cam(toy, x.flip(-1), c).flip(-1)
    for z in normal((samples, *x.shape), 0, x):
        L = L + grad_cam(toy, x + std * z, c)
    return s(L / (samples + 2))


def cas_cam(toy, x: Tensor, c: int, K: int = 3, theta: float = 5.0, top: float = 10.0, decay: float = 0.1) -> Tensor:
    """CasCAM with one network: I_k = I_(k-1) exp(-theta T(H_(k-1))) in [0, 1], and H = sum_k w_k T(H_k)."""
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    if len(x) != 3:
        mean, std = ([sum(values) / 3] * len(x) for values in (mean, std))
    mean, std = (torch.tensor(values, dtype=x.dtype).reshape(-1, *[1] * (x.dim() - 1)) for values in (mean, std))
    Z = sum(math.exp(-decay * k) for k in range(K))
    L, I = torch.zeros_like(x[0]), x * std + mean  # noqa: E741 # as in the paper
    for k in range(K):
        H = grad_cam(toy, (I - mean) / std, c)
        tau = percentile(H, 100 - top)
        kept = [v if v >= tau - 1e-6 else 0.0 for v in H.flatten().tolist()]
        T = torch.tensor(kept, dtype=x.dtype).reshape(H.shape)
        L = L + math.exp(-decay * k) / Z * T
        I = I * torch.exp(-theta * T)  # noqa: E741
    return s(L)


def guided_filter(toy, x: Tensor, c: int, r: float = 1 / 7, eps: float = 1e-3) -> Tensor:
    """Grad-CAM after the guided filter of He, Sun and Tang (2013), equations 14 to 16; p is the map, I its guide."""
    p, image = grad_cam(toy, x, c), (x - x.min()) / (x.max() - x.min())
    r = max(1, round(r * min(p.shape)))
    pixels = list(itertools.product(*map(range, p.shape)))

    def window(k):
        return [i for i in pixels if all(abs(u - v) <= r for u, v in zip(i, k, strict=True))]

    a, b = {}, {}
    for k in pixels:
        I_k = torch.stack([image[(slice(None), *i)] for i in window(k)])
        p_k = torch.stack([p[i] for i in window(k)])
        mu, p_bar = I_k.mean(0), p_k.mean()
        Sigma = (I_k - mu).T @ (I_k - mu) / len(I_k)
        a[k] = torch.linalg.inv(Sigma + eps * torch.eye(len(mu)).to(mu)) @ ((I_k * p_k[:, None]).mean(0) - mu * p_bar)
        b[k] = p_bar - a[k] @ mu
    q = torch.zeros_like(p)
    for i in pixels:
        q[i] = sum(a[k] @ image[(slice(None), *i)] + b[k] for k in window(i)) / len(window(i))
    return s(q)


def random(toy, x: Tensor, c: int) -> Tensor:
    return s(torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(0)).to(x.dtype))


def center(toy, x: Tensor, c: int, width: float = 0.25) -> Tensor:
    L = torch.zeros(x.shape[1:], dtype=x.dtype)
    for pixel in itertools.product(*map(range, L.shape)):
        distance = [(p - (side - 1) / 2) / (width * side) for p, side in zip(pixel, L.shape, strict=True)]
        L[pixel] = math.exp(-sum(d * d for d in distance) / 2)
    return s(L)


def ones(toy, x: Tensor, c: int) -> Tensor:
    return torch.ones(x.shape[1:], dtype=x.dtype)


def edges(toy, x: Tensor, c: int) -> Tensor:
    """The gradient magnitude of the mean over channels by the Sobel operator; borders are replicated."""
    grey = x.mean(0)
    L = torch.zeros_like(grey)
    for pixel in itertools.product(*map(range, grey.shape)):
        derivatives = [0.0] * grey.dim()
        for step in itertools.product((-1, 0, 1), repeat=grey.dim()):
            near = tuple(min(max(p + d, 0), side - 1) for p, d, side in zip(pixel, step, grey.shape, strict=True))
            for axis, d in enumerate(step):
                smooth = math.prod(2 - abs(e) for other, e in enumerate(step) if other != axis)
                derivatives[axis] += d * smooth * float(grey[near])
        L[pixel] = math.sqrt(sum(derivative**2 for derivative in derivatives))
    return s(L)
