"""Image functions under the names of pytorch-grad-cam; images are NumPy arrays ``(H, W, C)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from torch import Tensor

from fusioncam.compat.pytorch_grad_cam.unavailable import create_labels_legend, show_factorization_on_image
from fusioncam.errors import SettingError, ShapeError, require_known
from fusioncam.functional.heatmaps import minmax, upsample

__all__ = [
    "create_labels_legend",
    "deprocess_image",
    "preprocess_image",
    "scale_accross_batch_and_channels",
    "scale_cam_image",
    "show_cam_on_image",
    "show_factorization_on_image",
]

# OpenCV's numbers of the colour maps that matplotlib has too
_COLOUR_MAPS = {
    0: "autumn",
    1: "bone",
    2: "jet",
    3: "winter",
    4: "rainbow",
    5: "ocean",
    6: "summer",
    7: "spring",
    8: "cool",
    9: "hsv",
    10: "pink",
    11: "hot",
    13: "magma",
    14: "inferno",
    15: "plasma",
    16: "viridis",
    17: "cividis",
    18: "twilight",
    19: "twilight_shifted",
    20: "turbo",
}


def preprocess_image(
    img: NDArray[Any], mean: Sequence[float] = (0.5, 0.5, 0.5), std: Sequence[float] = (0.5, 0.5, 0.5)
) -> Tensor:
    """Return the normalised input ``(1, C, H, W)`` of an image, of bytes or of numbers in [0, 1]."""
    pixels = torch.as_tensor(np.ascontiguousarray(img)).movedim(-1, 0)
    values = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    centre, scale = (values.new_tensor(numbers)[:, None, None] for numbers in (mean, std))
    return ((values - centre) / scale)[None]


def deprocess_image(img: Any) -> NDArray[np.uint8]:
    """Return an array of any range as bytes around a grey of 0.5, with a standard deviation of 0.1."""
    values = np.asarray(img)
    standard = (values - values.mean()) / (values.std() + 1e-5)
    levels: NDArray[np.uint8] = (np.clip(standard * 0.1 + 0.5, 0, 1) * 255).astype(np.uint8)
    return levels


def show_cam_on_image(
    img: NDArray[Any],
    mask: NDArray[Any],
    use_rgb: bool = False,
    colormap: int | str = 2,
    image_weight: float = 0.5,
) -> NDArray[np.uint8]:
    """Return an image in [0, 1] with a heatmap over it, as bytes ``(H, W, 3)``; the brightest value becomes 255.

    Colours are in the order of ``img``: red, green, blue if ``use_rgb``, otherwise blue, green, red. ``colormap`` is
    one of OpenCV's numbers, such as ``cv2.COLORMAP_JET``, or a name of matplotlib.

    Raises :class:`SettingError` for an image or a weight out of [0, 1], and :class:`ShapeError` for a heatmap of
    another size.
    """
    if np.max(img) > 1:
        raise SettingError(f"expected an image of floats in [0, 1], got values up to {np.max(img)}: divide by 255")
    if not 0 <= image_weight <= 1:
        raise SettingError(f"image_weight must be between 0 and 1, got {image_weight}")
    if np.shape(mask) != np.shape(img)[:2]:
        raise ShapeError(f"expected a heatmap of the size of the image {np.shape(img)}, got {np.shape(mask)}")
    heatmap = _coloured(np.uint8(255 * np.asarray(mask)), colormap)
    blended = image_weight * img + (1 - image_weight) * (heatmap if use_rgb else heatmap[..., ::-1])
    overlaid: NDArray[np.uint8] = (255 * blended / blended.max()).astype(np.uint8)
    return overlaid


def _coloured(levels: NDArray[np.uint8], colormap: int | str) -> NDArray[np.float64]:
    """Return the colours ``(H, W, 3)`` in [0, 1] of levels from 0 to 255."""
    name = _COLOUR_MAPS.get(colormap, str(colormap)) if isinstance(colormap, int) else colormap
    require_known("colour map", name, ["jet", *colormaps])
    if name == "jet":  # OpenCV's differs from matplotlib's
        distances = np.abs(levels[..., None] / 255 * 4 - np.array([3, 2, 1]))
        return np.asarray(np.clip(1.5 - distances, 0, 1), np.float64)
    return np.asarray(colormaps[name](levels)[..., :3], np.float64)


def scale_cam_image(cam: Any, target_size: Sequence[int] | None = None) -> NDArray[np.float32]:
    """Rescale maps ``(N, *s)`` to [0, 1], and resize them to ``target_size``, such as ``(width, height)``."""
    scaled = minmax(torch.as_tensor(np.asarray(cam, np.float32)))
    resized: NDArray[np.float32] = (scaled if target_size is None else upsample(scaled, target_size[::-1])).numpy()
    return resized


def scale_accross_batch_and_channels(tensor: Any, target_size: Sequence[int]) -> NDArray[np.float32]:
    """Rescale and resize every channel of ``(N, K, h, w)``."""
    maps = np.asarray(tensor)
    return scale_cam_image(maps.reshape(-1, *maps.shape[2:]), target_size).reshape(
        *maps.shape[:2], *target_size[::-1]
    )
