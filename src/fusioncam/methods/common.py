"""What every method is, and what all of them do at their ends."""

from __future__ import annotations

import warnings
from typing import Protocol

from torch import Tensor

from ..errors import FlatHeatmapWarning, UnknownNameError
from ..maps import is_flat
from ..model import ExplainedModel, Target


class Method(Protocol):
    """Anything that turns a model, inputs ``(N, C, *s)`` and targets ``(N,)`` into heatmaps ``(N, *s)``."""

    def __call__(self, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
        """Give heatmaps ``(N, *s)`` in [0, 1]."""
        ...


def checked(heatmaps: Tensor, method: object, *, instead: str = "zeros say that it has nothing to show") -> Tensor:
    """Hand on the heatmaps, and warn of those that are constant."""
    flat = is_flat(heatmaps).nonzero()[:, 0].tolist()
    if flat:
        which = ", ".join(map(str, flat))
        warnings.warn(
            f"{method!r} gave a constant map for picture {which} of the batch: {instead}",
            FlatHeatmapWarning,
            stacklevel=3,
        )
    return heatmaps


def require_percentile(theta: object) -> None:
    """Raise :class:`UnknownNameError` unless ``theta`` is a number from 0 to 100."""
    if isinstance(theta, bool) or not isinstance(theta, (int, float)) or not 0 <= theta <= 100:
        raise UnknownNameError(f"theta is a percentile from 0 to 100, got {theta!r}")
