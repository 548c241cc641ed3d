"""Coherency, complexity and their mean with ROAD, under the names of pytorch-grad-cam (arXiv 2605.14641)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.compat.pytorch_grad_cam.metrics.road import ROADCombined
from fusioncam.compat.targets import OutputTarget
from fusioncam.metrics.adcc import coherency, complexity


def _tensor(cams: Any) -> Tensor:
    return torch.as_tensor(np.asarray(cams, np.float32))


class Complexity:
    """The mean of the heatmap, our ``complexity``."""

    def __call__(self, grayscale_cams: Any) -> NDArray[np.float32]:
        """Return the means ``(N,)``."""
        found: NDArray[np.float32] = complexity(_tensor(grayscale_cams)).numpy()
        return found


class Coherency:
    """The correlation of the heatmap with that of the image it masks, in [0, 1]: our ``coherency``."""

    def __call__(
        self,
        input_tensor: Tensor,
        grayscale_cams: Any,
        targets: Sequence[OutputTarget],
        model: nn.Module,
        base_method: Callable[..., Any],
    ) -> NDArray[np.float32]:
        """Return the correlations ``(N,)``; ``base_method`` is the object that computed the heatmaps."""
        heatmaps = _tensor(grayscale_cams)
        masked = input_tensor * heatmaps[:, None].to(input_tensor)
        second = base_method(input_tensor=masked, targets=targets)
        found: NDArray[np.float32] = coherency(heatmaps, _tensor(second)).numpy()
        return found


class ARCC:
    """The harmonic mean of coherency, ``1 - complexity`` and twice ROAD, cut to [0, 1]; 0 if one of them is 0."""

    def __init__(self, base_method: Callable[..., Any], road_percentiles: Sequence[float] = (20, 40, 60, 80)) -> None:
        self.base_method = base_method
        self.complexity, self.coherency = Complexity(), Coherency()
        self.road = ROADCombined(road_percentiles)

    def __call__(
        self, input_tensor: Tensor, grayscale_cams: Any, targets: Sequence[OutputTarget], model: nn.Module
    ) -> NDArray[np.float32]:
        """Return the means ``(N,)``."""
        inputs = (input_tensor, grayscale_cams, targets, model)
        road = np.clip(2 * self.road(*inputs), 0, 1)
        parts = np.stack([self.coherency(*inputs, self.base_method), 1 - self.complexity(grayscale_cams), road])
        with np.errstate(divide="ignore"):
            return np.asarray(3 / (1 / parts).sum(0), np.float32)
