"""Fine-tune a network on images with missing parts, so that metrics which remove parts stay in its domain.

``IDSDS`` as published and F-Fidelity measure such a network::

    tuned = finetune(model, images, labels, MissingPatch(), folder="tuned/idsds")
    METRICS["idsds"](tuned, x, target, heatmaps)

    tuned = finetune(model, images, labels, MissingPixels(), folder="tuned/f-fidelity")
    METRICS["f-fidelity"](tuned, x, target, heatmaps)
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fusioncam.errors import require_count, require_number
from fusioncam.inference.training import Change, OnEpoch, Training, train
from fusioncam.metrics.grid_pointing_game import tile_masks
from fusioncam.metrics.masking import pixel_order
from fusioncam.model.arguments import as_explained
from fusioncam.model.explained_model import ExplainedModel

_BATCH = 250


@dataclass(frozen=True)
class MissingPatch:
    """Remove one random patch of ``side`` patches per side from a random ``share`` of the images (IDSDS).

    The patch shows 0, the mean colour after normalisation. Half of the images stay whole, as in arXiv 2407.11910.
    """

    side: int = 4
    share: float = 0.5

    def __post_init__(self) -> None:
        require_count("side", self.side)
        require_number("share", self.share, 0, 1)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed images ``(B, C, *s)``."""
        patches = tile_masks(self.side, x.shape[2:])
        chosen = torch.randint(0, len(patches), (len(x),), generator=generator)
        missing = torch.rand(len(x), generator=generator) < self.share
        hidden = patches[chosen] & missing.reshape(-1, *[1] * (x.dim() - 2))
        return x.masked_fill(hidden[:, None].to(x.device), 0)


@dataclass(frozen=True)
class MissingPixels:
    """Remove a random ``share`` of the pixels of every image (F-Fidelity, arXiv 2410.02970); they show 0."""

    share: float = 0.1

    def __post_init__(self) -> None:
        require_number("share", self.share, 0, 1)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed images ``(B, C, *s)``."""
        ranks = pixel_order(torch.rand(len(x), *x.shape[2:], generator=generator))
        hidden = ranks < round(self.share * ranks[0].numel())
        return x.masked_fill(hidden[:, None].to(x.device), 0)


def finetune(
    model: ExplainedModel | nn.Module,
    images: Tensor,
    labels: Tensor,
    change: Change | None = None,
    training: Training | None = None,
    folder: str | Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> ExplainedModel:
    """Return the model with a copy of its network, fine-tuned on images ``(N, C, *s)`` with labels ``(N,)``.

    The same arguments return the same network on one machine. The given network stays unchanged.

    Args:
        model: the model, or a network.
        images: inputs of the network ``(N, C, *s)``.
        labels: their classes ``(N,)``.
        change: is called with each batch and a ``torch.Generator`` and returns the batch to train on:
            :class:`MissingPatch`, :class:`MissingPixels`, your own function, or None for the images as they are.
        training: the number of epochs, the batch size and so on.
        folder: each epoch is stored there, and after an interruption the same call continues.
        on_epoch: is called with the number of each epoch and its mean loss.

    Returns:
        A model with the trained copy of the network.

    Raises:
        ShapeError: for another number of labels.
        ResultsError: for a folder of another training or a damaged one.

    Examples:
        ```python
        from fusioncam.metrics.finetuning import MissingPatch, finetune

        tuned = finetune(model, images, labels, MissingPatch())
        values = fc.METRICS["idsds"](tuned, x, target, fc.METHODS["grad-cam"](tuned, x, target))
        ```
    """
    model = as_explained(model)
    where = None if folder is None else Path(folder)
    with torch.inference_mode(False):
        tuned = model.with_network(copy.deepcopy(model.network).requires_grad_())
        train(tuned.runner, images, torch.as_tensor(labels), change, training or Training(), where, on_epoch)
    return tuned


def accuracy(model: ExplainedModel | nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images ``(N, C, *s)`` whose class with the highest score is the label ``(N,)``."""
    model = as_explained(model)
    correct = 0
    for x, expected in batches(images, torch.as_tensor(labels)):
        correct += int((model.logits(x).argmax(1).cpu() == expected.cpu()).sum())
    return correct / len(images)


def batches(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same rows of all tensors ``(N, ...)``, a batch at a time."""
    return zip(*(torch.split(tensor, _BATCH) for tensor in tensors), strict=True)
