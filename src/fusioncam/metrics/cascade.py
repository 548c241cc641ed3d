"""Train the networks of CasCAM: each on images without the evidence that the networks before it used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from fusioncam.inference.context import without_flat_warnings
from fusioncam.inference.training import OnEpoch, Training, require_labels
from fusioncam.methods.cas_cam import CasCAM
from fusioncam.metrics.finetuning import batches, finetune
from fusioncam.metrics.roar import heatmaps_of
from fusioncam.model.arguments import as_explained
from fusioncam.model.explained_model import ExplainedModel


def train_cascade(
    model: ExplainedModel | nn.Module,
    images: Tensor,
    labels: Tensor,
    method: CasCAM | None = None,
    training: Training | None = None,
    folder: str | Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> CasCAM:
    """Return CasCAM with the networks of its later stages, trained on images ``(N, C, *s)`` with labels ``(N,)``.

    The first stage is the given network, which stays unchanged. For each later stage the images are faded further,
    where the heatmaps of their labels by the network of the stage before are high, and a copy of the given network is
    fine-tuned on them. The same arguments return the same networks on one machine.

    Args:
        model: the model, or a network.
        images: inputs of the network ``(N, C, *s)``.
        labels: their classes ``(N,)``.
        method: the settings: the method of each stage, the number of stages, and so on. None for the defaults.
        training: the number of epochs of each stage, the batch size and so on.
        folder: each epoch is stored in a folder of its stage, and after an interruption the same call continues.
            Heatmaps of finished stages are computed again.
        on_epoch: is called with the number of each epoch of a stage and its mean loss.

    Returns:
        The method with the trained networks as its ``models``.

    Raises:
        ShapeError: for another number of labels.
        ResultsError: for a folder of another training or a damaged one.

    Examples:
        ```python
        from fusioncam.methods import CasCAM
        from fusioncam.metrics.cascade import train_cascade

        cascade = train_cascade(model, images, labels, CasCAM(fc.METHODS["layer-cam"]))
        heatmaps = cascade(model, x, target)
        ```
    """
    model = as_explained(model)
    method, labels = method or CasCAM(), torch.as_tensor(labels)
    require_labels(images, labels)
    one_stage = replace(method, stages=1, models=())
    heat, seen, models = torch.zeros(len(images), *images.shape[2:]), images, [model]
    for stage in range(1, method.stages):
        with without_flat_warnings():
            heat = heat + heatmaps_of(models[-1], one_stage, seen, labels)
        seen = _faded(method, model, images, heat)
        place = None if folder is None else Path(folder) / f"stage-{stage}"
        models.append(finetune(model, seen, labels, None, training, place, on_epoch))
    return replace(method, models=tuple(models[1:]))


def _faded(method: CasCAM, model: ExplainedModel, images: Tensor, heat: Tensor) -> Tensor:
    """Return the faded images ``(N, C, *s)``, computed in batches on the device of the images."""
    return torch.cat([method.faded(model, x, part) for x, part in batches(images, heat)])
