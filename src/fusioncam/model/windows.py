"""Networks that see a large input through a window, such as :class:`fusioncam.tasks.SlidingWindow`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fusioncam.functional.heatmaps import expand_like, minmax
from fusioncam.functional.windows import Window, blended
from fusioncam.inference.cache import cached_passes, uncached
from fusioncam.inference.context import without_flat_warnings
from fusioncam.model.scores import Target

if TYPE_CHECKING:
    from fusioncam.model.explained_model import ExplainedModel


def windows_in(network: nn.Module, x: Tensor) -> list[Window]:
    """Return the windows through which a network sees an input; none for other networks."""
    windows = getattr(network, "windows", None)
    return windows(x) if callable(windows) and isinstance(x, Tensor) and x.dim() > 2 else []


def first_window(network: nn.Module, x: Tensor) -> Tensor:
    """Return the first window of an input: layers are searched there. The input itself for other networks."""
    windows = windows_in(network, x)
    return x[(..., *windows[0])] if windows else x


def by_windows(
    method: Callable[..., Tensor], model: ExplainedModel, x: Tensor, target: Target, windows: Sequence[Window]
) -> Tensor:
    """Return heatmaps ``(N, *s)`` blended from those of the windows.

    A window counts as much as the probability of the target in it exceeds that in the least probable window. What is
    recorded of a window is not kept for the next.
    """
    parts = [x[(..., *window)] for window in windows]
    with uncached():
        probabilities = torch.stack([model.scores(part.contiguous(), target, "probability") for part in parts])
    counts = minmax(probabilities.T).T

    def explained(part: Tensor, count: Tensor) -> Tensor:
        if not count.any():
            return torch.zeros_like(part[:, 0])
        with uncached(), cached_passes():
            return method(model, part.contiguous(), target) * expand_like(count, part[:, 0])

    with without_flat_warnings():
        whole = blended(map(explained, parts, counts), windows, x.shape[2:])
    return minmax(whole)
