"""One record per image: what the network decided, where the heat lies, and what its removal changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fusioncam.audit.heat import Grid, border_share, corner_share, grid_of, object_share
from fusioncam.audit.images import AuditImages
from fusioncam.audit.regions import HIGHLIGHTED, highlighted
from fusioncam.audit.removal import Removal, RemovalJob
from fusioncam.bulk.parquet import StoredHeatmap, read_heatmaps
from fusioncam.utils.text import short_label

# removal of the highlighted part must lower the probability by this share more than removal elsewhere
TRUSTED = 0.05


@dataclass
class Record:
    """What is known of one image; ``target`` is the class that the network predicts.

    ``on_object`` is the share of the heat on the object and ``object_area`` the share of the pixels that it has; both
    are None if its location is unknown; ``text`` and ``text_area`` are the same of regions that look like text, see
    :mod:`fusioncam.audit.text_like`. ``typicality`` is the correlation with the mean heat of the class, and
    ``cluster`` the number of the cluster within the class. ``removal`` tests the highlighted fifth of the image.
    """

    image: str
    target: int
    label: str
    probability: float
    categories: list[str]
    right: bool | None
    border: float
    corner: float
    on_object: float | None
    object_area: float | None
    grid: Grid = field(repr=False)
    object_grid: Grid | None = field(default=None, repr=False)
    text: float | None = None
    text_area: float | None = None
    typicality: float = 0.0
    cluster: int = 0
    removal: Removal | None = None

    @property
    def reliance(self) -> float | None:
        """What removal of the highlighted part takes more than removal elsewhere, as a share of the probability."""
        if self.removal is None or self.removal["whole"] <= 0:
            return None
        return (self.removal["elsewhere"] - self.removal["without"]) / self.removal["whole"]

    @property
    def low_trust(self) -> bool | None:
        """Whether the highlighted part matters hardly more than others; None if that was not measured."""
        return None if self.reliance is None else self.reliance < TRUSTED

    def row(self) -> dict[str, Any]:
        """Return the record as it is stored, without its grids."""
        names = ["image", "target", "label", "probability", "categories", "right", "border", "corner"]
        names += ["on_object", "object_area", "text", "text_area", "typicality", "cluster", "reliance", "low_trust"]
        return {name: rounded(getattr(self, name)) for name in names}


def rounded(value: Any) -> Any:
    """Return a value with its numbers rounded to five digits after the point, also in lists.

    >>> rounded([0.123456789, 3, None])
    [0.12346, 3, None]
    """
    if isinstance(value, np.ndarray):
        return rounded(value.tolist())
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(float(value), 5) if isinstance(value, float) else value


def read_records(folder: Path, images: AuditImages) -> list[Record]:
    """Return the records of all images that have a heatmap in the folder, in their order."""
    return list(_records(folder, images))


def _records(folder: Path, images: AuditImages) -> Iterator[Record]:
    for stored in read_heatmaps(folder):
        if stored.image in images.by_name:
            yield record_of(stored, images)


def record_of(stored: StoredHeatmap, images: AuditImages) -> Record:
    """Return the record of a heatmap."""
    image = images.by_name[stored.image]
    mask = images.truth(stored.image, stored.target, (stored.facts["width"], stored.facts["height"]))
    heatmap = stored.heatmap
    return Record(
        stored.image,
        stored.target,
        short_label(stored.label, f"class {stored.target}"),
        stored.probability,
        image.categories,
        image.is_right(stored.target),
        border_share(heatmap),
        corner_share(heatmap),
        None if mask is None else object_share(heatmap, mask),
        None if mask is None else mask.double().mean().item(),
        grid_of(heatmap),
        None if mask is None else _coverage(mask),
    )


def _coverage(mask: Tensor) -> Grid:
    """Return the share of each cell that a mask ``(H, W)`` covers."""
    grid = grid_of(mask.double())
    return grid * mask.double().mean().item() * grid.size


def measure_text(records: Sequence[Record], images: AuditImages) -> None:
    """Set the heat in regions that look like text, and their area; both stay None for images that do not
    open or have more than three channels."""
    for one in records:
        mask = images.text(one.image)
        if mask is not None:
            one.text, one.text_area = float((one.grid * _coverage(mask)).sum()), mask.double().mean().item()


def removal_jobs(records: Sequence[Record], images: AuditImages) -> list[RemovalJob]:
    """Return the tests of the highlighted part of each image."""
    return [
        RemovalJob(images.by_name[one.image].image, one.target, highlighted(one.grid, HIGHLIGHTED)) for one in records
    ]


def by_class(records: Sequence[Record]) -> dict[int, list[Record]]:
    """Return the records by their class, in the order of the classes."""
    groups: dict[int, list[Record]] = {target: [] for target in sorted({one.target for one in records})}
    for one in records:
        groups[one.target].append(one)
    return groups


def grids_of(records: Sequence[Record]) -> Grid:
    """Return the grids of records ``(N, g, g)``."""
    return np.stack([one.grid for one in records])
