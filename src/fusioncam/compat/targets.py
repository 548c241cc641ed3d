"""Targets as other libraries write them: callables from the output of one image to a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.errors import InputTypeError, TargetError, shown
from fusioncam.inference.output_reading import LOGITS
from fusioncam.inference.outputs import part_of
from fusioncam.model.explained_model import ExplainedModel

# from the output of a network for one image to one number
OutputTarget = Callable[[Any], Any]


def target_scores(targets: Sequence[OutputTarget], output: Any) -> Tensor:
    """Return the score of every target for every image ``(N, targets)``, from the output of a network."""
    rows = [torch.stack([_number(target, one) for target in targets]) for one in outputs_per_image(output)]
    return torch.stack(rows)


def outputs_per_image(output: Any) -> Sequence[Any]:
    """Return the output of each image: the rows of a tensor, also one inside the output, or the items of a list.

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
    """Return the output if it is a tensor, or its ``logits`` or only part if that is one."""
    found = part_of(output, None)
    return found if isinstance(found, Tensor) else None


def _number(target: OutputTarget, output: Any) -> Tensor:
    score = torch.as_tensor(target(output))
    if score.numel() != 1:
        raise TargetError(f"a target returns one number per image, {shown(target)} returned {tuple(score.shape)}")
    return score.reshape(()).float() if score.dtype != torch.float64 else score.reshape(())


def target_columns(
    network: nn.Module, targets: Sequence[OutputTarget], **settings: Any
) -> tuple[ExplainedModel, Tensor]:
    """Return a model with a score per target, and the index ``(N,)`` of each image's target.

    A target that several images share is one score. ``settings`` are those of :class:`ExplainedModel`.
    """
    distinct = {id(target): target for target in targets}
    columns = list(distinct)
    model = ExplainedModel(network, read=partial(target_scores, list(distinct.values())), **settings)
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
