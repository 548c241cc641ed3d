"""Record the activations of layers and the gradients of a score, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fusioncam.errors import LayerError, NonFiniteError
from fusioncam.functional.heatmaps import precise
from fusioncam.inference import hooks
from fusioncam.inference.forward import NetworkRunner
from fusioncam.model.layer_search import LayerSearch
from fusioncam.model.scores import Target, score_from_logits


@dataclass(frozen=True)
class Record:
    """One recorded pass: ``activations`` and ``gradients`` ``(N, K, *s)`` of ``layer``, and the ``logits``."""

    layer: str
    activations: Tensor
    gradients: Tensor
    logits: Tensor


def record_layers(
    runner: NetworkRunner, x: Tensor, target: Target, layers: Iterable[str], search: LayerSearch
) -> dict[str, Record]:
    """Return one record per layer, from one forward and one backward pass of the target's logit.

    Raises the errors of :func:`forward_with_outputs` and :func:`output_gradients`.
    """
    with runner.exclusive_eval(grad=True):
        logits, outputs = forward_with_outputs(runner, runner.validate_input(x), layers, search)
        gradients = output_gradients(score_from_logits(logits, target, "logit").sum(), outputs)
    records = {}
    for (layer, output), gradient in zip(outputs.items(), gradients, strict=True):
        layout = search.layout(layer, output.shape, x)
        activations, gradient = (precise(layout.maps(tensor.detach())) for tensor in (output, gradient))
        records[layer] = Record(layer, activations, gradient, precise(logits.detach()))
    return records


def forward_with_outputs(
    runner: NetworkRunner, x: Tensor, layers: Iterable[str], search: LayerSearch
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits ``(N, classes)`` and the output of each layer.

    Raises :class:`LayerError` for a layer that is missing, does not run exactly once, or whose output is not one
    tensor of feature maps.
    """
    with hooks.capture(runner.network, layers) as captured:
        logits = runner(x)
    for layer, outputs in captured.items():
        hooks.require_once(layer, len(outputs))
        search.layout(layer, outputs[0].shape, x)
    return logits, {layer: outputs[0] for layer, outputs in captured.items()}


def output_gradients(score: Tensor, outputs: Mapping[str, Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """Return the gradient of the score with respect to the output of each layer.

    Raises :class:`LayerError` if the score does not depend on a layer, and :class:`NonFiniteError` if an output or a
    gradient holds NaN or infinity.
    """
    gradients: Sequence[Tensor | None] = [None] * len(outputs)
    if score.requires_grad:
        gradients = torch.autograd.grad(score, list(outputs.values()), allow_unused=True, create_graph=create_graph)
    for (layer, output), gradient in zip(outputs.items(), gradients, strict=True):
        if gradient is None:
            raise LayerError(f"the scores do not depend on layer '{layer}': name a layer that they depend on")
        if not (gradient.isfinite().all() and output.isfinite().all()):
            raise NonFiniteError(
                f"layer '{layer}' has NaN or infinity in its activations or gradients: check weights and input"
            )
    return [gradient for gradient in gradients if gradient is not None]
