"""Decide whether a changed network still returns the same scores."""

from __future__ import annotations

import torch
from torch import Tensor


def scores_agree(scores: Tensor, reference: Tensor, roundings: int = 1000) -> bool:
    """Return whether the scores are those of the reference within rounding.

    ``roundings`` is how many errors of rounding the largest score may have: those of deep networks differ by some
    tens when sums are computed in another order. Scores that are not finite never agree.
    """
    if scores.shape != reference.shape or not (reference.isfinite().all() and scores.isfinite().all()):
        return False
    tolerance = roundings * torch.finfo(reference.dtype).eps * reference.abs().max().item()
    return torch.allclose(scores, reference, rtol=0, atol=tolerance)
