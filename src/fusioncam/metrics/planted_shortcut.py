"""Planted shortcut: localization without annotations, on images with a stamp that changes what the network sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.data.images import open_with_channels
from fusioncam.errors import SettingError, ShapeError, TargetError, require_known, require_number
from fusioncam.functional.stamps import PATTERNS, box_of, drawn, pasted, ratio_of
from fusioncam.inference.cache import memoize_pass
from fusioncam.methods.base import Method
from fusioncam.metrics.base import Metric, regenerate, validate_heatmaps
from fusioncam.metrics.localization import best_iou, energy_share, pointing
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, probabilities_of

# what is measured of the heatmap (N, H, W) and the stamp's mask (N, H, W)
MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "energy": energy_share,
    "best-iou": best_iou,
    "pointing": pointing,
}


@dataclass(frozen=True)
class PlantedShortcut(Metric):
    """Planted shortcut: how much of the heatmap lies on a stamp that makes the network see another class.

    A ``stamp`` is drawn onto the image at a known place: the pattern "watermark", lines of characters, or
    "checkerboard", or the path of an image, such as an object of another class, which is shrunk to the size of the
    stamp. The method explains the class whose probability rises most, or that of ``index``, in the stamped image. The
    stamp is the only change, so that the truth is known without annotations, on any network; watermarks raise classes
    of ImageNet such as "monitor" and "broom" (Li et al. 2023, arXiv 2303.05498). The value is NaN for images on which
    the probability rises by less than ``least`` or does not double, compared with the image itself and with the image
    whose mean colour covers the place of the stamp: hiding an object may reveal another one.

    ``measure`` is the "energy", the share of the heatmap's sum in the stamp; the "best-iou" of both over all
    thresholds; or "pointing", whether the highest pixel lies in the stamp. Energy rewards contrast: the square of a
    heatmap mostly has more of it, while the others depend only on the order of the pixels. ``place`` (row, column)
    is 0 at the first edge of the image and 1 at the last one, ``size`` the width of the stamp as a share of the
    image's width, and ``opacity`` 1 covers what is below. Needs images ``(N, C, H, W)``; of ``heatmaps`` only the
    shape is checked.
    """

    family: ClassVar[str] = "localization"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2303.05498"
    needs_method: ClassVar[bool] = True
    shares_passes: ClassVar[bool] = True
    cost: ClassVar[MetricPasses] = MetricPasses(full=3, methods=1)

    stamp: str = "watermark"
    place: tuple[float, ...] = (0.9, 0.9)
    size: float = 0.6
    opacity: float = 1
    index: int | None = None
    least: float = 0.1
    measure: str = "energy"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("measure", self.measure, MEASURES)
        if len(self.place) != 2:
            raise SettingError(f"place must be (row, column) from 0 to 1, got {self.place!r}")
        for name, values in (("place", self.place), ("least", (self.least,))):
            for value in values:
                require_number(name, value, 0, 1)
        for name, value in (("size", self.size), ("opacity", self.opacity)):
            require_number(name, value, 0, 1, above=True)
        if self.index is not None:
            require_number("index", self.index, 0, integer=True)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the measure ``(N,)`` in [0, 1]."""
        heatmaps = validate_heatmaps(heatmaps, x)
        rows, images, classes, mask = self._usable(model, x)
        found = heatmaps.new_full((len(x),), torch.nan)
        if len(rows):
            maps = regenerate(method, model, images, classes, shared=True).to(heatmaps)
            found[rows.to(found.device)] = MEASURES[self.measure](maps, mask.to(maps.device).expand(maps.shape))
        return found

    @memoize_pass
    def _usable(self, model: ExplainedModel, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the rows ``(R,)`` that react, their stamped images, their classes, and the mask of the stamp."""
        images, mask = self.stamped(model, x)
        classes, kept = self.risen(model, x, images, mask)
        rows = kept.nonzero()[:, 0]
        return rows, images[rows], classes[rows], mask

    def stamped(self, model: ExplainedModel, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stamped images ``(N, C, H, W)`` and the mask of the stamp ``(H, W)``."""
        if x.dim() != 4:
            raise ShapeError(f"{self!r} needs images (N, C, H, W), got {tuple(x.shape)}")
        known = self.stamp in PATTERNS
        box = box_of(x.shape[2:], self.size, self.place, ratio_of(self.stamp) if known else 1)
        mask = torch.zeros(tuple(x.shape[2:]), dtype=torch.bool)
        mask[box] = True
        if known:
            return drawn(x, self.stamp, box, self.opacity), mask
        patch = model.preprocessing(open_with_channels(self.stamp, x.shape[1]))
        return pasted(x, patch, box, self.opacity), mask

    def risen(self, model: ExplainedModel, x: Tensor, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class ``(N,)`` whose probability the stamp raises most, and whether it rises enough ``(N,)``.

        The rise is that over the image itself and over the image whose mean colour covers the place of the stamp.
        """
        covered = torch.where(mask.to(x.device), x.mean((2, 3), keepdim=True), x)
        before, hidden, after = (probabilities_of(model.logits(one)) for one in (x, covered, images))
        before = torch.maximum(before, hidden)
        classes = (after - before).argmax(1)
        if self.index is not None:
            if self.index >= before.shape[1]:
                raise TargetError(f"index must be a class from 0 to {before.shape[1] - 1}, got {self.index}")
            classes = torch.full_like(classes, self.index)
        before, after = (values.gather(1, classes[:, None])[:, 0] for values in (before, after))
        return classes, (after - before >= self.least) & (after >= 2 * before)
