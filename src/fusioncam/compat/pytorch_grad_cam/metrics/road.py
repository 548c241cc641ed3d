"""ROAD under the names of pytorch-grad-cam, with our imputation (arXiv 2202.00449)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from fusioncam.compat.pytorch_grad_cam.metrics.perturbation_confidence import (
    PERCENTILES,
    AveragerAcrossThresholds,
    PerturbationConfidenceMetric,
    RemoveLeastRelevantFirst,
    RemoveMostRelevantFirst,
)
from fusioncam.compat.targets import OutputTarget
from fusioncam.functional.imputation import Imputation


class NoisyLinearImputer:
    """Impute pixels from their neighbours, plus a little noise: our :class:`Imputation`."""

    def __init__(self, noise: float = 0.01) -> None:
        self.imputation = Imputation(noise)

    def __call__(self, img: Tensor, mask: Tensor) -> Tensor:
        """Return an image ``(C, H, W)`` that is imputed where the mask ``(H, W)`` is 0."""
        kept = mask != 0
        return img.where(kept, self.imputation(img[None], kept[None])[0])


class ROADMostRelevantFirst(PerturbationConfidenceMetric):
    """The change of the score without the most relevant pixels; ``percentile`` percent of all are kept."""

    def __init__(self, percentile: float = 80) -> None:
        super().__init__(RemoveMostRelevantFirst(percentile, NoisyLinearImputer()))


class ROADLeastRelevantFirst(PerturbationConfidenceMetric):
    """The change of the score without the least relevant pixels; ``percentile`` percent of all are kept."""

    def __init__(self, percentile: float = 20) -> None:
        super().__init__(RemoveLeastRelevantFirst(percentile, NoisyLinearImputer()))


class ROADMostRelevantFirstAverage(AveragerAcrossThresholds):
    """The mean over percentiles."""

    def __init__(self, percentiles: Sequence[float] = PERCENTILES) -> None:
        super().__init__(ROADMostRelevantFirst, percentiles)


class ROADLeastRelevantFirstAverage(AveragerAcrossThresholds):
    """The mean over percentiles."""

    def __init__(self, percentiles: Sequence[float] = PERCENTILES) -> None:
        super().__init__(ROADLeastRelevantFirst, percentiles)


class ROADCombined:
    """Half of the difference of both means, our ``road:pgc``."""

    def __init__(self, percentiles: Sequence[float] = PERCENTILES) -> None:
        self.percentiles = percentiles
        self.morf_averager = ROADMostRelevantFirstAverage(percentiles)
        self.lerf_averager = ROADLeastRelevantFirstAverage(percentiles)

    def __call__(
        self, input_tensor: Tensor, cams: Any, targets: Sequence[OutputTarget], model: nn.Module
    ) -> NDArray[np.float32]:
        """Return the values ``(N,)``."""
        inputs = (input_tensor, cams, targets, model)
        return np.asarray((self.lerf_averager(*inputs) - self.morf_averager(*inputs)) / 2, np.float32)
