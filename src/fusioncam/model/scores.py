"""Targets, and how a score is read from the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fusioncam.errors import NonFiniteError, TargetError, require_known
from fusioncam.functional.heatmaps import precise

READOUTS = ("logit", "probability")


def probabilities_of(logits: Tensor) -> Tensor:
    """Return the probabilities ``(N, classes)``: the softmax of the logits, or the sigmoid of a single column."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def _log_probabilities(logits: Tensor) -> Tensor:
    return F.logsigmoid(logits) if logits.shape[1] == 1 else logits.log_softmax(dim=1)


def _is_top(logits: Tensor) -> Tensor:
    """Return 1 for the (first) class with the highest logit, or for a single logit that is positive."""
    if logits.shape[1] == 1:
        return (logits > 0).to(logits.dtype)
    return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1)


_READERS: dict[str, Callable[[Tensor], Tensor]] = {
    "logit": lambda logits: logits,
    "probability": probabilities_of,
    # the residual softmax utility of ShapleyCAM (arXiv 2501.06261): the logit plus the logarithm of the probability
    "rest": lambda logits: logits + _log_probabilities(logits),
    # its mean over images is the accuracy
    "top-1": _is_top,
}
Target = int | Sequence[int] | Tensor


def as_targets(target: Target, x: Tensor) -> Tensor:
    """Return class indices ``(N,)``, one for each image of ``x``; a single index applies to all images.

    A floating ``(N, classes)`` tensor is returned too: the weights of a sum of scores, of which a class index is the
    simplest case. Raises :class:`TargetError` for anything else.
    """
    try:
        targets = torch.as_tensor(target, device=x.device)
    except (TypeError, ValueError, RuntimeError):
        raise TargetError(f"targets must be class indices, got {target!r}") from None
    if targets.is_floating_point() and targets.dim() == 2 and len(targets) == len(x):
        # autograd cannot save tensors that were made under inference mode
        return targets.clone().to(x.dtype)
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TargetError(f"targets must be class indices (integers), got {targets.dtype}: {targets.tolist()}")
    if targets.dim() > 1 or (targets.dim() == 1 and len(targets) != len(x)):
        raise TargetError(f"expected one target for each of {len(x)} images, got shape {tuple(targets.shape)}")
    if targets.is_inference():  # as above
        with torch.inference_mode(False):
            targets = targets.clone()
    return targets.long().expand(len(x))


def score_from_logits(logits: Tensor, target: Target, readout: str) -> Tensor:
    """Return the target's score ``(N,)`` from logits ``(N, classes)``: its "logit" or "probability".

    Raises :class:`TargetError` for a class that the network does not have, and :class:`NonFiniteError` for a score
    that is NaN or infinite.
    """
    return read_scores(logits, as_targets(target, logits), readout)


def read_scores(logits: Tensor, targets: Tensor, readout: str) -> Tensor:
    """Return the scores ``(N,)`` from logits ``(N, classes)`` and the result of :func:`as_targets`."""
    require_known("readout", readout, _READERS)
    values = _READERS[readout](precise(logits))
    scores = _weighted(values, targets) if targets.is_floating_point() else _chosen(values, targets)
    if not scores.isfinite().all():
        value = scores[~scores.isfinite()][0].item()
        raise NonFiniteError(f"the network returned {value} for class {targets[0].tolist()}: check weights and input")
    return scores


def _chosen(values: Tensor, targets: Tensor) -> Tensor:
    classes = values.shape[1]
    wrong = targets[(targets < 0) | (targets >= classes)]
    if len(wrong):
        raise TargetError(f"the target must be an index from 0 to {classes - 1}, got {int(wrong[0])}")
    return values.gather(1, targets[:, None])[:, 0]


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    if weights.shape != values.shape:
        raise TargetError(f"expected weights of shape {tuple(values.shape)}, got {tuple(weights.shape)}")
    return (values * weights).sum(1)
