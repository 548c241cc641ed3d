"""What a user asks to have explained -> class indices."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from fusioncam.data.labels import find_class
from fusioncam.errors import TargetError


def top(target: str) -> int:
    """Give the number of classes that ``top3`` asks for; 1 for a class name."""
    match = re.fullmatch(r"top-?(\d+)", target.strip(), re.IGNORECASE)
    return int(match[1]) if match else 1


def choose(target: int | str | None, probabilities: Tensor, labels: Sequence[str] | None) -> list[Tensor]:
    """Turn what a user asks for into classes ``(N,)``, one tensor for each heatmap an image gets.

    ``probabilities`` is ``(N, classes)``. Raises :class:`TargetError` for a class that is not there.
    """
    images, classes = probabilities.shape
    if target is None:
        return [probabilities.argmax(1)]
    target = _index_or_name(target)
    if isinstance(target, int):
        if not 0 <= target < classes:
            raise TargetError(f"class {target} of {classes} classes: give an index from 0 to {classes - 1}")
        return [torch.full((images,), target)]
    if re.fullmatch(r"top-?\d+", target.strip(), re.IGNORECASE):
        if not 1 <= top(target) <= classes:
            raise TargetError(f"'{target}' of {classes} classes: ask for top1 to top{classes}")
        return list(probabilities.topk(top(target), dim=1).indices.unbind(1))
    if labels is None:
        raise TargetError(f"'{target}': this network has no class names: give an index, or the names with --labels")
    return [torch.full((images,), find_class(target, labels))]


def _index_or_name(target: object) -> int | str:
    """Take numpy's and torch's integers for what they are, and refuse what is neither index nor name."""
    if isinstance(target, str):
        return int(target) if re.fullmatch(r"-?\d+", target.strip()) else target
    try:
        if isinstance(target, bool):
            raise TypeError
        return operator.index(target)  # type: ignore[arg-type] # that is the question
    except TypeError:
        raise TargetError(f"expected a class index or name, got {target!r}") from None


def fitting(labels: Sequence[str] | None, classes: int) -> Sequence[str] | None:
    """Hand on the class names if there are as many as classes, or none; else raise :class:`TargetError`."""
    if labels is not None and len(labels) != classes:
        raise TargetError(f"{len(labels)} class names for a network of {classes} classes: give as many")
    return labels
