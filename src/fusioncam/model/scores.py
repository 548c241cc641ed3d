"""Targets, and how a score is read from the logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

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


@dataclass(frozen=True)
class ScoreFunction:
    """A target that is a function of the scores ``(B, classes)`` of any batch: one number ``(B,)`` for each row.

    It is the same for every image, so that an index of images selects nothing.
    """

    function: Callable[[Tensor], Tensor]

    def __getitem__(self, images: object) -> ScoreFunction:
        return self

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the target's scores ``(B,)``; raise :class:`TargetError` if the function returns something else."""
        values = self.function(scores)
        if not isinstance(values, Tensor) or values.shape != scores.shape[:1]:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise TargetError(
                f"a target that is a function must return one number for each row of the scores "
                f"{tuple(scores.shape)}, a tensor ({len(scores)},), got {got}"
            )
        return values


Target = int | Sequence[int] | Sequence[float] | Tensor | Mapping[int, float] | Callable[[Tensor], Tensor] | None
# what as_targets returns: class indices (N,), weights of the classes (N, classes), or a function
Targets = Tensor | ScoreFunction


def as_targets(target: Target, x: Tensor) -> Targets:
    """Return class indices ``(N,)``, one for each image of ``x``; a single index applies to all images.

    Floating-point numbers ``(classes,)`` or ``(N, classes)`` are the weights of a sum of scores, of which a class
    index is the simplest case, and so is a mapping from classes to weights. A callable is a function from the scores
    ``(B, classes)`` of any batch to ``(B,)``. Raises :class:`TargetError` for anything else.
    """
    if isinstance(target, Mapping):
        return ScoreFunction(partial(_weighted_classes, dict(target)))
    if callable(target):
        return target if isinstance(target, ScoreFunction) else ScoreFunction(target)
    try:
        targets = torch.as_tensor(target, device=x.device)
    except (TypeError, ValueError, RuntimeError):
        raise TargetError(f"targets must be class indices, got {target!r}") from None
    if targets.is_floating_point() and _are_weights(targets, len(x)):
        # autograd cannot save tensors that were made under inference mode
        return targets.clone().to(x.dtype).expand(len(x), -1)
    _require_indices(targets, len(x))
    if targets.is_inference():  # as above
        with torch.inference_mode(False):
            targets = targets.clone()
    targets = targets.long()
    # the same object if nothing changes: memoised calls compare tensors by identity
    return targets if targets.dim() else targets.expand(len(x))


def _require_indices(targets: Tensor, images: int) -> None:
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TargetError(
            f"targets must be class indices (integers), or floating-point weights of the classes, one row for each "
            f"of {images} images, got {targets.dtype}: {targets.tolist()}"
        )
    if targets.dim() > 1 or (targets.dim() == 1 and len(targets) != images):
        raise TargetError(f"expected one target for each of {images} images, got shape {tuple(targets.shape)}")


def _are_weights(numbers: Tensor, images: int) -> bool:
    """Return whether floating-point numbers are weights of several classes, for all images or for each of them."""
    return (numbers.dim() == 1 and len(numbers) > 1) or (numbers.dim() == 2 and len(numbers) in (1, images))


def coefficients(target: Target, logits: Tensor) -> Tensor:
    """Return the derivative ``(N, classes)`` of the target's logit with respect to each class's logit.

    It is 1 for a class and 0 for the others, or the weights of a sum.
    """
    targets = as_targets(target, logits)
    with torch.inference_mode(False), torch.enable_grad():
        values = logits.detach().clone().requires_grad_()
        score = read_scores(values, targets, "logit").sum()
        found = torch.autograd.grad(score, values, allow_unused=True)[0] if score.requires_grad else None
    return torch.zeros_like(logits) if found is None else found


def score_from_logits(logits: Tensor, target: Target, readout: str) -> Tensor:
    """Return the target's score ``(N,)`` from logits ``(N, classes)``: its "logit" or "probability".

    Raises :class:`TargetError` for a class that the network does not have, and :class:`NonFiniteError` for a score
    that is NaN or infinite.
    """
    return read_scores(logits, as_targets(target, logits), readout)


def read_scores(logits: Tensor, targets: Targets, readout: str) -> Tensor:
    """Return the scores ``(N,)`` from logits ``(N, classes)`` and the result of :func:`as_targets`."""
    require_known("readout", readout, _READERS)
    values = _READERS[readout](precise(logits))
    scores = values_of(targets, values)
    if not scores.isfinite().all():
        value = scores[~scores.isfinite()][0].item()
        of = f"class {targets[0].tolist()}" if isinstance(targets, Tensor) else "the target"
        raise NonFiniteError(f"the network returned {value} for {of}: check weights and input")
    return scores


def values_of(targets: Targets, values: Tensor) -> Tensor:
    """Return the targets' values ``(N,)`` from one value for each class, ``(N, classes)``."""
    if isinstance(targets, ScoreFunction):
        return targets(values)
    return _weighted(values, targets) if targets.is_floating_point() else _chosen(values, targets)


def _chosen(values: Tensor, targets: Tensor) -> Tensor:
    classes = values.shape[1]
    wrong = targets[(targets < 0) | (targets >= classes)]
    if len(wrong):
        raise TargetError(f"the target must be an index from 0 to {classes - 1}, got {int(wrong[0])}")
    return values.gather(1, targets[:, None])[:, 0]


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    if weights.shape != values.shape:
        raise TargetError(
            f"the target has weights of {weights.shape[1]} classes for {len(weights)} images, and the scores are "
            f"{tuple(values.shape)}: give one weight for each class, or class indices as integers"
        )
    return (values * weights).sum(1)


def _weighted_classes(weights: Mapping[int, float], values: Tensor) -> Tensor:
    """Return the sum of the scores of some classes times their weights."""
    if not weights or any(isinstance(index, bool) or not isinstance(index, int) for index in weights):
        raise TargetError(f"a target of several classes maps class indices to weights, got {dict(weights)!r}")
    classes = torch.tensor(list(weights), device=values.device)
    if not ((classes >= 0) & (classes < values.shape[1])).all():
        raise TargetError(f"the target must have indices from 0 to {values.shape[1] - 1}, got {dict(weights)!r}")
    return values[:, classes] @ values.new_tensor(list(weights.values()))
