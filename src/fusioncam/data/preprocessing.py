"""Preprocessing: from the pixels of an image to the input of a network, and back to the crop that the input shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from fusioncam.data.channels import ChannelImage, OpenedImage, as_rgb, bands_of
from fusioncam.data.transforms import settings_of
from fusioncam.errors import SettingError, require_known
from fusioncam.utils.old_names import old_keywords

INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_VIEW_SIDE = 1024  # views are for reading on a screen: larger ones only cost disk space
FIT, WHOLE = "fit", "whole"
_MOST_WHOLE = 16  # times the pixels of the usual input, for very long images
_GREY = 114  # of the bars, as in ultralytics


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop the centre, scale to [0, 1], normalise: the usual evaluation transform.

    Args:
        size: the (height, width) of the input.
        resize: the length of the image's shorter side before the crop, the (height, width) to which the whole image
            is resized without keeping its proportions, or a word: with "fit" the whole image keeps its proportions,
            with grey bars where it is narrower than the input, as detectors are trained; with "whole" it keeps them
            too, and the input is larger than ``size`` where the image is longer, for networks that take any size.
        interpolation: of resizing, such as "bicubic" or "bilinear".
        mean: a number for each channel, for pixels in [0, 1]; one number means a grey input, three mean RGB, and for
            any other number the image must have as many channels.
        std: a number for each channel.

    Raises:
        UnknownNameError: for an unknown interpolation.
        SettingError: for other bad settings.

    Examples:
        ```python
        preprocessing = fc.Preprocessing(size=(64, 64), resize=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        preprocessing(Image.open("cat.jpg")).shape  # (3, 64, 64)
        ```
    """

    size: tuple[int, int] = (224, 224)
    resize: int | tuple[int, int] | str = 256
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        require_known("interpolation", self.interpolation, INTERPOLATIONS)
        if _count(self.size) != 2 or min(self.size) < 1:
            raise SettingError(f"size must be the input's (height, width), got {self.size}")
        if _count(self.mean) != _count(self.std) or _count(self.mean) < 1 or min(self.std) <= 0:
            raise SettingError(
                f"mean and std must have one number per channel, std above 0, got {self.mean} and {self.std}"
            )
        if isinstance(self.resize, str):
            require_known("resize", self.resize, (FIT, WHOLE))
            return
        sides = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if _count(sides) != 2 or sides[0] < self.size[0] or sides[1] < self.size[1]:
            raise SettingError(f"resize must be at least the crop {self.size}, got {self.resize}: increase it")

    @classmethod
    def for_channels(cls, channels: int | None) -> Preprocessing:
        """Return the usual transform for a network of so many channels; None means RGB.

        Each channel of another network has the average of ImageNet's mean and standard deviation.
        """
        if channels in (None, 3):
            return cls()
        return cls(mean=(sum(cls.mean) / 3,) * channels, std=(sum(cls.std) / 3,) * channels)

    @classmethod
    def of(cls, transform: object) -> Preprocessing:
        """Return the preprocessing of another library: what belongs to the weights of a network.

        ``transform`` is an image processor of transformers (``AutoImageProcessor``), ``weights.transforms()`` of
        torchvision, the ``preprocess`` that open_clip returns or another Compose of torchvision's transforms, or
        timm's data config (``timm.data.resolve_model_data_config(network)``).

        Raises :class:`InputTypeError` for another object, and :class:`SettingError` for a step that has no
        counterpart.
        """
        return cls(**settings_of(transform))

    def uncropped(self) -> Preprocessing:
        """Return a preprocessing that shows the whole image at the same scale, for networks that take any size."""
        if not isinstance(self.resize, int):
            return self  # it crops nothing
        return replace(self, size=(self.resize, self.resize), resize=WHOLE)

    def of_size(self, size: tuple[int, int]) -> Preprocessing:
        """Return the preprocessing of an image of this (width, height): another one only where "whole" resizes it."""
        if self.resize != WHOLE:
            return self
        scale = max(self.size[0] / size[1], self.size[1] / size[0])
        pixels = scale**2 * size[0] * size[1]
        scale *= min(1, (_MOST_WHOLE * self.size[0] * self.size[1] / pixels) ** 0.5)
        rows, columns = (max(1, round(side * scale)) for side in size[::-1])
        return replace(self, size=(rows, columns), resize=(rows, columns))

    @property
    def channels(self) -> int:
        """The number of channels of the input."""
        return len(self.mean)

    def blank_input(self) -> Tensor:
        """Return an input ``(1, C, H, W)`` of zeros, for what depends only on the shape."""
        return torch.zeros(1, self.channels, *self.size)

    @old_keywords(picture="image")
    def __call__(self, image: OpenedImage) -> Tensor:
        """Return the normalised input ``(C, H, W)`` of an upright RGB image, or of one with as many channels.

        Raises :class:`ImageError` for another number of channels.
        """
        pixels = self.of_size(image.size)._pixels(image)
        normalised: Tensor = tv.normalize(pixels, list(self.mean), list(self.std))
        return normalised

    def _pixels(self, image: OpenedImage) -> Tensor:
        """Return the resized and cropped pixels ``(C, H, W)`` in [0, 1]."""
        if isinstance(image, Image.Image) and self.channels not in (1, 3):
            image = bands_of(image, self.channels, "the image")
        shape, mode = self._resized_shape(image.size), InterpolationMode(self.interpolation)
        bars = self._bars(shape)
        if isinstance(image, ChannelImage):
            # torch has no Lanczos kernel
            mode = InterpolationMode.BICUBIC if mode == InterpolationMode.LANCZOS else mode
            values: Tensor = tv.pad(tv.resize(image.tensor, shape, mode), bars, fill=_GREY / 255)
            return tv.center_crop(values, list(self.size)).clamp(0, 1)  # type: ignore[no-any-return]
        resized = tv.pad(
            tv.resize(image.convert("L" if self.channels == 1 else "RGB"), shape, mode), bars, fill=_GREY
        )
        pixels = tv.pil_to_tensor(tv.center_crop(resized, list(self.size)))
        scaled: Tensor = tv.to_dtype(pixels, torch.float32, scale=True)
        return scaled

    @old_keywords(picture="image")
    def view(self, image: OpenedImage) -> Image.Image:
        """Return the crop that the input shows, at the image's own resolution but at most 1,024 pixels a side.

        The first three of more channels are shown as red, green and blue.
        """
        if self.resize == WHOLE:
            return self.of_size(image.size).view(image)
        (columns, rows, _, _), (height, width) = self.window(image.size), self.size
        scale = min(max(image.width / columns, image.height / rows, 1), _VIEW_SIDE / max(self.size))
        size = (max(width, round(width * scale)), max(height, round(height * scale)))
        rgb = as_rgb(image)
        box = self.visible_box(image.size)
        if self.resize == FIT:
            rgb = self._with_bars(rgb, (columns, rows))
            box = (0, 0, *rgb.size)
        return rgb.resize(size, INTERPOLATIONS[self.interpolation], box=box)

    def visible_box(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the part of an image that the network receives, in its pixels.

        ``size`` is the (width, height) of the image.

        >>> Preprocessing(size=(224, 224), resize=256).visible_box((512, 256))
        (144.0, 16.0, 368.0, 240.0)
        """
        (columns, rows, left, top), (height, width) = self.window(size), self.of_size(size).size
        across, down = size[0] / columns, size[1] / rows
        return left * across, top * down, (left + width) * across, (top + height) * down

    def window(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return ``(columns, rows, left, top)``: the size of the resized image, and the corner of the crop in it.

        ``size`` is the (width, height) of the image. The corner is negative where there are bars.
        """
        if self.resize == WHOLE:
            return self.of_size(size).window(size)
        rows, columns = self._resized_shape(size)
        if self.resize == FIT:
            left, top, *_ = self._bars([rows, columns])
            return columns, rows, -left, -top
        return columns, rows, round((columns - self.size[1]) / 2), round((rows - self.size[0]) / 2)

    def _with_bars(self, image: Image.Image, resized: tuple[int, int]) -> Image.Image:
        """Return the image on a grey ground of the input's proportions, at its own resolution."""
        left, top, right, bottom = self._bars([resized[1], resized[0]])
        across, down = image.width / resized[0], image.height / resized[1]
        bars = [round(left * across), round(top * down), round(right * across), round(bottom * down)]
        barred: Image.Image = tv.pad(image, bars, fill=_GREY)
        return barred

    def _bars(self, shape: Sequence[int]) -> list[int]:
        """Return the widths of the bars left, above, right and below of a resized image (rows, columns)."""
        if self.resize != FIT:
            return [0] * 4
        down, across = self.size[0] - shape[0], self.size[1] - shape[1]
        return [across // 2, down // 2, across - across // 2, down - down // 2]

    def _resized_shape(self, size: tuple[int, int]) -> list[int]:
        if isinstance(self.resize, str):
            scale = min(self.size[0] / size[1], self.size[1] / size[0])
            return [max(1, round(side * scale)) for side in size[::-1]]
        if not isinstance(self.resize, int):
            return list(self.resize)
        rows, columns = (int(self.resize * side / min(size)) for side in size[::-1])
        return [rows, columns]


def _count(numbers: object) -> int:
    return len(numbers) if isinstance(numbers, Sequence) else 0
