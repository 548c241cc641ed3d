"""The grid pointing game: localization without annotations, on mosaics of images of different classes.

How a benchmark plays it::

    metric = GridPointingGame(side=3)
    for group in groups(predicted, metric.tiles(x), seed=0):        # indices of nine images of nine classes
        values = metric(model, x[group], predicted[group], heatmaps[group], method=method)     # (9,)

Images that the network knows well make sense here alone: choose them by their probability.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from fusioncam.data.ground_truth import Truth
from fusioncam.errors import ShapeError, TargetError
from fusioncam.methods.base import Method
from fusioncam.metrics.base import regenerate, require_method, require_number, validate_heatmaps
from fusioncam.metrics.localization import energy_share
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, as_targets


@dataclass(frozen=True)
class GridPointingGame:
    """Grid pointing game: of the heatmap for one tile's class, the share that lies in that tile (Boehle et al. 2021).

    arXiv 2104.00032. ``side`` tiles a side make a mosaic, 3 in the paper; each image is a tile once,
    and the method is asked for each tile's class. By chance the share is ``1 / tiles``. The mosaic is ``side`` times
    as large as an image, which networks of one input size refuse: ``shrink`` makes it as large as one image. NaN
    where the heatmap of the mosaic has nothing positive.

    The images of a call, ``tiles(x)`` of them or a multiple, fill the mosaics in their order; those of one mosaic
    have different classes. ``heatmaps`` are not looked at: those of the mosaics are made by ``method``.
    """

    family: ClassVar[str] = "localization"
    higher_is_better: ClassVar[bool] = True
    paper: ClassVar[str] = "arXiv 2104.00032"
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = True
    shares_objective: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "M"

    side: int = 3
    shrink: bool = False

    def __post_init__(self) -> None:
        require_number("side", self.side, int, 2)

    def tiles(self, x: Tensor) -> int:
        """Give how many images such as ``x`` ``(N, C, *s)`` a mosaic has."""
        return int(self.side ** (x.dim() - 2))

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give each image's share ``(N,)`` in [0, 1]."""
        method, heatmaps = require_method(self, method), validate_heatmaps(heatmaps, x)
        targets, tiles = as_targets(target, x), self.tiles(x)
        if targets.dim() != 1:
            raise TargetError(f"{self!r} needs class indices (N,), got weights {tuple(targets.shape)}")
        if len(x) % tiles:
            raise ShapeError(f"{self!r} takes {tiles} images a mosaic, got {len(x)}: give a multiple, see groups")
        values = [
            self._mosaic(model, images, classes, method)
            for images, classes in zip(x.reshape(-1, tiles, *x.shape[1:]), targets.reshape(-1, tiles), strict=True)
        ]
        return torch.cat(values).to(heatmaps)

    def _mosaic(self, model: ExplainedModel, images: Tensor, classes: Tensor, method: Method) -> Tensor:
        if len(set(classes.tolist())) < len(classes):
            raise TargetError(
                f"a mosaic has images of different classes, got {classes.tolist()}: choose them by groups"
            )
        shown = mosaic(images, self.side)
        if self.shrink:
            shown = shrunk(shown, images.shape[2:])
        places = tile_masks(self.side, shown.shape[2:]).to(shown.device)
        # one at a time: a mosaic is large
        shares = [
            energy_share(regenerate(method, model, shown, one[None]), place[None])
            for one, place in zip(classes, places, strict=True)
        ]
        return torch.cat(shares)


def mosaic(images: Tensor, side: int) -> Tensor:
    """Lay images ``(side ** d, C, *s)`` out row by row, as one of ``(1, C, *side s)``; d is the number of sides.

    >>> mosaic(torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1, 1), 2)[0, 0].tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    sides = images.dim() - 2
    grid = images.reshape(*[side] * sides, *images.shape[1:])
    order = [axis for one in range(sides) for axis in (one, sides + 1 + one)]
    return grid.permute(sides, *order).reshape(1, images.shape[1], *[side * length for length in images.shape[2:]])


def shrunk(images: Tensor, size: Sequence[int]) -> Tensor:
    """Bring images ``(N, C, *S)`` to ``(N, C, *size)``, each new pixel the mean of those it covers."""
    return F.interpolate(images, size=tuple(size), mode="area")


def tile_masks(side: int, size: Sequence[int]) -> Tensor:
    """Mark each tile of a mosaic ``(side ** d, *size)``, row by row; a pixel belongs where its centre is."""
    numbers = torch.zeros(tuple(size), dtype=torch.long)
    for axis, length in enumerate(size):
        number = (2 * torch.arange(length) + 1) * side // (2 * length)
        numbers = numbers * side + number.reshape([-1 if one == axis else 1 for one in range(len(size))])
    return numbers == torch.arange(side ** len(size)).reshape(-1, *[1] * len(size))


def groups(classes: Sequence[int] | Tensor, tiles: int, seed: int = 0) -> list[list[int]]:
    """Choose the images of as many mosaics as can be, ``tiles`` indices of different ``classes`` ``(N,)`` each.

    No image is in two. Of the classes those with the most images left go first, ties and images by ``seed``.

    >>> sorted(map(len, groups([0, 0, 0, 1, 1, 2], tiles=2)))
    [2, 2, 2]
    """
    left: dict[int, list[int]] = defaultdict(list)
    generator = torch.Generator().manual_seed(seed)
    listed = [int(one) for one in classes]
    for image in torch.randperm(len(listed), generator=generator).tolist():
        left[listed[image]].append(image)
    chosen: list[list[int]] = []
    while sum(map(bool, left.values())) >= tiles:
        fullest = sorted(left, key=lambda one: -len(left[one]))[:tiles]
        chosen.append([left[one].pop() for one in fullest])
    return chosen
