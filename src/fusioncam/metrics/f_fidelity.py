"""F-Fidelity: the score without random parts of what a heatmap finds important, and of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import SettingError, require_count, require_known, require_number
from fusioncam.functional.heatmaps import expand_like
from fusioncam.functional.masks import FillSetting
from fusioncam.metrics.base import CurveMetric
from fusioncam.metrics.masking import pixel_order, resized_heatmaps, target_classes, whole_scores
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import READOUTS, Target

# FFid+ - FFid-, or FFid+ alone, the loss of score without random important pixels
PARTS = ("difference", "important")


@dataclass(frozen=True)
class FFidelity(CurveMetric):
    """F-Fidelity: the loss of score without random important pixels, minus that without random other pixels.

    Zheng et al. 2025 (ICLR), arXiv 2410.02970. For each of the ``sizes``, the highest share of pixels is important.
    Each of its pixels is removed with the probability ``min(alpha, beta / size)``, so that on average no more than
    the share ``beta`` of the image is missing; the mean loss over ``samples`` draws is FFid+. FFid- removes pixels of
    the rest so. The network should be fine-tuned with the share ``beta`` of random pixels missing, so that such
    images are nothing new to it: see :func:`fusioncam.metrics.finetuning.finetune`. ``part`` is the "difference"
    FFid+ - FFid-, or FFid+ alone, "important". The value is the mean over the sizes, and :meth:`curve` has one point
    for each. ``readout`` and ``classes`` choose the score; "top-1" is 1 where the class has the highest score, so
    that losses are those of accuracy, as in the paper's code. The draws are the same for every image and part.
    ``ties`` decides which of equal pixels is more important, see ``TIES``.
    """

    family: ClassVar[str] = "faithfulness"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2410.02970"
    readouts: ClassVar[tuple[str, ...]] = (*READOUTS, "top-1")

    readout: str = "probability"
    classes: str = "target"
    fill: FillSetting = "mean"
    sizes: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    alpha: float = 0.5
    beta: float = 0.1
    samples: int = 10
    part: str = "difference"
    ties: str = "random"
    seed: int = 0
    resize: str = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("part", self.part, PARTS)
        require_count("samples", self.samples)
        require_number("alpha", self.alpha, 0, 1, above=True)
        require_number("beta", self.beta, 0, 1, above=True)
        if not self.sizes or sorted(set(self.sizes)) != list(self.sizes):
            raise SettingError(f"sizes must be shares of pixels in increasing order, got {self.sizes!r}")
        for size in self.sizes:
            if not 0 < size < 1:
                raise SettingError(f"sizes must be numbers above 0 and below 1, got {size!r}")

    @property
    def cost(self) -> MetricPasses:
        """The forward passes per image; FFid+ alone needs the whole image too."""
        passes = len(self.sizes) * self.samples
        return MetricPasses(2 * passes if self.part == "difference" else 1 + passes)

    def points(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor) -> Tensor:
        """Compute the value for each size ``(len(sizes), N)``."""
        ranks = pixel_order(resized_heatmaps(heatmaps, model, x, self.resize), self.ties, self.seed)
        target = target_classes(model, x, target, self.classes)
        without_important = self._scores(model, x, target, ranks, important=True)
        if self.part == "important":
            return whole_scores(model, x, target, self.readout) - without_important
        return self._scores(model, x, target, ranks, important=False) - without_important

    def _scores(self, model: ExplainedModel, x: Tensor, target: Target, ranks: Tensor, *, important: bool) -> Tensor:
        """Return the mean scores ``(len(sizes), N)`` without random pixels of one part of the image."""
        sizes = self.sizes if important else [1 - size for size in self.sizes]
        chances = [min(self.alpha, self.beta / size) for size in sizes]
        counts = [round(size * ranks[0].numel()) for size in self.sizes]
        masks = RandomRemoval(ranks, counts, chances, self.samples, self.seed, important=important)
        scores = model.masked_scores(x, masks, target, readout=self.readout, fill=self.fill)
        return scores.reshape(len(self.sizes), self.samples, -1).mean(1)

    def shares(self, x: Tensor) -> Tensor:
        """Return the shares of important pixels ``(len(sizes),)``."""
        return torch.tensor(self.sizes, dtype=torch.float64)

    def summary(self, curve: Tensor, shares: Tensor) -> Tensor:
        """Return the mean over the sizes ``(N,)``; of probabilities in [-1, 1]."""
        return curve.mean(0)


class RandomRemoval:
    """Masks ``(len(counts) samples, N, *s)`` that hide random pixels among the first ranks, or among the others.

    Mask ``k samples + j`` hides each pixel with a rank below ``counts[k]`` (for ``important``, otherwise each of the
    others) with the probability ``chances[k]``, by draw ``j``.
    """

    def __init__(
        self,
        ranks: Tensor,
        counts: Sequence[int],
        chances: Sequence[float],
        samples: int,
        seed: int,
        *,
        important: bool,
    ) -> None:
        self.shape = (len(counts) * samples, *ranks.shape)
        generator = torch.Generator().manual_seed(seed)
        self._draws = torch.rand(samples, *ranks.shape[1:], generator=generator).to(ranks.device)
        self._counts = torch.tensor(counts, dtype=ranks.dtype, device=ranks.device)
        self._chances = torch.tensor(chances, device=ranks.device)
        self._ranks, self._important = ranks, important

    def __getitem__(self, where: tuple[Tensor, Tensor]) -> Tensor:
        mask, image = where
        samples = len(self._draws)
        ranks, counts = self._ranks[image], self._counts[mask // samples]
        first = ranks < expand_like(counts, ranks)
        drawn = self._draws[mask % samples] < expand_like(self._chances[mask // samples], ranks)
        return ~(drawn & (first if self._important else ~first))
