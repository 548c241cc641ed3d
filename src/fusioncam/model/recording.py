"""Record the activations of layers and the gradients of a score, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fusioncam.errors import LayerError, MethodError, NonFiniteError
from fusioncam.functional.heatmaps import precise
from fusioncam.inference import hooks
from fusioncam.inference.capabilities import no_gradients_error
from fusioncam.inference.forward import NetworkRunner
from fusioncam.model.gradient_support import influences, with_gradients
from fusioncam.model.layer_search import LayerSearch
from fusioncam.model.layouts import Layout
from fusioncam.model.scores import Target, score_from_logits


@dataclass(frozen=True)
class Record:
    """One recorded pass: ``activations`` and ``gradients`` ``(N, K, *s)`` of ``layer``, and the ``logits``.

    Where the network has no gradients, ``gradients`` raises the :class:`MethodError` that is in their place.
    """

    layer: str
    activations: Tensor
    gradients_or_error: Tensor | MethodError
    logits: Tensor

    @property
    def gradients(self) -> Tensor:
        """The gradients ``(N, K, *s)`` of the score with respect to the activations."""
        if isinstance(self.gradients_or_error, MethodError):
            raise self.gradients_or_error
        return self.gradients_or_error


def record_layers(
    runner: NetworkRunner,
    x: Tensor,
    target: Target,
    layers: Iterable[str],
    search: LayerSearch,
    *,
    skip_unused: bool = False,
) -> dict[str, Record]:
    """Return one record per layer, from one forward and one backward pass of the target's logit.

    Where the network has no gradients, the records have none. ``skip_unused`` leaves out the layers that the logit
    does not depend on, if it depends on others. Raises the errors of :func:`forward_with_outputs` and
    :func:`output_gradients`.
    """
    layers = list(layers)

    def recorded(x: Tensor) -> tuple[Tensor, dict[str, Tensor], list[Tensor | None]]:
        logits, outputs = forward_with_outputs(runner, x, layers, search)
        return logits, outputs, output_gradients(score_from_logits(logits, target, "logit").sum(), outputs)

    try:
        logits, outputs, found = with_gradients(runner, x, recorded)
    except MethodError:  # an operation has no gradients, where others of such networks return tensors without
        with runner.exclusive_eval(grad=False):
            logits, outputs = forward_with_outputs(runner, runner.validate_input(x), layers, search)
        found = [None] * len(outputs)
    records = {}
    skip_unused &= any(gradient is not None for gradient in found)
    for (layer, output), gradient in zip(outputs.items(), found, strict=True):
        if gradient is None and skip_unused:
            continue
        layout = search.layout(layer, output.shape, x)
        if gradient is None:
            gradients: Tensor | MethodError = no_gradients(runner, x, layer, search, layout)
        else:
            gradients = values(layout.maps(gradient))
        records[layer] = Record(layer, values(layout.maps(output)), gradients, values(logits))
    return records


def values(tensor: Tensor) -> Tensor:
    """Return the values of a tensor in the order of its dimensions, without its graph."""
    return precise(tensor.detach()).contiguous()


def forward_with_outputs(
    runner: NetworkRunner, x: Tensor, layers: Iterable[str], search: LayerSearch
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits ``(N, classes)`` and the output of each layer.

    Raises :class:`LayerError` for a layer that is missing, does not run exactly once, or whose output is not one
    tensor of feature maps.
    """
    with hooks.capture(runner.network, layers, search.readings) as captured:
        logits = runner(x)
    found = {layer: outputs[search.run(layer, len(outputs), x)] for layer, outputs in captured.items()}
    for layer, output in found.items():
        search.layout(layer, output.shape, x)
    return logits, found


def output_gradients(
    score: Tensor, outputs: Mapping[str, Tensor], *, create_graph: bool = False
) -> list[Tensor | None]:
    """Return the gradient of the score with respect to the output of each layer, None where there is none.

    Raises :class:`NonFiniteError` if an output or a gradient holds NaN or infinity.
    """
    found: Sequence[Tensor | None] = [None] * len(outputs)
    if score.requires_grad:
        found = torch.autograd.grad(score, list(outputs.values()), allow_unused=True, create_graph=create_graph)
    for (layer, output), gradient in zip(outputs.items(), found, strict=True):
        if not all(tensor is None or tensor.isfinite().all() for tensor in (output, gradient)):
            raise NonFiniteError(
                f"layer '{layer}' has NaN or infinity in its activations or gradients: check weights and input"
            )
    return list(found)


def no_gradients(runner: NetworkRunner, x: Tensor, layer: str, search: LayerSearch, layout: Layout) -> MethodError:
    """Return the error for a layer that influences the scores without gradients.

    Raises :class:`LayerError` if the layer does not influence the scores.
    """
    try:
        influential = influences(runner, x, layer, layout, search.readings)
    except MethodError as error:  # maps that cannot be written back
        return error
    if not influential:
        raise LayerError(f"the scores do not depend on layer '{layer}': name a layer that they depend on")
    return no_gradients_error(runner.network)
