"""Factorise non-negative matrices into a few non-negative parts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# against division by 0; and the least value of the first factors, in units of the mean of a matrix
_EPS, _LEAST = 1e-12, 0.01


def non_negative_factors(values: Tensor, rank: int, rounds: int = 100) -> tuple[Tensor, Tensor]:
    """Return non-negative factors ``(N, K, R)`` and ``(N, R, P)`` of non-negative matrices ``(N, K, P)``.

    Multiplicative updates reduce the squared error (Lee and Seung 2001, eq. 4) from the start of
    :func:`_initial_factors`; nothing is random. ``rank`` is at most the smaller side of the matrices.
    """
    left, right = _initial_factors(values, min(rank, *values.shape[1:]))
    for _ in range(rounds):
        right = right * (left.mT @ values) / (left.mT @ left @ right + _EPS)
        left = left * (values @ right.mT) / (left @ (right @ right.mT) + _EPS)
    return left, right


def _initial_factors(values: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the positive parts of the singular vectors, at least ``_LEAST`` times the mean of a matrix.

    Of both signs of a pair of vectors, the one counts whose positive parts are longer (Boutsidis and Gallopoulos
    2008, 10.1016/j.patcog.2007.09.010). A 0 would stay 0 in every update.
    """
    vectors, sizes, others = torch.linalg.svd(values, full_matrices=False)
    rounding = torch.finfo(values.dtype).eps * max(values.shape[1:]) * sizes[:, :1]
    sizes = sizes.where(sizes > rounding, 0)[:, :rank]
    pair = (vectors[:, :, :rank], others.mT[:, :, :rank])
    lengths = [torch.stack([(sign * part).relu().norm(dim=1) for part in pair]).prod(0) for sign in (1, -1)]
    sign = torch.where(lengths[0] >= lengths[1], 1, -1)[:, None]
    scale = (sizes * torch.maximum(*lengths)).sqrt()[:, None]
    least = _LEAST * values.mean((1, 2), keepdim=True) + _EPS
    units = (F.normalize((sign * part).relu(), dim=1) for part in pair)
    left, right = (torch.maximum(scale * unit, least) for unit in units)
    return left, right.mT
