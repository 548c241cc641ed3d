"""Rows of heatmaps as Parquet, and back: one row a heatmap, or an image's error."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fusioncam.bulk.compression import Grid, from_grid
from fusioncam.bulk.storage import Folder, Found
from fusioncam.errors import ResultsError
from fusioncam.visualization import overlay

# what a column holds, for whoever reads the manifest
COLUMNS = {
    "image": "the image's path or URL",
    "width": "of the upright image, in pixels",
    "height": "of the upright image, in pixels",
    "window": "left, top, right and bottom of the part that the network saw, in the image's pixels",
    "method": "the method's name with its settings",
    "layer": "the layer that it looked at",
    "target": "the index of the class that is explained",
    "label": "its name",
    "probability": "what the network gave it",
    "gains": "what each map of a fusion adds to the probability",
    "passes": "forward passes, beyond what earlier methods of the image had made",
    "partial_passes": "passes that start at the layer",
    "seconds": "that it took, the same way",
    "rows": "of the stored grid",
    "columns": "of the stored grid",
    "heatmap": "the grid: rows x columns float16, little endian, row by row; bilinear upsampling gives the heatmap",
    "rms": "root mean square of what the heatmap from the grid is off, of 1",
    "largest": "what it is off at most",
    "overlay": "the file of the overlay, if one was asked for",
    "error": "what went wrong; then all else is empty",
}
_TYPES = {
    "string": ("image", "method", "layer", "label", "overlay", "error"),
    "int64": ("width", "height", "target", "passes", "partial_passes", "rows", "columns"),
    "float64": ("probability", "seconds", "rms", "largest"),
    "binary": ("heatmap",),
}
Row = dict[str, Any]


def schema(facts: Mapping[str, Any]) -> Any:
    """Give the columns' types, with what all rows share as metadata."""
    import pyarrow as arrow

    plain = {name: getattr(arrow, kind)() for kind, names in _TYPES.items() for name in names}
    types = plain | {"window": arrow.list_(arrow.float64()), "gains": arrow.map_(arrow.string(), arrow.float64())}
    return arrow.schema([(name, types[name]) for name in COLUMNS], {"fusioncam": json.dumps(facts)})


def to_parquet(rows: Iterable[Row], facts: Mapping[str, Any]) -> bytes:
    """Give the bytes of a shard."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    table = arrow.Table.from_pylist([dict.fromkeys(COLUMNS) | row for row in rows], schema(facts))
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def grid_facts(grid: Grid) -> Row:
    """Give a grid as rows have it."""
    rows, columns = grid.values.shape
    stored = grid.values.numpy().astype("<f2").tobytes()
    return {"rows": rows, "columns": columns, "heatmap": stored, "rms": grid.rms, "largest": grid.largest}


# -- shards by their names ---------------------------------------------------------------------------------------


def shard_name(number: int, images: Sequence[Found], digest: str) -> str:
    """Name a shard for its place, and for the plan and the images that it is of."""
    names = "\n".join([digest, *(one.name for one in images)])
    return f"part-{number:07d}.{hashlib.sha256(names.encode(errors='surrogateescape')).hexdigest()[:12]}.parquet"


def shards_in(folder: Folder) -> dict[str, str]:
    """List the shards that are there, by the part of their names that says their place."""
    names = (one for one in folder.names() if one.startswith("part-") and one.endswith(".parquet"))
    return {name.split(".")[0]: name for name in names}


def counts(folder: Folder, name: str) -> tuple[int, int]:
    """Give how many heatmaps and how many errors a shard has, of its footer alone."""
    import pyarrow.parquet as parquet

    with folder.open(name) as file:
        footer = parquet.ParquetFile(file).metadata
        at = next(place for place in range(footer.num_columns) if footer.schema.column(place).name == "error")
        groups = [footer.row_group(place).column(at) for place in range(footer.num_row_groups)]
    errors = sum(one.num_values - one.statistics.null_count for one in groups)
    return footer.num_rows - errors, errors


# -- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StoredHeatmap:
    """A heatmap of a bulk run and what is known of it; ``facts`` are the columns of its row without the grid.

    ``window`` is left, top, right and bottom of what the network saw, in the image's pixels.
    """

    image: str
    method: str
    target: int
    label: str | None
    probability: float
    window: tuple[float, float, float, float]
    rms: float
    largest: float
    grid: Tensor = field(repr=False)
    size: tuple[int, int] = field(repr=False)
    facts: Row = field(repr=False)

    @cached_property
    def heatmap(self) -> Tensor:
        """The heatmap ``(H, W)`` of the network's input, float32 in [0, 1]."""
        return from_grid(self.grid, self.size)

    def overlay(self, image: Image.Image, opacity: float = 0.5) -> Image.Image:
        """Lay the heatmap over the part of the upright image that the network saw."""
        return overlay(image.crop(tuple(map(round, self.window))), self.heatmap.numpy(), opacity)  # type: ignore[arg-type] # four of them


def read_heatmaps(
    path: str | Path, *, image: str | None = None, method: str | None = None
) -> Iterator[StoredHeatmap]:
    """Give the heatmaps of a bulk run, of one image or method if that is said, a shard in memory at a time.

    ``path`` is the run's folder, a local path or a URL such as ``s3://bucket/maps``; ``image`` is named as in the
    rows. Images that failed are left out. Raises :class:`ResultsError` where there are none.
    """
    folder = Folder(str(path))
    shards = sorted(shards_in(folder).values())
    if not shards:
        raise ResultsError(f"{path} has no heatmaps: name the folder of fusioncam explain --bulk")
    wanted = {"image": image, "method": method}
    return _read(folder, shards, {name: value for name, value in wanted.items() if value is not None})


def _read(folder: Folder, shards: Iterable[str], wanted: Mapping[str, str]) -> Iterator[StoredHeatmap]:
    import pyarrow.parquet as parquet

    conditions = [(name, "=", value) for name, value in wanted.items()]
    for name in shards:
        with folder.open(name) as file:
            table = parquet.read_table(file, filters=conditions or None)
        facts = json.loads((table.schema.metadata or {})[b"fusioncam"])
        for row in table.to_pylist():
            if row["error"] is None:
                yield _stored(row, tuple(facts["preprocessing"]["size"]))


def _stored(row: Row, size: tuple[int, int]) -> StoredHeatmap:
    values = np.frombuffer(row.pop("heatmap"), "<f2").reshape(row["rows"], row["columns"])
    named = {name: row[name] for name in ("image", "method", "target", "label", "probability", "rms", "largest")}
    facts = row | {"gains": dict(row["gains"] or [])}
    grid = torch.from_numpy(values.astype(np.float16))
    return StoredHeatmap(**named, window=tuple(row["window"]), grid=grid, size=size, facts=facts)
