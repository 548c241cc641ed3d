"""A network that sees a large input through a window, so that volumes fit into memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusioncam.errors import SettingError, ShapeError, require_known
from fusioncam.functional.windows import Window, part_of, windows_of
from fusioncam.tasks.wrapper import Wrapper, as_rows

REDUCTIONS = {"max": lambda rows: rows.amax(0), "mean": lambda rows: rows.mean(0)}


class SlidingWindow(Wrapper):
    """Scores of a large input: those of its windows, of which the highest or the mean counts for each class.

    Methods explain each window by passes of this window only, so that the whole input is never in one pass:
    activations, gradients and the scores of masks are those of the window. A heatmap counts as much as the
    probability of the class in its window exceeds that in the least probable window, and overlapping heatmaps are
    blended. A trust card and metrics score the whole input, window by window.

    Args:
        network: takes inputs ``(N, C, *size)`` and returns scores ``(N, classes)``; for another output wrap it first,
            for example ``SlidingWindow(Segmentation(unet), (96, 96, 96))``.
        size: of a window, for example (96, 96).
        overlap: the share of a window's side that the next one shares, from 0 to below 1.
        reduce: "max", for what may be anywhere, or "mean".

    Raises:
        SettingError: for bad settings.

    Examples:
        ```python
        model = fc.ExplainedModel(fc.tasks.SlidingWindow(network, (32, 32)))
        heatmaps = fc.METHODS["grad-cam"](model, x, target)  # at the size of the whole input
        ```
    """

    def __init__(self, network: nn.Module, size: Sequence[int], overlap: float = 0.25, reduce: str = "max") -> None:
        super().__init__(network)
        if not size or min(size) < 1:
            raise SettingError(f"size must be the sides of the window, at least 1 each, got {size!r}")
        if not 0 <= overlap < 1:
            raise SettingError(f"overlap must be from 0 to below 1, got {overlap!r}")
        require_known("reduce", reduce, REDUCTIONS)
        self.size, self.overlap, self.reduce = tuple(size), overlap, reduce
        # of a segmentation network, whose default layer is before its answer
        self.returns_maps: bool = getattr(network, "returns_maps", False)

    @property
    def row_labels(self) -> tuple[str, ...] | None:
        """The names that the network's own wrapper knows."""
        return getattr(self.wrapped, "row_labels", None)

    def windows(self, x: Tensor) -> list[Window]:
        """Return the slices of each window of ``x`` ``(N, C, *s)``; raise :class:`ShapeError` for another rank."""
        sides = x.shape[2:]
        if len(sides) != len(self.size):
            raise ShapeError(f"a window {self.size} needs as many sides in x (N, C, *s), got {tuple(x.shape)}")
        return windows_of(sides, self.size, self.overlap)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)`` for ``x`` ``(N, C, *s)``."""
        rows = [as_rows(self.wrapped(part_of(x, window)), len(x)) for window in self.windows(x)]
        reduced: Tensor = REDUCTIONS[self.reduce](torch.stack(rows))
        return reduced
