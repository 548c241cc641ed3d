"""Preprocessing of volumes: from a file to the input of a 3-D network, and from a heatmap back to the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.data.volumes import Grid, Volume, nibabel, reoriented, restored
from fusioncam.errors import ImageError, SettingError, require_known, shown
from fusioncam.functional.heatmaps import upsample

SCALES = ("percentiles", "z-score")
_PERCENTILES = (0.5, 99.5)
_COUNTED = 1_000_000  # values from which the percentiles are estimated
_BLANK = (64, 64, 64)
_DIRECTIONS = ({"L", "R"}, {"P", "A"}, {"I", "S"})


@dataclass(frozen=True)
class VolumePreprocessing(Preprocessing):
    """Reorient, scale, resize and normalise a volume: what MONAI's and other 3-D networks take.

    Args:
        size: the (D, H, W) of the input, to which the volume is resized. Without ``size`` and ``spacing`` the volume
            keeps its size.
        mean: a number for each channel, subtracted after scaling.
        std: a number for each channel, by which the values are then divided.
        scale: ``(low, high)``, the values that become 0 and 1, beyond which they are clipped, for example
            ``(-160, 240)`` Hounsfield units; "percentiles" of each volume and channel (0.5 and 99.5); or "z-score",
            which subtracts the mean and divides by the standard deviation.
        spacing: the size of a voxel in millimetres along the axes of the input, instead of ``size``.
        orientation: reorders and reverses the axes first, for example "RAS".
        axes: the order of the input's axes: "xyz" as in MONAI and nibabel, "zyx" with slices first, as in SimpleITK
            and videos.

    Raises:
        SettingError: for bad settings.

    Examples:
        ```python
        preprocessing = fc.VolumePreprocessing(size=(32, 32, 32), scale=(-160, 240))
        model = fc.ExplainedModel(scan_network, preprocessing=preprocessing)
        explanation = fc.explain("scan.nii.gz", model=model, method="grad-cam")  # heatmap (32, 32, 32)
        ```
    """

    size: tuple[int, int, int] | None = None  # type: ignore[assignment] # an input of three sides
    resize: str = field(default="whole", init=False)
    interpolation: str = field(default="trilinear", init=False)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: tuple[float, float] | str = "percentiles"
    spacing: tuple[float, float, float] | None = None
    orientation: str | None = None
    axes: str = "xyz"

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean or min(self.std) <= 0:
            got = f"{self.mean} and {self.std}"
            raise SettingError(f"mean and std must have one number per channel, std above 0, got {got}")
        for name, sides in (("size", self.size), ("spacing", self.spacing)):
            if sides is not None and (len(sides) != 3 or min(sides) <= 0):
                raise SettingError(f"{name} must be three positive numbers, got {sides}")
        if self.size is not None and self.spacing is not None:
            raise SettingError(f"size and spacing both set the size, got {self.size} and {self.spacing}: give one")
        require_known("axes", self.axes, ("xyz", "zyx"))
        if isinstance(self.scale, str):
            require_known("scale", self.scale, SCALES)
        elif len(self.scale) != 2 or not self.scale[0] < self.scale[1]:
            raise SettingError(f"scale must be (low, high) or one of {', '.join(SCALES)}, got {shown(self.scale)}")
        if self.orientation is not None and not _is_orientation(self.orientation):
            raise SettingError(f"orientation must have a letter of LR, PA and IS each, got {self.orientation!r}")

    def blank_input(self) -> Tensor:
        """Return an input ``(1, C, D, H, W)`` of zeros, for what depends only on the shape."""
        return torch.zeros(1, self.channels, *(self.size or _BLANK))

    def __call__(self, image: Any) -> Tensor:
        """Return the input ``(C, D, H, W)`` of a volume; raise :class:`ImageError` for another number of channels."""
        if not isinstance(image, Volume):
            _refuse_image()
        values, grid = image.values, image.grid
        if values.shape[3] != self.channels:
            raise ImageError(
                f"the volume has {values.shape[3]} channels and the network's preprocessing {self.channels}: pass a "
                "VolumePreprocessing with one number per channel in mean and std"
            )
        oriented = values if self.orientation is None else reoriented(values, grid, self.orientation)
        x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(oriented, -1, 0)))
        x = torch.stack([self._scaled(channel) for channel in self._in_order(x)])
        mean, std = (torch.tensor(one)[:, None, None, None] for one in (self.mean, self.std))
        return (_resized(x, self._sides(grid)) - mean) / std

    def on_grid(self, heatmap: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
        """Return a heatmap ``(D, H, W)`` of the input on the voxels of the file, ``(X, Y, Z)``."""
        whole = upsample(torch.from_numpy(heatmap)[None], self._ordered(self._oriented_shape(grid)))
        values = self._in_order(whole)[0].numpy()
        return values if self.orientation is None else restored(values, grid, self.orientation)

    def shown(self, x: Tensor) -> Volume:
        """Return an input ``(C, D, H, W)`` as a volume of cubes, to look at, whose voxels are those of the input."""
        values = self._in_order(x.float()).movedim(0, -1).numpy()
        codes = nibabel().orientations.axcodes2ornt(self.orientation or "LPS")
        affine = nibabel().orientations.inv_ornt_aff(codes, values.shape[:3])
        return Volume(np.ascontiguousarray(values), affine)

    def view(self, image: Any) -> NoReturn:
        """Raise :class:`SettingError`: a volume has no view of two sides."""
        _refuse_image()

    def window(self, size: tuple[int, int]) -> NoReturn:
        """Raise :class:`SettingError`: images have no window in a volume."""
        _refuse_image()

    def _in_order(self, x: Tensor) -> Tensor:
        """Exchange the axes ``(..., X, Y, Z)`` and those of the input; it is its own inverse."""
        return x if self.axes == "xyz" else x.transpose(-1, -3)

    def _ordered(self, sides: Sequence[Any]) -> list[Any]:
        return list(sides if self.axes == "xyz" else sides[::-1])

    def _oriented_shape(self, grid: Grid) -> tuple[int, ...]:
        if self.orientation is None:
            return grid.shape
        return reoriented(np.broadcast_to(np.uint8(0), grid.shape), grid, self.orientation).shape

    def _sides(self, grid: Grid) -> list[int]:
        """Return the sides of the input for a volume."""
        shape = self._ordered(self._oriented_shape(grid))
        if self.spacing is None:
            return shape if self.size is None else list(self.size)
        order = [0, 1, 2] if self.orientation is None else _axes_in(grid, self.orientation)
        known = self._ordered(grid.spacing[order].tolist())
        return [max(1, round(n * is_ / wanted)) for n, is_, wanted in zip(shape, known, self.spacing, strict=True)]

    def _scaled(self, channel: Tensor) -> Tensor:
        if self.scale == "z-score":
            deviation = channel.double().std(correction=0).item()
            return (channel - channel.double().mean().item()) / (deviation or 1)
        low, high = self._limits(channel)
        return ((channel - low) / (high - low or 1)).clamp(0, 1)

    def _limits(self, channel: Tensor) -> tuple[float, float]:
        if not isinstance(self.scale, str):
            return self.scale
        some = channel.flatten()[:: max(1, channel.numel() // _COUNTED)].numpy()
        low, high = np.percentile(some, _PERCENTILES)
        return float(low), float(high)


def _axes_in(grid: Grid, orientation: str) -> list[int]:
    """Return the axes of the file in the order of an orientation."""
    pairs = [next(number for number, pair in enumerate(_DIRECTIONS) if letter in pair) for letter in grid.orientation]
    return [
        pairs.index(number) for letter in orientation for number, pair in enumerate(_DIRECTIONS) if letter in pair
    ]


def _is_orientation(text: object) -> bool:
    return isinstance(text, str) and len(text) == 3 and all(len(one & set(text)) == 1 for one in _DIRECTIONS)


def _resized(x: Tensor, sides: Sequence[int]) -> Tensor:
    """Resize ``(C, *s)``: sides that shrink are averaged, so that no voxel is skipped; others are interpolated."""
    smaller = [min(side, wanted) for side, wanted in zip(x.shape[1:], sides, strict=True)]
    if smaller != list(x.shape[1:]):
        x = F.interpolate(x[None], size=smaller, mode="area")[0]
    return x if smaller == list(sides) else upsample(x, sides)


def _refuse_image() -> NoReturn:
    raise SettingError(
        "the network takes volumes, not images: name a .nii, .nii.gz or TIFF file, or a DICOM folder; for a network "
        "of clips pass ExplainedModel(network, preprocessing=ClipPreprocessing(...))"
    )
