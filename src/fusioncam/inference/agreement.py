"""Decide whether a changed network still returns the same scores."""

from __future__ import annotations

import torch
from torch import Tensor

# the logits of deep networks differ by some tens of roundings when sums are computed in another order
_ROUNDINGS = 1000


def scores_agree(scores: Tensor, reference: Tensor) -> bool:
    """Return whether the scores are those of the reference within rounding; scores that are not finite never are."""
    if scores.shape != reference.shape or not (reference.isfinite().all() and scores.isfinite().all()):
        return False
    tolerance = _ROUNDINGS * torch.finfo(reference.dtype).eps * reference.abs().max().item()
    return torch.allclose(scores, reference, rtol=0, atol=tolerance)
