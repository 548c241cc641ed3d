"""The colours of heatmaps as tables of SVG filters, so that a page can change them; its heatmaps are grey images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

_SAMPLES = 33  # of each table; a browser interpolates between them
COLOUR_MAPS = ("turbo", "viridis", "inferno", "magma", "jet")
_FULL_HEAT = 0.6  # from this heat on, an opacity that follows the heat is full
_LESS, _MORE = (0.13, 0.30, 0.85), (0.80, 0.09, 0.13)  # blue and red, as differences are often drawn


@dataclass(frozen=True)
class ColourTable:
    """The tables of red, green, blue and opacity over grey levels from 0 to 1, as SVG's ``tableValues``."""

    name: str
    red: str
    green: str
    blue: str
    opacity: str


def colour_tables() -> list[ColourTable]:
    """Return the tables of all colour maps, of equal opacity and of one that follows the heat, and of differences.

    In a difference, 0.5 stands for equal heatmaps, which are transparent.
    """
    grey = np.linspace(0, 1, _SAMPLES)
    colours = {name: colormaps[name](grey)[:, :3] for name in COLOUR_MAPS}
    even = [_table(f"cm-{name}", colours[name], np.ones(_SAMPLES)) for name in COLOUR_MAPS]
    following = [_table(f"cm-{name}-fade", colours[name], np.minimum(1, grey / _FULL_HEAT)) for name in COLOUR_MAPS]
    differences = np.where(grey[:, None] < 0.5, _LESS, _MORE)
    return [*even, *following, _table("cm-difference", differences, np.minimum(1, 5 * np.abs(grey - 0.5)))]


def _table(name: str, colours: NDArray[np.float64], opacity: NDArray[np.float64]) -> ColourTable:
    """Return the table of colours ``(T, 3)`` and opacities ``(T,)``."""
    red, green, blue, opacities = (" ".join(f"{v:.3g}" for v in channel) for channel in (*colours.T, opacity))
    return ColourTable(name, red, green, blue, opacities)
