"""How much the heatmaps of several methods differ on one image."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DISAGREEMENT = "disagreement of the methods"  # its name in a page
_SIDE = 28  # pixels at which heatmaps are compared, so that shifts of a few pixels count little


def disagreement(heatmaps: Iterable[NDArray[np.float32]]) -> float | None:
    """Return 1 minus the mean correlation of all pairs of heatmaps ``(H, W)``: 0 if they are alike.

    Constant heatmaps, which have no correlation, are left out. Returns None for fewer than two others.
    """
    rows = np.stack([_reduced(heatmap) for heatmap in heatmaps] or [np.zeros(1)])
    rows = rows[rows.std(axis=1) > 1e-6]
    if len(rows) < 2:
        return None
    pairs = np.corrcoef(rows)[np.triu_indices(len(rows), 1)]
    return float(1 - pairs.mean())


def _reduced(heatmap: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a heatmap as ``(P,)`` at a low resolution."""
    small = Image.fromarray(np.asarray(heatmap, np.float32)).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float64).ravel()
