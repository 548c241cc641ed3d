"""The curvature of a score along the activations, for ShapleyCAM."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.gradient_support import with_gradients
from fusioncam.model.recording import Record, forward_with_outputs, no_gradients, output_gradients, values
from fusioncam.model.scores import Target, score_from_logits


def record_with_hessian_product(
    model: ExplainedModel, x: Tensor, target: Target, layer: str | None = None, readout: str = "logit"
) -> tuple[Record, Tensor]:
    """Return a record, and the Hessian of the score with respect to the activations times these, ``(N, K, *s)``.

    Both come from one forward pass. ``readout`` is any of :mod:`fusioncam.model.scores`, also "rest". The product is
    0 where the score is linear in the layer.
    """
    layer, runner = layer or model.layers.default(x), model.runner

    def compute(x: Tensor) -> tuple[Record, Tensor]:
        logits, outputs = forward_with_outputs(runner, x, [layer], model.layers)
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
        record = Record(layer, values(activations), values(layout.maps(gradients)), values(logits))
        return record, values(torch.zeros_like(activations) if product is None else layout.maps(product))

    with sdpa_kernel(SDPBackend.MATH):  # only the plain attention kernel has a second derivative
        return with_gradients(runner, x, compute)
