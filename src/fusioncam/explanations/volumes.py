"""Explanations of volumes: slices to look at, and the heatmap as NIfTI on the voxels of the file."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.data.volume_files import open_volume
from fusioncam.data.volume_preprocessing import VolumePreprocessing
from fusioncam.data.volume_slices import Slices, montage
from fusioncam.data.volumes import Grid, Volume, nibabel
from fusioncam.errors import SettingError, ShapeError
from fusioncam.explanations.explanation import Explanation, Raw
from fusioncam.explanations.items import Item
from fusioncam.functional.regions import Threshold
from fusioncam.visualization import Box, OverlayStyle, overlay, with_colorbar


@dataclass(frozen=True, eq=False)
class VolumeView:
    """What is shown of a volume: the images of some of its slices, and where its voxels are."""

    grid: Grid
    slices: Slices
    images: tuple[Image.Image, ...]

    @classmethod
    def of(cls, volume: Volume) -> VolumeView:
        """Cut the slices of a volume."""
        slices = Slices.of(volume.grid)
        return cls(volume.grid, slices, tuple(slices.images(volume.values, volume.grid)))

    def montage(self, images: tuple[Image.Image, ...] | list[Image.Image]) -> Image.Image:
        """Arrange images of the slices, with their numbers counted from 1."""
        return montage(images, [f"slice {index + 1}" for index in self.slices.indices])


@dataclass(frozen=True, eq=False, repr=False)
class VolumeExplanation(Explanation):
    """One heatmap of one volume: ``heatmap`` is ``(D, H, W)``, as the network's input.

    ``image`` and :meth:`overlay` show slices of the volume. Instead of ``.npy`` the heatmap is stored as ``.nii.gz``,
    on the voxels of the file and with its affine, so that viewers show both together.
    """

    view: VolumeView = field(kw_only=True)

    @property
    def full_heatmap(self) -> Tensor:
        """The heatmap ``(X, Y, Z)`` on the voxels of the file."""
        assert isinstance(self.preprocessing, VolumePreprocessing)
        return torch.from_numpy(self.preprocessing.on_grid(self.heatmap.numpy(), self.view.grid).copy())

    @property
    def frame(self) -> tuple[Box, tuple[int, int]]:
        """The whole ``image`` of the slices, and its (width, height)."""
        return (0.0, 0.0, float(self.image.width), float(self.image.height)), self.image.size

    def boxes(self, threshold: Threshold = "otsu", pieces: str = "all") -> list[Box]:
        """Raise :class:`SettingError`: boxes are those of images."""
        raise SettingError("boxes are those of images: use mask(), the highlighted voxels of the file")

    def _drawn(self, style: OverlayStyle, boxes: bool, view: str) -> Image.Image:
        """Return slices of the volume under the heatmap in a style, without boxes."""
        single = replace(style, colorbar=False)
        heatmaps = self.view.slices.cut(self.full_heatmap.numpy(), self.view.grid)
        pairs = zip(self.view.images, heatmaps, strict=True)
        whole = self.view.montage([overlay(image, heatmap, single) for image, heatmap in pairs])
        return with_colorbar(whole, style.colormap) if style.colorbar else whole

    @classmethod
    def file_names(cls, stem: str, raw: Raw = ()) -> list[str]:
        """Return the names of the files that :meth:`save` writes; there are no ``raw`` ones besides NIfTI."""
        return [f"{stem}.png", f"{stem}.nii.gz", f"{stem}.json"]

    def heatmap_file(self) -> bytes:
        """Return a compressed NIfTI file of the heatmap."""
        image = nibabel().Nifti1Image(self.full_heatmap.numpy(), self.view.grid.affine)
        image.header.set_xyzt_units("mm")
        return gzip.compress(image.to_bytes(), 1, mtime=0)

    def facts(self) -> dict[str, Any]:
        """Return everything but the voxels, ready for JSON."""
        slices, grid = self.view.slices, self.view.grid
        volume = {
            "shape": list(grid.shape),
            "affine": grid.affine.tolist(),
            "axis": slices.axis,
            "slices": list(slices.indices),
            "size": list(slices.size),
        }
        return super().facts() | {"volume": volume}


def sides_of(preprocessing: Preprocessing) -> int:
    """Return the number of sides of an input: 3 of a volume, otherwise 2."""
    return 3 if isinstance(preprocessing, VolumePreprocessing) else 2


def explanation_of(view: Image.Image | VolumeView, **settings: Any) -> Explanation:
    """Return the explanation of an image or of a volume."""
    if isinstance(view, VolumeView):
        return VolumeExplanation(image=view.montage(view.images), view=view, **settings)
    return Explanation(image=view, **settings)


def open_volume_item(item: Item, preprocessing: VolumePreprocessing, frame: int | None) -> tuple[Tensor, VolumeView]:
    """Return the network's input ``(C, D, H, W)`` and what is shown; an input of a batch is used as it is.

    Raises :class:`ImageError` for a volume that cannot be opened, and :class:`ShapeError` for an input of other
    channels than the preprocessing.
    """
    if item.is_input:
        return _open_input(item, preprocessing)
    volume = open_volume(item.image, preprocessing.channels, frame)
    return preprocessing(volume), VolumeView.of(volume)


def _open_input(item: Item, preprocessing: VolumePreprocessing) -> tuple[Tensor, VolumeView]:
    x = item.image
    assert isinstance(x, Tensor)
    x = x.detach().as_subclass(Tensor).cpu()
    if len(x) != preprocessing.channels:
        raise ShapeError(
            f"the volumes of the batch have {len(x)} channels, and the model's preprocessing has "
            f"{preprocessing.channels}: pass an ExplainedModel with the VolumePreprocessing of the batch"
        )
    return x, VolumeView.of(preprocessing.shown(x))
