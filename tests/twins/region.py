"""Score-CAM (arXiv 1910.01279, algorithm 1), in the forms of its public codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .common import logit, maps_and_gradients, probability, relu, s, up


def score_cam(toy, x: Tensor, c: int) -> Tensor:
    """Masks normalised after upsampling, logits, a softmax over the channels, raw channels."""
    A, _ = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    living = [k for k in range(len(A)) if A[k].min() != A[k].max()]
    S = {k: logit(toy, x * s(up(A[k], size)), c) for k in living}
    Z = sum(math.exp(S[k] - max(S.values())) for k in living)
    L = torch.zeros(size, dtype=x.dtype)
    for k in living:
        L = L + math.exp(S[k] - max(S.values())) / Z * up(A[k], size)
    return s(relu(L))


def score_cam_xplaincam(toy, x: Tensor, c: int) -> Tensor:
    """Masks normalised before upsampling, probabilities as they are, normalised channels."""
    A, _ = maps_and_gradients(toy, x, c)
    size = x.shape[1:]
    L = torch.zeros(size, dtype=x.dtype)
    for k in range(len(A)):
        M = up(s(A[k]), size)
        L = L + probability(toy, x * M, c) * M
    return s(relu(L))
