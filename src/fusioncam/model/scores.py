"""Targets, and what is read from a row of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fusioncam.errors import NonFiniteError, TargetError, require_known
from fusioncam.functional.heatmaps import precise

READOUTS = ("logit", "probability")
_READERS: dict[str, Callable[[Tensor], Tensor]] = {
    "logit": lambda logits: logits,
    "probability": lambda logits: logits.softmax(dim=1),
    # the residual softmax utility of ShapleyCAM (arXiv 2501.06261): the logit and the logarithm of the probability
    "rest": lambda logits: logits + logits.log_softmax(dim=1),
    # 1 for the class with the highest logit, the first of equal ones: an accuracy once it is averaged
    "top-1": lambda logits: torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1),
}
Target = int | Sequence[int] | Tensor


def as_targets(target: Target, x: Tensor) -> Tensor:
    """Give class indices ``(N,)``, one for each image of ``x``; one index serves all.

    A floating ``(N, classes)`` passes too: weights of a sum of scores, of which an index is the simplest case.
    """
    try:
        targets = torch.as_tensor(target, device=x.device)
    except (TypeError, ValueError, RuntimeError):
        raise TargetError(f"targets are class indices, got {target!r}") from None
    if targets.is_floating_point() and targets.dim() == 2 and len(targets) == len(x):
        # autograd cannot save tensors that were made under inference mode
        return targets.clone().to(x.dtype)
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TargetError(f"targets are class indices, got {targets.dtype}: {targets.tolist()}")
    if targets.dim() > 1 or (targets.dim() == 1 and len(targets) != len(x)):
        raise TargetError(f"expected one target for each of {len(x)} images, got {tuple(targets.shape)}")
    return targets.long().expand(len(x))


def read(logits: Tensor, targets: Tensor, readout: str) -> Tensor:
    """Read the targets' ``(N,)`` scores from logits ``(N, classes)``."""
    require_known("readout", readout, _READERS)
    values = _READERS[readout](precise(logits))
    scores = _weighted(values, targets) if targets.is_floating_point() else _chosen(values, targets)
    if not scores.isfinite().all():
        raise NonFiniteError(
            f"the network gave {scores[~scores.isfinite()][0].item()} for class {targets[0].tolist()}"
        )
    return scores


def _chosen(values: Tensor, targets: Tensor) -> Tensor:
    classes = values.shape[1]
    wrong = targets[(targets < 0) | (targets >= classes)]
    if len(wrong):
        raise TargetError(f"class {int(wrong[0])} of {classes} classes: give an index from 0 to {classes - 1}")
    return values.gather(1, targets[:, None])[:, 0]


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    if weights.shape != values.shape:
        raise TargetError(f"weights for {tuple(values.shape)} scores, got {tuple(weights.shape)}")
    return (values * weights).sum(1)
