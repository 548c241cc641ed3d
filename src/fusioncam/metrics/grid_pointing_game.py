"""The grid pointing game: localization without annotations, on mosaics of images of different classes.

A benchmark uses it as follows::

    metric = GridPointingGame(side=3)
    for group in groups(predicted, metric.tiles(x), seed=0):        # indices of nine images of nine classes
        values = metric(model, x[group], predicted[group], heatmaps[group], method=method)     # (9,)

Only images that the network classifies well are meaningful here: choose them by their probability.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.errors import ShapeError, TargetError, require_number
from fusioncam.methods.base import Method
from fusioncam.metrics.base import Metric, regenerate, validate_heatmaps
from fusioncam.metrics.localization import energy_share
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, as_targets


@dataclass(frozen=True)
class GridPointingGame(Metric):
    """Grid pointing game: the share of the heatmap for one tile's class that lies in that tile (Boehle et al. 2021).

    arXiv 2104.00032. A mosaic has ``side`` tiles per side, 3 in the paper. Each image is one tile, and the method
    explains the class of each tile. By chance the share is ``1 / tiles``. The mosaic is ``side`` times as large as an
    image, which networks of a fixed input size reject: ``shrink`` reduces it to the size of one image. NaN where the
    heatmap of the mosaic has no positive pixel.

    The images of a call, ``tiles(x)`` of them or a multiple, fill the mosaics in order; those of one mosaic must have
    different classes. Only the shape of ``heatmaps`` is checked: ``method`` computes the heatmaps of the mosaics.
    """

    family: ClassVar[str] = "localization"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2104.00032"
    needs_method: ClassVar[bool] = True
    cost: ClassVar[MetricPasses] = MetricPasses(methods=1)

    side: int = 3
    shrink: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("side", self.side, 2, integer=True)

    def tiles(self, x: Tensor) -> int:
        """Return the number of images such as ``x`` ``(N, C, *s)`` in a mosaic."""
        return int(self.side ** (x.dim() - 2))

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the share of each image ``(N,)`` in [0, 1]."""
        heatmaps = validate_heatmaps(heatmaps, x)
        targets, tiles = as_targets(target, x), self.tiles(x)
        if not isinstance(targets, Tensor) or targets.dim() != 1:
            got = f"weights {tuple(targets.shape)}" if isinstance(targets, Tensor) else "a function of the scores"
            raise TargetError(f"{self!r} needs class indices (N,), got {got}")
        if len(x) % tiles:
            raise ShapeError(f"{self!r} needs a multiple of {tiles} images, got {len(x)}: choose them with groups()")
        mosaics = zip(x.reshape(-1, tiles, *x.shape[1:]), targets.reshape(-1, tiles), strict=True)
        return torch.cat([self._shares(model, images, classes, method) for images, classes in mosaics]).to(heatmaps)

    def _shares(self, model: ExplainedModel, images: Tensor, classes: Tensor, method: Method) -> Tensor:
        """Return the value of each tile ``(tiles,)`` of one mosaic."""
        whole, masks = self.mosaic(images, classes)
        # one class at a time, because a mosaic is large
        shares = [
            energy_share(regenerate(method, model, whole, index[None]), mask[None])
            for index, mask in zip(classes, masks, strict=True)
        ]
        return torch.cat(shares)

    def mosaic(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mosaic ``(1, C, *S)`` of images and the mask of each tile ``(tiles, *S)``.

        Raises :class:`TargetError` unless the classes differ.
        """
        if len(set(classes.tolist())) < len(classes):
            raise TargetError(
                f"images of a mosaic must have different classes, got {classes.tolist()}: choose them with groups()"
            )
        whole = mosaic(images, self.side)
        if self.shrink:
            whole = shrunk(whole, images.shape[2:])
        return whole, tile_masks(self.side, whole.shape[2:]).to(whole.device)


def mosaic(images: Tensor, side: int) -> Tensor:
    """Arrange images ``(side ** d, C, *s)`` row by row in one image ``(1, C, *side s)``; d is the number of sides.

    >>> mosaic(torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1, 1), 2)[0, 0].tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    sides = images.dim() - 2
    grid = images.reshape(*[side] * sides, *images.shape[1:])
    order = [axis for n in range(sides) for axis in (n, sides + 1 + n)]
    return grid.permute(sides, *order).reshape(1, images.shape[1], *[side * length for length in images.shape[2:]])


def shrunk(images: Tensor, size: Sequence[int]) -> Tensor:
    """Return images ``(N, C, *S)`` at ``(N, C, *size)``: each new pixel is the mean of the pixels that it covers."""
    return F.interpolate(images, size=tuple(size), mode="area")


def tile_masks(side: int, size: Sequence[int]) -> Tensor:
    """Return the mask of each tile of a mosaic ``(side ** d, *size)``, row by row.

    A pixel belongs to the tile that contains its centre.
    """
    numbers = torch.zeros(tuple(size), dtype=torch.long)
    for axis, length in enumerate(size):
        number = (2 * torch.arange(length) + 1) * side // (2 * length)
        numbers = numbers * side + number.reshape([-1 if n == axis else 1 for n in range(len(size))])
    return numbers == torch.arange(side ** len(size)).reshape(-1, *[1] * len(size))


def groups(classes: Sequence[int] | Tensor, tiles: int, seed: int = 0) -> list[list[int]]:
    """Return the images of as many mosaics as possible: ``tiles`` indices of different ``classes`` ``(N,)`` each.

    No image is in two mosaics. The classes with the most images left are used first; ``seed`` decides between equal
    ones and between the images of a class.

    >>> sorted(map(len, groups([0, 0, 0, 1, 1, 2], tiles=2)))
    [2, 2, 2]
    """
    left: dict[int, list[int]] = defaultdict(list)
    generator = torch.Generator().manual_seed(seed)
    labels = [int(label) for label in classes]
    for image in torch.randperm(len(labels), generator=generator).tolist():
        left[labels[image]].append(image)
    chosen: list[list[int]] = []
    while sum(map(bool, left.values())) >= tiles:
        fullest = sorted(left, key=lambda label: -len(left[label]))[:tiles]
        chosen.append([left[label].pop() for label in fullest])
    return chosen
