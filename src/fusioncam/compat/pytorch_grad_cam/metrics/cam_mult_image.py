"""The score of the image multiplied by its heatmap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fusioncam.compat.pytorch_grad_cam.metrics.perturbation_confidence import PerturbationConfidenceMetric


def multiply_tensor_with_cam(input_tensor: Tensor, cam: Tensor) -> Tensor:
    """Return a normalised image ``(C, H, W)`` times a heatmap ``(H, W)``."""
    return input_tensor * cam.to(input_tensor)


class CamMultImageConfidenceChange(PerturbationConfidenceMetric):
    """The score of the image times its heatmap, minus that of the image."""

    def __init__(self) -> None:
        super().__init__(multiply_tensor_with_cam)


class DropInConfidence(CamMultImageConfidenceChange):
    """How much the score falls, not divided by it; our ``average-drop`` divides, as its paper does."""

    def __call__(self, *args: Any, **kwargs: Any) -> NDArray[np.float32]:
        """Return the drops ``(N,)``, 0 where the score rises."""
        return np.asarray(np.maximum(-super().__call__(*args, **kwargs), 0), np.float32)


class IncreaseInConfidence(CamMultImageConfidenceChange):
    """Whether the score rises, our ``increase``."""

    def __call__(self, *args: Any, **kwargs: Any) -> NDArray[np.float32]:
        """Return 1 for a rise and 0 otherwise ``(N,)``."""
        return np.asarray(super().__call__(*args, **kwargs) > 0, np.float32)
