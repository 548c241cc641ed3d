"""The curvature of a score along the activations, for ShapleyCAM."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fusioncam.functional.heatmaps import precise
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.gradient_support import require_gradients
from fusioncam.model.recording import Record, forward_with_outputs, no_gradients, output_gradients
from fusioncam.model.scores import Target, score_from_logits


def record_with_hessian_product(
    model: ExplainedModel, x: Tensor, target: Target, layer: str | None = None, readout: str = "logit"
) -> tuple[Record, Tensor]:
    """Return a record, and the Hessian of the score with respect to the activations times these, ``(N, K, *s)``.

    Both come from one forward pass. ``readout`` is any of :mod:`fusioncam.model.scores`, also "rest". The product is
    0 where the score is linear in the layer.
    """
    layer, runner = layer or model.layers.default(x), model.runner
    # only the plain attention kernel has a second derivative
    with require_gradients(runner, x), sdpa_kernel(SDPBackend.MATH):
        logits, outputs = forward_with_outputs(runner, runner.validate_input(x), [layer], model.layers)
        score = score_from_logits(logits, target, readout).sum()
        layout = model.layers.layout(layer, outputs[layer].shape, x)
        (gradients,) = output_gradients(score, outputs, create_graph=True)
        if gradients is None:
            raise no_gradients(runner, x, layer, model.layers, layout)
        activations = layout.maps(outputs[layer]).detach()
        directional = (layout.maps(gradients) * activations).sum()
        product = None
        if directional.requires_grad:  # a score that is linear in the layer leaves no graph
            (product,) = torch.autograd.grad(directional, outputs[layer], allow_unused=True)
    tensors = (activations, layout.maps(gradients), logits)
    record = Record(layer, *(precise(tensor.detach()) for tensor in tensors))
    curvature = torch.zeros_like(activations) if product is None else layout.maps(product)
    return record, precise(curvature.detach())
