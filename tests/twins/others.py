"""Combinations and averages of methods, and the baselines."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from .common import s
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
