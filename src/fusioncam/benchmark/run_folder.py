"""The folder of a run: opening it for a plan, and the stored heatmaps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fusioncam.benchmark.journal import Journal
from fusioncam.benchmark.plan import Plan, load_plan
from fusioncam.benchmark.plan_comparison import differences, only_adds, only_adds_metrics
from fusioncam.errors import OutputError, ResultsError, cut
from fusioncam.utils.files import write_file
from fusioncam.utils.text import slug, truncate_stem


def open_journal(folder: Path) -> Journal:
    """Return the journal of a run, with the rows written so far."""
    return Journal(folder / "rows.jsonl")


def open_run(folder: Path, plan: Plan, *, extend: bool) -> Journal:
    """Return the journal of a run that is new or continues; raise :class:`ResultsError` if its plan does not match.

    With ``extend`` the plan may add to that of the run. A plan that only adds metrics to a run with stored heatmaps
    is always allowed, because no method runs again.
    """
    stored, journal = load_plan(folder / "plan.json"), open_journal(folder)
    if stored is None and journal.images():
        raise ResultsError(f"{folder} has rows but no plan.json that describes them: choose another folder")
    if stored is not None and stored.digest != plan.digest and journal.images():
        adds = only_adds(stored, plan)
        if not (adds and (extend or (stored.keep_heatmaps and only_adds_metrics(stored, plan)))):
            hint = "use --extend to compute only what is new, or " if adds else ""
            changes = "\n  ".join(differences(stored, plan))
            raise ResultsError(f"{folder} has rows of another plan: {hint}choose another folder\n  {changes}")
    return journal


def _is_heatmap(tensor: Tensor) -> bool:
    valid = tensor.dtype.is_floating_point and 1 <= tensor.dim() <= 3 and tensor.numel() > 0
    return valid and bool(((tensor.float() >= 0) & (tensor.float() <= 1)).all())  # NaN is neither


class HeatmapStore:
    """The stored heatmaps of a run, one file per image.

    They are float32 as measured, so that a later metric has the same values as in the same run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, model: str, image: str) -> Path:
        """Return the file of an image, whose name may be too long or have characters that file names cannot have."""
        digest = hashlib.sha256(f"{model}\n{image}".encode(errors="surrogateescape")).hexdigest()[:8]
        return self.folder / slug(model) / f"{truncate_stem(slug(image))}.{digest}.safetensors"

    def load(self, model: str, image: str) -> dict[str, Tensor]:
        """Return an image's heatmaps ``(*s)`` by method; empty if there is no file or it cannot be read.

        Raises :class:`ResultsError` for a file with anything but heatmaps.
        """
        path = self.path(model, image)
        try:
            heatmaps = load_file(path)
        except (OSError, SafetensorError):
            return {}
        for name, heatmap in heatmaps.items():
            if not _is_heatmap(heatmap):
                raise ResultsError(
                    f"{path}: '{cut(name)}' is not a heatmap of values in [0, 1], but {heatmap.dtype} "
                    f"{tuple(heatmap.shape)}: remove the file to compute it again"
                )
        return heatmaps

    def save(self, model: str, image: str, heatmaps: Mapping[str, Tensor]) -> None:
        """Store an image's heatmaps ``(*s)`` by method; raise :class:`OutputError` if they cannot be written."""
        path = self.path(model, image)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot create {path.parent}: {error.strerror or error}") from error
        # safetensors refuses tensors that share memory, as those of methods with the same heatmap do
        copies = {name: heatmap.clone(memory_format=torch.contiguous_format) for name, heatmap in heatmaps.items()}
        write_file(path, save(copies), durable=True)
