"""The highlighted regions of an explanation, in the coordinates of the whole image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fusioncam.explanations.original import Original
from fusioncam.functional.boxes import heatmap_boxes
from fusioncam.functional.regions import Threshold, place, placed_boxes, threshold_of
from fusioncam.visualization import Box


class Regions:
    """Masks and boxes of a ``heatmap`` ``(H, W)`` of the part of the ``whole`` image that the network received."""

    heatmap: Tensor
    whole: Original | None

    @property
    def full_heatmap(self) -> Tensor:
        """The heatmap in the coordinates of the whole image ``(height, width)``: 0 where the network saw nothing."""
        window, size = self.frame
        return torch.from_numpy(place(self.heatmap.numpy(), window, size))

    def mask(self, threshold: Threshold = "otsu") -> Tensor:
        """Return the highlighted region as booleans ``(height, width)`` in the coordinates of the whole image.

        ``threshold`` is ``"otsu"``, a share of the highest heat such as 0.5, or ``"top20%"``, the share of the pixels
        that the network received. Raises :class:`SettingError` for another one.
        """
        lowest = threshold_of(self.heatmap.numpy(), threshold)
        full = self.full_heatmap
        return (full >= lowest) & (full > 0)

    def boxes(self, threshold: Threshold = "otsu", pieces: str = "all") -> list[Box]:
        """Return a box (left, top, right, bottom) in pixels of the whole image for each highlighted piece.

        ``threshold`` is that of :meth:`mask`; ``pieces="largest"`` returns the box of the largest piece alone. The
        list is empty for a heatmap without any heat. Needs scipy, of the extra ``benchmark``.
        """
        window, size = self.frame
        found = heatmap_boxes(self.heatmap, threshold, pieces)
        return placed_boxes(np.array(found).reshape(-1, 4), tuple(self.heatmap.shape), window, size)

    @property
    def frame(self) -> tuple[Box, tuple[int, int]]:
        """The part of the whole image that the network received, and the size (width, height) of the whole."""
        if self.whole is not None:
            return self.whole.window, self.whole.size
        height, width = self.heatmap.shape
        return (0.0, 0.0, float(width), float(height)), (width, height)
