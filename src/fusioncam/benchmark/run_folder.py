"""The folder of a run: which plan it has, and the heatmaps that were kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fusioncam.benchmark.plan import Plan, differences, only_adds, only_adds_metrics, stored_plan
from fusioncam.benchmark.results_store import Journal
from fusioncam.errors import OutputError, ResultsError
from fusioncam.utils.files import atomic_write
from fusioncam.utils.text import slug, truncate_stem


def journal_of(folder: Path) -> Journal:
    """Read the rows of a run as far as they are there."""
    return Journal(folder / "rows.jsonl")


def begun(folder: Path, plan: Plan, *, extend: bool) -> Journal:
    """Give the rows of a run that is new or has the same plan; raise :class:`ResultsError` for those of another.

    ``extend`` allows a plan that asks for more of the same. One that only adds metrics to a run that kept its
    heatmaps is allowed without: no method runs again.
    """
    was, journal = stored_plan(folder / "plan.json"), journal_of(folder)
    if was is None and journal.images():
        raise ResultsError(f"{folder} has rows and no plan.json, which says what they are of: choose another folder")
    if was is not None and was.digest != plan.digest and journal.images():
        more = only_adds(was, plan)
        if not (more and (extend or (was.keep_heatmaps and only_adds_metrics(was, plan)))):
            hint = "say --extend to compute only what is new, or " if more else ""
            changes = "\n  ".join(differences(was, plan))
            raise ResultsError(f"{folder} has rows of another plan: {hint}choose another folder\n  {changes}")
    return journal


class Heatmaps:
    """Kept heatmaps: a file an image, float32 as they were measured, so that later metrics give the same values."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, model: str, image: str) -> Path:
        """Give the file of an image, whose name may be long or have what no file name has."""
        mark = hashlib.sha256(f"{model}\n{image}".encode(errors="surrogateescape")).hexdigest()[:8]
        return self.folder / slug(model) / f"{truncate_stem(slug(image))}.{mark}.safetensors"

    def load(self, model: str, image: str) -> dict[str, Tensor]:
        """Give an image's heatmaps ``(*s)`` by method; none where none can be read."""
        try:
            return load_file(self.path(model, image))
        except (OSError, SafetensorError):
            return {}

    def save(self, model: str, image: str, heatmaps: Mapping[str, Tensor]) -> None:
        """Keep an image's heatmaps."""
        path = self.path(model, image)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make {path.parent}: {error.strerror or error}") from error
        with atomic_write(path) as file:
            # methods that share a heatmap have it twice here
            file.write(
                save({name: one.clone(memory_format=torch.contiguous_format) for name, one in heatmaps.items()})
            )
