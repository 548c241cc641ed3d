"""Measure how much of an image a network receives, and whether there is anything to see in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from fusioncam.data.preprocessing import Preprocessing

_DARK = 20  # of 255: values of 12 bits that are read as 16 bits reach 15
_BRIGHT_SHARE = 0.01  # of the pixels: stars are bright, the rest of a night sky is not
_LEAST_KEPT = 0.4  # of the area: 16:9 keeps 0.43 with the usual preprocessing
_SIDE = 256


@dataclass(frozen=True)
class ImageContent:
    """How bright an image is, and how much of it the network receives.

    ``brightness`` in [0, 1] is exceeded by one pixel in a hundred of the part that the network receives; ``kept`` is
    that part's share of the area.
    """

    brightness: float
    kept: float

    @property
    def problems(self) -> list[str]:
        """What may be wrong with the image, and what to do, in one sentence each."""
        found = []
        if self.brightness < _DARK / 255:
            found.append(
                f"the image is nearly black: 99% of its pixels are at most {max(self.brightness, 0):.0%} bright. If "
                "that is wrong, scale its values to 0 to 255"
            )
        if self.kept < _LEAST_KEPT:
            found.append(
                f"the network receives {self.kept:.0%} of the image, the rest is cropped away: crop the part that "
                "you mean, use --view whole, or pass Preprocessing(size, resize=size) to resize the whole image"
            )
        return found


def contents_of(
    x: Tensor, preprocessing: Preprocessing, sizes: Sequence[tuple[int, int]] | None = None
) -> list[ImageContent]:
    """Return the content of each input ``(N, C, H, W)``; ``sizes`` are (width, height) of the images they come from.

    Without the sizes, ``kept`` is 1.
    """
    step = max(1, max(x.shape[2:]) // _SIDE)
    mean, std = (x.new_tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    pixels = (x[..., ::step, ::step] * std + mean).amax(1).flatten(1).float()
    brightness = pixels.quantile(1 - _BRIGHT_SHARE, dim=1).tolist()
    kept = [1.0] * len(x) if sizes is None else [_kept(size, preprocessing) for size in sizes]
    return [ImageContent(*both) for both in zip(brightness, kept, strict=True)]


def _kept(size: tuple[int, int], preprocessing: Preprocessing) -> float:
    columns, rows, _, _ = preprocessing.window(size)
    height, width = preprocessing.of_size(size).size
    return height * width / (rows * columns)
