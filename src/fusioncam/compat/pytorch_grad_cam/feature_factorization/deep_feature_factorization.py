"""Deep feature factorization (arXiv 1806.10206) as pytorch-grad-cam calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.compat.pytorch_grad_cam.unavailable import run_dff_on_image
from fusioncam.compat.pytorch_grad_cam.utils.image import scale_cam_image
from fusioncam.errors import ShapeError, require_count
from fusioncam.functional.factorization import non_negative_factors
from fusioncam.model.explained_model import ExplainedModel

__all__ = ["DeepFeatureFactorization", "dff", "run_dff_on_image"]


def dff(activations: Any, n_components: int = 5) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the concepts ``(K, n)`` of activations ``(N, K, *s)``, and their maps ``(N, n, *s)``.

    All images are factorised together, after the lowest value of each channel is subtracted. The original starts from
    random factors, ours from singular vectors.
    """
    require_count("n_components", n_components)
    maps = torch.as_tensor(np.asarray(activations)).double().nan_to_num(0)
    if maps.dim() < 3:
        raise ShapeError(f"expected activations (N, K, h, w), got {tuple(maps.shape)}")
    values = maps.transpose(0, 1).flatten(1)
    lowest = values.amin(1, keepdim=True)
    channels, parts = non_negative_factors((values - lowest)[None], n_components)
    explanations = parts[0].reshape(-1, len(maps), *maps.shape[2:]).transpose(0, 1)
    return (channels[0] + lowest).float().numpy(), explanations.float().numpy()


class DeepFeatureFactorization:
    """The concepts of a layer, and their heatmaps: ``concepts, maps = factorization(x, n_components=5)``.

    ``computation_on_concepts``, such as the network's last linear layer, is applied to the concepts ``(n, K)``; its
    result is a third part of what is returned.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layer: nn.Module | str,
        reshape_transform: Callable[[Any], Tensor] | None = None,
        computation_on_concepts: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model = model
        self.computation_on_concepts = computation_on_concepts
        self._explained = ExplainedModel(model, target_layer, reshape=reshape_transform)

    def __call__(self, input_tensor: Tensor, n_components: int = 16) -> tuple[Any, ...]:
        """Return the concepts ``(K, n)``, and a list of the heatmaps ``(n, H, W)`` of each image, in [0, 1]."""
        activations = self._explained.record(input_tensor, 0).activations
        concepts, maps = dff(activations.cpu().numpy(), n_components)
        heatmaps = [scale_cam_image(image, input_tensor.shape[:1:-1]) for image in maps]
        if self.computation_on_concepts is None:
            return concepts, heatmaps
        with torch.no_grad():
            outputs = self.computation_on_concepts(torch.from_numpy(concepts.T).to(self._explained.device))
        return concepts, heatmaps, outputs.cpu().numpy()
