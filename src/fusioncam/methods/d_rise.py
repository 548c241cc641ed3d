"""D-RISE: random masks for detections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_count, require_known
from fusioncam.functional.masks import FILLS
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.black_box import RISE
from fusioncam.methods.costs import PassCount
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, as_targets


@dataclass(frozen=True)
class DRISE:
    """D-RISE: random masks weighted by the similarity of the detections of the masked image (Petsiuk et al. 2021).

    arXiv 2006.03204, eq. 1-4. It explains a :class:`fusioncam.tasks.Detection`, needs no layer and works with any
    detector. The similarity of a prediction to the explained detection is the IoU of their boxes, times the cosine of
    their class probabilities, times the objectness, for which the highest class probability counts; a masked image
    has that of its most similar prediction. Where the detector returns one class for each prediction, the cosine is 1
    for the same class and 0 for others. For other networks it is RISE with a finer grid.

    ``masks``, ``cells`` and ``keep`` are the paper's. It masks with black; the fill "mean" is black for detectors
    that take pixels in [0, 1].
    """

    family: ClassVar[str] = "region"
    paper: ClassVar[str] = "arXiv 2006.03204"

    masks: int = 5000
    cells: int = 16
    keep: float = 0.5
    fill: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        require_count("masks", self.masks)
        require_count("cells", self.cells)
        require_known("fill", self.fill, FILLS)

    @property
    def cost(self) -> PassCount:
        """Return the passes of one image."""
        return PassCount(full=self.masks)

    @memoize_pass
    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Return heatmaps ``(N, *s)`` in [0, 1]."""
        rise = RISE(self.masks, self.cells, self.keep, "probability", self.fill, self.seed)
        matching = getattr(model.network, "matching", None)
        if matching is None:
            return rise(model, x, target)
        x, targets = model.runner.validate_input(x), as_targets(target, x)
        images = [(x[n : n + 1], targets[n : n + 1]) for n in range(len(x))]
        return torch.cat([rise(model.with_network(matching(image)), image, label) for image, label in images])
