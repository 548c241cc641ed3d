"""Images with the heatmaps of several methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from fusioncam.errors import ShapeError
from fusioncam.report.figures.style import new_figure, styled
from fusioncam.visualization import DEFAULT_OPACITY, OverlayStyle, overlay, wrap_name

_MAX_TITLE = 22  # characters of a title as wide as an image


@styled()
def side_by_side_figure(
    images: Sequence[tuple[str, Image.Image]],
    heatmaps: Mapping[str, Sequence[NDArray[np.float32]]],
    opacity: float = DEFAULT_OPACITY,
) -> Figure:
    """Draw images and the heatmaps of methods side by side, as in figures 2 and 4 of the Fusion-CAM paper.

    ``images`` are (name, image) pairs, one row each. ``heatmaps`` maps each method, one column each, to one heatmap
    ``(H, W)`` in [0, 1] per image. Raises :class:`ShapeError` if a method has not one heatmap per image.
    """
    for method, of_method in heatmaps.items():
        if len(of_method) != len(images):
            raise ShapeError(f"expected a heatmap of {method} for each of {len(images)} images, got {len(of_method)}")
    columns, heights = 1 + len(heatmaps), [image.height / image.width for _, image in images]
    figure = new_figure(1.55 * columns + 0.3, 1.52 * sum(heights) + 0.05 * len(heights) + 0.25)
    grid = figure.subplots(len(images), columns, squeeze=False, height_ratios=heights)
    for index, (name, image) in enumerate(images):
        overlays = [overlay(image, of_method[index], OverlayStyle(opacity)) for of_method in heatmaps.values()]
        for axes, panel in zip(grid[index], [image.convert("RGB"), *overlays], strict=True):
            axes.imshow(panel)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        grid[index, 0].set_ylabel(wrap_name(name, _MAX_TITLE), fontsize=8)
    for axes, title in zip(grid[0], ("image", *heatmaps), strict=True):
        axes.set_title(wrap_name(title, _MAX_TITLE), fontsize=8, loc="center", weight="normal")
    return figure
