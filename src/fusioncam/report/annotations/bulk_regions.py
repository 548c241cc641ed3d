"""The highlighted regions of a bulk run, whose heatmaps lie in Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from fusioncam.bulk.parquet import StoredHeatmap, read_heatmaps
from fusioncam.data.datasets.annotations import read_header, transpose_size
from fusioncam.errors import SettingError, require_known
from fusioncam.explanations.result_files import free_stem
from fusioncam.functional.boxes import PIECES
from fusioncam.functional.regions import Threshold, threshold_of
from fusioncam.report.annotations.regions import AnnotatedImage, Placement, Region, region_of
from fusioncam.utils.text import bare_stem, file_stem, name_key, short_label


def read_bulk_regions(
    folder: Path, threshold: Threshold = "otsu", pieces: str = "all", method: str | None = None
) -> Iterator[AnnotatedImage]:
    """Yield the images of a folder of ``fusioncam explain --bulk`` with the regions of one method, one at a time.

    The size of each image is read from its file. Raises :class:`ImageError` if that is gone, and
    :class:`SettingError` if the run has several methods and ``method`` is None.
    """
    require_known("pieces", pieces, PIECES)
    threshold_of(np.zeros((1, 1), np.float32), threshold)  # raises for a wrong one
    used: set[str] = set()
    for name, group in groupby(read_heatmaps(folder, method=method), lambda one: one.image):
        found = list(group)
        methods = sorted({one.method for one in found})
        if len(methods) > 1:
            raise SettingError(f"the run has heatmaps of {', '.join(methods)}: choose one by --method")
        size = transpose_size(*read_header(name))
        stem = file_stem(bare_stem(Path(name).name))
        stem = free_stem(stem, lambda one: [name_key(one)], lambda key: key not in used)
        used.add(name_key(stem))
        yield AnnotatedImage(name, stem, size, tuple(_region(one, size, threshold, pieces) for one in found))


def _region(one: StoredHeatmap, size: tuple[int, int], threshold: Threshold, pieces: str) -> Region:
    label = short_label(one.label, one.target)
    return region_of(one.heatmap.numpy(), Placement(one.window, size), label, one.probability, threshold, pieces)
