"""Targets as other libraries write them: callables from the output of one image to a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.errors import InputTypeError, TargetError, shown
from fusioncam.inference.output_reading import LOGITS
from fusioncam.inference.settings import Speed
from fusioncam.model.explained_model import ExplainedModel

# from the output of a network for one image to one number
OutputTarget = Callable[[Any], Any]


class TargetScores(nn.Module):
    """A network whose score ``j`` is that of target ``j``, ``(N, targets)``; the network itself is ``wrapped``."""

    def __init__(self, network: nn.Module, targets: Sequence[OutputTarget]) -> None:
        super().__init__()
        self.wrapped = network
        self.targets = tuple(targets)

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of every target for every image."""
        return torch.stack([self._row(output) for output in outputs_per_image(self.wrapped(x))])

    def _row(self, output: Any) -> Tensor:
        return torch.stack([_number(target, output) for target in self.targets])


def outputs_per_image(output: Any) -> Sequence[Any]:
    """Return the output of each image: the rows of a tensor, or of Hugging Face's ``.logits``, or a list's items.

    Raises :class:`TargetError` for anything else, such as a mapping.
    """
    tensor = output_tensor(output)
    if tensor is not None:
        return tensor.unbind(0)
    if isinstance(output, (list, tuple)):
        return output
    raise TargetError(
        f"targets read one image's output, and the network returned {type(output).__name__}: wrap the network in a "
        "module that returns a tensor or a list with one item per image"
    )


def output_tensor(output: Any) -> Tensor | None:
    """Return the output, or its ``.logits``, if that is a tensor."""
    found = getattr(output, "logits", output)
    return found if isinstance(found, Tensor) else None


def _number(target: OutputTarget, output: Any) -> Tensor:
    score = torch.as_tensor(target(output))
    if score.numel() != 1:
        raise TargetError(f"a target returns one number per image, {shown(target)} returned {tuple(score.shape)}")
    return score.reshape(()).float() if score.dtype != torch.float64 else score.reshape(())


def target_columns(
    network: nn.Module, targets: Sequence[OutputTarget], *, speed: Speed | None = None, **settings: Any
) -> tuple[ExplainedModel, Tensor]:
    """Return a model with a score per target, and the index ``(N,)`` of each image's target.

    A target that several images share is one score. ``settings`` are those of :class:`ExplainedModel`.
    """
    distinct = {id(target): target for target in targets}
    columns = list(distinct)
    chunk = None if speed is None else speed.chunk
    # targets are Python code, which a converted network could not follow
    model = ExplainedModel(
        TargetScores(network, list(distinct.values())), speed=Speed(chunk=chunk, engine="torch"), **settings
    )
    model.runner.reader.reading = LOGITS  # the scores are what the targets return
    return model, torch.tensor([columns.index(id(target)) for target in targets])


def require_targets(targets: object, images: int) -> list[OutputTarget]:
    """Return the targets; raise an error unless they are one callable for each image."""
    listed = [targets] * images if callable(targets) else targets
    if not isinstance(listed, (list, tuple)) or not all(callable(target) for target in listed):
        raise InputTypeError(
            f"expected a list of targets, such as ClassifierOutputTarget(281), one per image, got {shown(targets)}"
        )
    if len(listed) != images:
        raise TargetError(f"expected one target for each of {images} images, got {len(listed)}")
    return list(listed)
