"""Choose the targets to explain: classes by index, name or probability, weights of classes, or functions."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusioncam.data.labels import find_class
from fusioncam.errors import NonFiniteError, TargetError
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import (
    ScoreFunction,
    Targets,
    as_targets,
    coefficients,
    probabilities_of,
    values_of,
)
from fusioncam.utils.text import short_label

Numbers = Sequence[float] | Tensor | NDArray[Any]
# the target of one image: a class by index, by name or as "top3", None for the predicted class, weights of classes
# in order or by class, or a function of the scores
ImageTarget = int | str | None | Numbers | Mapping[Any, float] | Callable[[Tensor], Tensor]


def predict_probabilities(model: ExplainedModel, x: Tensor) -> Tensor:
    """Return the probabilities ``(N, classes)`` on the CPU: softmax, or the sigmoid of a single output.

    Raises :class:`NonFiniteError` if they contain NaN or infinity.
    """
    probabilities = probabilities_of(model.logits(x).float()).cpu()
    if not probabilities.isfinite().all():
        raise NonFiniteError("the network's scores contain NaN or infinity")
    return probabilities


def choose_targets(target: ImageTarget, probabilities: Tensor, labels: Sequence[str] | None) -> list[Targets]:
    """Return the targets of a batch, one for each heatmap that an image gets.

    ``probabilities`` is ``(N, classes)``; each target is class indices ``(N,)``, weights ``(N, classes)`` or a
    function. Raises :class:`TargetError` for a class that does not exist.
    """
    images, classes = probabilities.shape
    if target is None:
        return [probabilities.argmax(1)]
    if isinstance(target, Mapping):
        return [_weights_by_class(target, classes, labels).expand(images, -1)]
    if callable(target):
        return [ScoreFunction(target)]
    if are_weights(target):
        return [_weights(target, probabilities)]
    chosen = index_or_name(target)
    count = requested_top(chosen) if isinstance(chosen, str) else None
    if count is None:
        return [torch.full((images,), _class_of(chosen, classes, labels))]
    if not 1 <= count <= classes:
        raise TargetError(f"target '{target}' is out of range: choose from top1 to top{classes}")
    return list(probabilities.topk(count, dim=1).indices.unbind(1))


def targets_of_images(targets: Sequence[ImageTarget], probabilities: Tensor, labels: Sequence[str] | None) -> Targets:
    """Return the targets of a batch whose images have a target each; indices become weights where some are weights.

    Raises :class:`TargetError` for a target of several classes, such as "top3", and for several functions.
    """
    chosen = [choose_targets(target, probabilities[n : n + 1], labels) for n, target in enumerate(targets)]
    several = next((target for target, found in zip(targets, chosen, strict=True) if len(found) > 1), None)
    if several is not None:
        raise TargetError(f"target '{several}' among those of several images: it must be the target of all images")
    rows = [found[0] for found in chosen]
    tensors = [row for row in rows if isinstance(row, Tensor)]
    if len(rows) == 1 or len(tensors) < len(rows):
        if len(rows) > 1:
            raise TargetError("several targets of a batch are functions: explain with batch_size=1")
        return rows[0]
    if any(row.is_floating_point() for row in tensors):
        tensors = [coefficients(row, probabilities[n : n + 1]) for n, row in enumerate(tensors)]
    return torch.cat(tensors)


def are_weights(target: object) -> bool:
    """Return whether a target is the weights of all classes: floating-point numbers in a sequence or a tensor.

    >>> are_weights([0, 1.0, -1.0]), are_weights([3, 5]), are_weights(torch.tensor(2))
    (True, False, False)
    """
    if isinstance(target, Tensor):
        return target.dim() > 0 and target.is_floating_point()
    if isinstance(target, np.ndarray):
        return target.ndim > 0 and target.dtype.kind == "f"
    numbers = target if isinstance(target, (list, tuple)) else ()
    return any(isinstance(one, float) for one in numbers) and all(isinstance(one, (int, float)) for one in numbers)


def requested_top(target: str) -> int | None:
    """Return how many of the most probable classes a target requests, or None for a class name.

    >>> requested_top("top3"), requested_top("tabby")
    (3, None)
    """
    match = re.fullmatch(r"top-?(\d+)", target.strip(), re.IGNORECASE)
    return int(match[1]) if match else None


def described(target: Targets, image: int, labels: Sequence[str] | None) -> tuple[int | str, str | None]:
    """Return a target of one image of the batch, and its label if the classes have names.

    >>> described(torch.tensor([[0.0, 1.0, -0.5]]), 0, ["ash", "birch, white birch", "elm"])
    ('1 - 0.5 * 2', 'birch - 0.5 * elm')
    """
    if isinstance(target, ScoreFunction):
        name = getattr(target.function, "__name__", type(target.function).__name__)
        return ("function" if name == "<lambda>" else name), None
    if not target.is_floating_point():
        index = int(target[image])
        return index, labels[index] if labels else None
    weights = {index: weight for index, weight in enumerate(target[image].tolist()) if weight}
    if list(weights.values()) == [1]:  # a class, among targets of which others are weights
        return described(torch.tensor(list(weights)), 0, labels)
    names = [short_label(label, "") for label in labels or ()]
    return _sum_text(weights, list(map(str, range(target.shape[1])))), _sum_text(weights, names) if names else None


def probability_of(target: Targets, image: int, probabilities: Tensor) -> float:
    """Return the probability of a class for one image of the batch, or the sum or function of probabilities."""
    row = target[image : image + 1]
    return float(values_of(row, probabilities[image : image + 1]))


def require_label_per_class(labels: Sequence[str] | None, classes: int) -> None:
    """Raise :class:`TargetError` if there are class names, but not one for each class."""
    if labels is not None and len(labels) != classes:
        raise TargetError(f"{len(labels)} class names for a network of {classes} classes: name each class once")


def _class_of(target: int | str, classes: int, labels: Sequence[str] | None) -> int:
    if isinstance(target, int):
        if not 0 <= target < classes:
            raise TargetError(f"class {target} does not exist: choose an index from 0 to {classes - 1}")
        return target
    if labels is None:
        raise TargetError(f"'{target}': this network has no class names; use an index, or give names by --labels")
    return find_class(target, labels)


def _weights_by_class(target: Mapping[Any, float], classes: int, labels: Sequence[str] | None) -> Tensor:
    weights = torch.zeros(classes)
    for name, weight in target.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise TargetError(f"the weight of class {name!r} must be a number, got {weight!r}")
        weights[_class_of(index_or_name(name), classes, labels)] += weight
    return _with_a_class(weights, target)


def _weights(target: Any, probabilities: Tensor) -> Tensor:
    weights = as_targets(torch.as_tensor(target, device="cpu").float(), probabilities)
    if not isinstance(weights, Tensor) or weights.shape != probabilities.shape:
        got = tuple(torch.as_tensor(target).shape)
        raise TargetError(f"the network has {probabilities.shape[1]} classes, got weights {got}: give one for each")
    return _with_a_class(weights, target)


def _with_a_class(weights: Tensor, target: object) -> Tensor:
    if not weights.any() or not weights.isfinite().all():
        raise TargetError(f"the weights of the target must be finite and not all 0, got {target!r}")
    return weights


def _sum_text(weights: Mapping[int, float], names: Sequence[str]) -> str:
    """Return a sum of classes as text; of more than four only the largest are named."""
    largest = sorted(weights, key=lambda index: -abs(weights[index]))[:4]
    text = ""
    for index in sorted(largest, key=lambda index: -weights[index]):
        sign = (" - " if text else "-") if weights[index] < 0 else " + " if text else ""
        factor = "" if abs(weights[index]) == 1 else f"{abs(weights[index]):g} * "
        text += f"{sign}{factor}{names[index]}"
    return text + (f" and {len(weights) - 4} others" if len(weights) > 4 else "")


def index_or_name(target: object) -> int | str:
    """Return integers of numpy and torch as Python integers; raise unless the target is an index or a name."""
    if isinstance(target, str):
        return int(target) if re.fullmatch(r"-?\d+", target.strip()) else target
    try:
        if isinstance(target, bool):
            raise TypeError
        return operator.index(target)  # type: ignore[arg-type] # raises TypeError for what is not an integer
    except TypeError:
        raise TargetError(f"target must be a class index or a class name, got {target!r}") from None
