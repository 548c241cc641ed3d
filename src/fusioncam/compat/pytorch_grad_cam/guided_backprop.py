"""Guided backpropagation as pytorch-grad-cam calls it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.pixel_gradients import guided_gradients


class GuidedBackpropReLUModel:
    """Guided backpropagation of one image: ``gb_model(x, target_category=281)``; the network is left as it was."""

    def __init__(self, model: nn.Module, device: torch.device | str | None = None) -> None:
        self.model = model if device is None else model.to(device)
        self.device = ExplainedModel(model).device

    def __call__(self, input_img: Tensor, target_category: int | None = None) -> NDArray[Any]:
        """Return the gradient ``(H, W, C)`` of the class, the predicted one if None, for the first image."""
        model, x = ExplainedModel(self.model), input_img[:1]
        target = int(model.logits(x).argmax()) if target_category is None else target_category
        gradients = guided_gradients(model, x, target)[0].movedim(0, -1)
        found: NDArray[Any] = np.ascontiguousarray(gradients.cpu().numpy())
        return found
