"""Choose the classes to explain: an index, a name, the prediction or the most probable classes."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from fusioncam.data.labels import find_class
from fusioncam.errors import NonFiniteError, TargetError
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import probabilities_of


def predict_probabilities(model: ExplainedModel, x: Tensor) -> Tensor:
    """Return the probabilities ``(N, classes)`` on the CPU: softmax, or the sigmoid of a single output.

    Raises :class:`NonFiniteError` if they contain NaN or infinity.
    """
    probabilities = probabilities_of(model.logits(x).float()).cpu()
    if not probabilities.isfinite().all():
        raise NonFiniteError("the network's scores contain NaN or infinity")
    return probabilities


def choose_classes(target: int | str | None, probabilities: Tensor, labels: Sequence[str] | None) -> list[Tensor]:
    """Return the classes of a target as tensors ``(N,)``, one for each heatmap that an image gets.

    ``probabilities`` is ``(N, classes)``. Raises :class:`TargetError` for a class that does not exist.
    """
    images, classes = probabilities.shape
    if target is None:
        return [probabilities.argmax(1)]
    target = _index_or_name(target)
    if isinstance(target, int):
        if not 0 <= target < classes:
            raise TargetError(f"class {target} does not exist: choose an index from 0 to {classes - 1}")
        return [torch.full((images,), target)]
    count = requested_top(target)
    if count is not None:
        if not 1 <= count <= classes:
            raise TargetError(f"target '{target}' is out of range: choose from top1 to top{classes}")
        return list(probabilities.topk(count, dim=1).indices.unbind(1))
    if labels is None:
        raise TargetError(f"'{target}': this network has no class names; use an index, or give names by --labels")
    return [torch.full((images,), find_class(target, labels))]


def requested_top(target: str) -> int | None:
    """Return how many of the most probable classes a target requests, or None for a class name.

    >>> requested_top("top3"), requested_top("tabby")
    (3, None)
    """
    match = re.fullmatch(r"top-?(\d+)", target.strip(), re.IGNORECASE)
    return int(match[1]) if match else None


def _index_or_name(target: object) -> int | str:
    """Return integers of numpy and torch as Python integers; raise unless the target is an index or a name."""
    if isinstance(target, str):
        return int(target) if re.fullmatch(r"-?\d+", target.strip()) else target
    try:
        if isinstance(target, bool):
            raise TypeError
        return operator.index(target)  # type: ignore[arg-type] # raises TypeError for what is not an integer
    except TypeError:
        raise TargetError(f"target must be a class index or a class name, got {target!r}") from None


def require_label_per_class(labels: Sequence[str] | None, classes: int) -> None:
    """Raise :class:`TargetError` if there are class names, but not one for each class."""
    if labels is not None and len(labels) != classes:
        raise TargetError(f"{len(labels)} class names for a network of {classes} classes: name each class once")
