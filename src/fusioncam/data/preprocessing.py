"""How the pixels of an image become a network's input, and which part of the image it then sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from fusioncam.errors import ShapeError, require_known

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_VIEW_SIDE = 1024  # a view is for looking at: larger ones only cost disk


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the centre, scale to [0, 1], normalise: the usual evaluation transform.

    ``size`` is the input's (height, width). ``resize`` is what the image's shorter side becomes before the
    crop, or the (height, width) to which the whole image is squashed. ``mean`` and ``std`` are one
    number a channel, of pixels in [0, 1]; their count says whether the network takes grey or RGB.
    """

    size: tuple[int, int] = (224, 224)
    resize: int | tuple[int, int] = 256
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        require_known("interpolation", self.interpolation, INTERPOLATIONS)
        if _count(self.size) != 2 or min(self.size) < 1:
            raise ShapeError(f"size is the input's (height, width), got {self.size}")
        if _count(self.mean) != _count(self.std) or _count(self.mean) not in (1, 3) or min(self.std) <= 0:
            raise ShapeError(f"mean and std want 1 or 3 numbers each, std above 0, got {self.mean} and {self.std}")
        sides = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if _count(sides) != 2 or sides[0] < self.size[0] or sides[1] < self.size[1]:
            raise ShapeError(f"resize {self.resize} is smaller than the crop {self.size}: make it larger")

    def __call__(self, image: Image.Image) -> Tensor:
        """Turn an upright RGB image into one input ``(C, H, W)``, normalised."""
        image = image.convert("L" if len(self.mean) == 1 else "RGB")
        resized = tv.resize(image, self._resized(image.size), InterpolationMode(self.interpolation))
        pixels = tv.to_dtype(tv.pil_to_tensor(tv.center_crop(resized, list(self.size))), torch.float32, scale=True)
        normalised: Tensor = tv.normalize(pixels, list(self.mean), list(self.std))
        return normalised

    def view(self, image: Image.Image) -> Image.Image:
        """Cut out what the network sees, at the image's own resolution (at most 1,024 pixels a side)."""
        (columns, rows, left, top), (height, width) = self.window(image.size), self.size
        across, down = image.width / columns, image.height / rows
        box = (left * across, top * down, (left + width) * across, (top + height) * down)
        scale = min(max(across, down, 1), _VIEW_SIDE / max(self.size))
        shown = (max(width, round(width * scale)), max(height, round(height * scale)))
        return image.convert("RGB").resize(shown, INTERPOLATIONS[self.interpolation], box=box)

    def window(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Give columns and rows that an image of ``size`` (width, height) becomes, and the crop's left and top."""
        rows, columns = self._resized(size)
        return columns, rows, round((columns - self.size[1]) / 2), round((rows - self.size[0]) / 2)

    def _resized(self, size: tuple[int, int]) -> list[int]:
        if not isinstance(self.resize, int):
            return list(self.resize)
        rows, columns = (int(self.resize * side / min(size)) for side in size[::-1])
        return [rows, columns]


def _count(numbers: object) -> int:
    return len(numbers) if isinstance(numbers, Sequence) else 0
