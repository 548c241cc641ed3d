"""How the target's score changes when the image is changed according to its heatmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.compat.targets import OutputTarget, require_targets, target_columns
from fusioncam.errors import SettingError, require_number
from fusioncam.metrics.masking import pixel_order

# from an image (C, H, W) and its heatmap (H, W), or which pixels are kept, to another image
Perturbation = Callable[[Tensor, Tensor], Tensor]
PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)


class PerturbationConfidenceMetric:
    """The score of the perturbed images, minus that of the images."""

    def __init__(self, perturbation: Perturbation) -> None:
        self.perturbation = perturbation

    def __call__(
        self,
        input_tensor: Tensor,
        cams: Any,
        targets: Sequence[OutputTarget],
        model: nn.Module,
        return_visualization: bool = False,
        return_diff: bool = True,
    ) -> Any:
        """Return the differences ``(N,)``, or the scores themselves, and on request the perturbed images too."""
        heatmaps = torch.as_tensor(np.asarray(cams, np.float32))
        scored, target = target_columns(model, require_targets(targets, len(input_tensor)))
        changed = [self.perturbation(x.cpu(), heatmap) for x, heatmap in zip(input_tensor, heatmaps, strict=True)]
        perturbed = torch.stack(changed).to(input_tensor)
        scores = scored.scores(perturbed, target, "logit")
        if return_diff:
            scores = scores - scored.scores(input_tensor, target, "logit")
        values = scores.float().cpu().numpy()
        return (values, perturbed) if return_visualization else values


class RemoveMostRelevantFirst:
    """Impute all pixels but the ``percentile`` percent that the heatmap ranks lowest; equal pixels are shuffled."""

    def __init__(self, percentile: float | str, imputer: Perturbation) -> None:
        if isinstance(percentile, str):
            raise SettingError(f"percentile={percentile!r} is not available: pass a number from 0 to 100")
        require_number("percentile", percentile, 0, 100)
        self.percentile, self.imputer = percentile, imputer

    def __call__(self, input_tensor: Tensor, mask: Tensor) -> Tensor:
        """Return an image ``(C, H, W)`` without its most relevant pixels."""
        ranks = pixel_order(mask[None], "random")[0]
        return self.imputer(input_tensor, ranks >= round((1 - self.percentile / 100) * ranks.numel()))


class RemoveLeastRelevantFirst(RemoveMostRelevantFirst):
    """Impute all pixels but the ``percentile`` percent that the heatmap ranks highest."""

    def __call__(self, input_tensor: Tensor, mask: Tensor) -> Tensor:
        """Return an image ``(C, H, W)`` without its least relevant pixels."""
        return super().__call__(input_tensor, -mask)


class AveragerAcrossThresholds:
    """The mean of a metric over several percentiles."""

    def __init__(
        self, imputer: Callable[[float], PerturbationConfidenceMetric], percentiles: Sequence[float] = PERCENTILES
    ) -> None:
        self.imputer, self.percentiles = imputer, percentiles

    def __call__(
        self, input_tensor: Tensor, cams: Any, targets: Sequence[OutputTarget], model: nn.Module
    ) -> NDArray[np.float32]:
        """Return the means ``(N,)``."""
        values = [self.imputer(percentile)(input_tensor, cams, targets, model) for percentile in self.percentiles]
        return np.asarray(np.mean(values, axis=0), np.float32)
