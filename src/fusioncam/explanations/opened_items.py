"""Open one image or volume: the network's input, what is shown below the heatmap, and how much there is to see."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fusioncam.data.channels import ChannelImage, as_8_bits
from fusioncam.data.image_content import ImageContent, contents_of
from fusioncam.data.images import open_with_channels
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.data.volume_files import is_volume_file
from fusioncam.data.volume_preprocessing import VolumePreprocessing
from fusioncam.errors import FusionCamWarning, ImageError, ShapeError
from fusioncam.explanations.items import Item
from fusioncam.explanations.original import Original
from fusioncam.explanations.volumes import VolumeView, open_volume_item


@dataclass(frozen=True, eq=False)
class OpenedItem:
    """An input ``x`` ``(C, *s)``, the ``view`` of what it shows, and of images the content and the whole image."""

    x: Tensor
    view: Image.Image | VolumeView
    content: ImageContent | None = None
    original: Original | None = None


def open_item(item: Item, preprocessing: Preprocessing, frame: int | None) -> OpenedItem:
    """Open and preprocess an image; an input of a batch is used as it is.

    Raises :class:`ImageError` for an image that cannot be opened, and :class:`ShapeError` for an input of other
    channels than the preprocessing.
    """
    if isinstance(preprocessing, VolumePreprocessing):
        return OpenedItem(*open_volume_item(item, preprocessing, frame))
    if item.is_input:
        return _open_input(item, preprocessing)
    if isinstance(item.image, str | os.PathLike) and is_volume_file(item.image):
        raise ImageError(
            f"{item.image}: a volume, and the network takes images: pass a 3-D network, or an ExplainedModel("
            "network, preprocessing=VolumePreprocessing(...))"
        )
    image = open_with_channels(item.image, preprocessing.channels, frame=frame)
    x = preprocessing(image)
    (content,) = contents_of(x[None], preprocessing, [image.size])
    original = Original.of(item.image, image, preprocessing, frame)
    return OpenedItem(x, preprocessing.view(image), content, original)


def _open_input(item: Item, preprocessing: Preprocessing) -> OpenedItem:
    x = torch.as_tensor(item.image).as_subclass(Tensor).detach()
    if x.shape[0] != preprocessing.channels:
        raise ShapeError(
            f"the images of the batch have {x.shape[0]} channels, and the model's preprocessing has "
            f"{preprocessing.channels}: pass an ExplainedModel with the Preprocessing of the batch"
        )
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    pixels = (x.float().cpu() * std + mean).clamp(0, 1).movedim(0, -1).numpy()
    (content,) = contents_of(x[None].float(), preprocessing)
    return OpenedItem(x.cpu(), _shown(np.ascontiguousarray(pixels)), content)


def _shown(pixels: NDArray[np.float32]) -> Image.Image:
    if pixels.shape[2] in (1, 3):
        return as_8_bits(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
    return ChannelImage(pixels).as_rgb()


def warn_about_images(names: Iterable[str], opened: Iterable[OpenedItem]) -> None:
    """Warn about images that are nearly black or mostly cropped away."""
    for name, one in zip(names, opened, strict=True):
        for problem in one.content.problems if one.content else ():
            warnings.warn(f"{name}: {problem}", FusionCamWarning, stacklevel=2)
