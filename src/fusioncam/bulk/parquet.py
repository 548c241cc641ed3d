"""Write rows of heatmaps as Parquet and read them: one row per heatmap, or one with the error of an image."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fusioncam.bulk.compression import Grid, from_grid
from fusioncam.bulk.storage import Folder, FoundImage
from fusioncam.errors import ResultsError
from fusioncam.utils.old_names import alias, old_keywords
from fusioncam.visualization import DEFAULT_OPACITY, OverlayStyle, overlay

# the meaning of each column; it is written into the manifest
COLUMNS = {
    "image": "path or URL of the image",
    "width": "of the upright image, in pixels",
    "height": "of the upright image, in pixels",
    "window": "left, top, right and bottom of the part that the network received, in pixels of the image",
    "method": "name of the method with its settings",
    "layer": "target layer",
    "target": "index of the explained class",
    "label": "name of the class",
    "probability": "probability of the class",
    "gains": "what each component of a fusion adds to the probability",
    "passes": "forward passes, beyond those of earlier methods for the same image",
    "partial_passes": "passes that start at the layer, counted the same way",
    "seconds": "computing time, counted the same way",
    "rows": "of the stored grid",
    "columns": "of the stored grid",
    "heatmap": "the grid: rows x columns float16, little endian, row by row; bilinear upsampling returns the heatmap",
    "rms": "root mean square error of the heatmap from the grid; heatmaps are in [0, 1]",
    "largest": "maximum error of the heatmap from the grid",
    "overlay": "file of the overlay, if overlays were requested",
    "error": "error message; all other columns are then empty",
}
_TYPES = {
    "string": ("image", "method", "layer", "label", "overlay", "error"),
    "int64": ("width", "height", "target", "passes", "partial_passes", "rows", "columns"),
    "float64": ("probability", "seconds", "rms", "largest"),
    "binary": ("heatmap",),
}
Row = dict[str, Any]
# the names that shard_name returns
_SHARD = re.compile(r"part-\d{7,}\.[0-9a-f]{12}\.parquet")


def schema(facts: Mapping[str, Any]) -> Any:
    """Return the Arrow schema of the rows, with the facts that they share as metadata."""
    return _bare_schema().with_metadata({"fusioncam": json.dumps(facts)})


def _bare_schema() -> Any:
    import pyarrow as arrow

    plain = {name: getattr(arrow, kind)() for kind, names in _TYPES.items() for name in names}
    types = plain | {"window": arrow.list_(arrow.float64()), "gains": arrow.map_(arrow.string(), arrow.float64())}
    return arrow.schema([(name, types[name]) for name in COLUMNS])


def to_parquet(rows: Iterable[Row], facts: Mapping[str, Any]) -> bytes:
    """Return the bytes of a shard."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    table = arrow.Table.from_pylist([dict.fromkeys(COLUMNS) | row for row in rows], schema(facts))
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def grid_facts(grid: Grid) -> Row:
    """Return the columns of a row that store a grid."""
    rows, columns = grid.values.shape
    stored = grid.values.numpy().astype("<f2").tobytes()
    return {"rows": rows, "columns": columns, "heatmap": stored, "rms": grid.rms, "largest": grid.largest}


# -- names of shards ---------------------------------------------------------------------------------------------


def shard_name(number: int, images: Sequence[FoundImage], digest: str) -> str:
    """Return the file name of a shard: its number, and a hash of the plan's digest and the names of its images."""
    names = "\n".join([digest, *(image.name for image in images)])
    return f"part-{number:07d}.{hashlib.sha256(names.encode(errors='surrogateescape')).hexdigest()[:12]}.parquet"


def shards_in(folder: Folder) -> dict[str, str]:
    """Return the existing shards by the first part of their names, such as ``part-0000012``.

    Raises :class:`ResultsError` if two shards have the same number.
    """
    names = list(filter(_SHARD.fullmatch, folder.names()))
    shards = {name.split(".")[0]: name for name in names}
    if repeated := sorted(set(names).difference(shards.values())):
        both = f"{repeated[0]} and {shards[repeated[0].split('.')[0]]}"
        raise ResultsError(f"{folder.url} has two shards of one number, {both}: choose another folder")
    return shards


def counts(folder: Folder, name: str, digest: str, images: int = 0) -> tuple[int, int] | None:
    """Return the number of heatmaps and of errors in a shard, read from its footer only.

    None stands for a file that is torn, not a shard, of another plan than that of ``digest``, or of fewer ``images``.
    """
    import pyarrow.parquet as parquet

    try:
        with folder.open(name) as file:
            opened = parquet.ParquetFile(file)
            footer, stored = opened.metadata, opened.schema_arrow
            names = [footer.schema.column(index).name for index in range(footer.num_columns)]
            groups = [footer.row_group(index).column(names.index("error")) for index in range(footer.num_row_groups)]
            errors = sum(group.num_values - group.statistics.null_count for group in groups)
            ours = facts_of(stored)["digest"] == digest and stored.remove_metadata().equals(_bare_schema())
    except Exception:  # the reader of a torn file may raise anything
        return None
    return (footer.num_rows - errors, errors) if ours and footer.num_rows >= images else None


def facts_of(stored: Any) -> dict[str, Any]:
    """Return the facts in the Arrow schema of a shard; raise KeyError, TypeError or ValueError if it has none."""
    facts: dict[str, Any] = dict(json.loads((stored.metadata or {})[b"fusioncam"]))
    return facts


# -- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class StoredHeatmap:
    """A heatmap of a bulk run with its row.

    Attributes:
        image: the name of the image in the rows.
        method: the name of the method with its settings.
        target: the class index.
        label: the name of the class, None if the classes have no names.
        probability: of the class.
        window: left, top, right and bottom of the part that the network received, in pixels of the image.
        rms: the root mean square error of the heatmap compared with the one that was computed.
        largest: the maximum error.
        grid: the stored grid ``(h, w)`` float16.
        size: the (height, width) of the heatmap.
        facts: all columns of the row except the grid.

    Examples:
        ```python
        stored = next(fc.read_heatmaps("maps/"))
        stored.overlay(Image.open(stored.image)).save("overlay.png")
        ```
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

    picture = alias("image")

    @cached_property
    def heatmap(self) -> Tensor:
        """The heatmap ``(H, W)`` at the network's input size, float32 in [0, 1]."""
        return from_grid(self.grid, self.size)

    @old_keywords(picture="image")
    def overlay(self, image: Image.Image, opacity: float = DEFAULT_OPACITY) -> Image.Image:
        """Return the part of the upright image that the network received, with the heatmap over it."""
        left, top, right, bottom = map(round, self.window)
        return overlay(image.crop((left, top, right, bottom)), self.heatmap.numpy(), OverlayStyle(opacity))


@old_keywords(picture="image")
def read_heatmaps(
    path: str | Path, *, image: str | None = None, method: str | None = None
) -> Iterator[StoredHeatmap]:
    """Iterate over the heatmaps of a bulk run, optionally of one image or method only.

    Images that failed are left out. One shard at a time is in memory.

    Args:
        path: the folder that ``fusioncam explain --bulk`` wrote to, a local path or a URL such as
            ``s3://bucket/maps``.
        image: its name in the rows.
        method: the name of a method with its settings.

    Returns:
        An iterator over the heatmaps with their rows.

    Raises:
        ResultsError: for a folder without shards.

    Examples:
        ```python
        for stored in fc.read_heatmaps("maps/", method="grad-cam"):
            print(stored.image, stored.label, stored.heatmap.shape)
        ```
    """
    folder = Folder(str(path))
    shards = sorted(shards_in(folder).values())
    if not shards:
        raise ResultsError(f"{path} has no heatmaps: pass the output folder of fusioncam explain --bulk")
    wanted = {"image": image, "method": method}
    return _read(folder, shards, {name: value for name, value in wanted.items() if value is not None})


def read_failures(path: str | Path) -> Iterator[tuple[str, str]]:
    """Iterate over the images of a bulk run that failed, with their errors; raise as :func:`read_heatmaps` does."""
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    folder = Folder(str(path))
    for name in sorted(shards_in(folder).values()):
        with _naming_damage(folder, name), folder.open(name) as file:
            table = parquet.read_table(file, columns=["image", "error"], filters=compute.field("error").is_valid())
        for row in table.to_pylist():
            yield row["image"], row["error"]


@contextmanager
def _naming_damage(folder: Folder, name: str) -> Iterator[None]:
    """Raise :class:`ResultsError` for anything that the reader of a torn file raises."""
    try:
        yield
    except Exception as error:
        raise ResultsError(
            f"{name} in {folder.url} is damaged or no shard of a bulk run ({type(error).__name__}: {error}): run "
            "the same command again, which makes it again"
        ) from error


def _read(folder: Folder, shards: Iterable[str], wanted: Mapping[str, str]) -> Iterator[StoredHeatmap]:
    import pyarrow.parquet as parquet

    conditions = [(name, "=", value) for name, value in wanted.items()]
    for name in shards:
        with _naming_damage(folder, name):
            with folder.open(name) as file:
                table = parquet.read_table(file, filters=conditions or None)
            size = tuple(facts_of(table.schema)["preprocessing"]["size"])
            found = [_stored(row, size) for row in table.to_pylist() if row["error"] is None]
        yield from found


def _stored(row: Row, size: tuple[int, int]) -> StoredHeatmap:
    values = np.frombuffer(row.pop("heatmap"), "<f2").reshape(row["rows"], row["columns"])
    named = {name: row[name] for name in ("image", "method", "target", "label", "probability", "rms", "largest")}
    facts = row | {"gains": dict(row["gains"] or [])}
    grid = torch.from_numpy(values.astype(np.float16))
    return StoredHeatmap(**named, window=tuple(row["window"]), grid=grid, size=size, facts=facts)
