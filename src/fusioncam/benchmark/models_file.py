"""The file models.json of a run, with which reports open the images again without loading the networks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fusioncam.benchmark.evaluator import count_classes
from fusioncam.benchmark.plan import Plan
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.data.datasets.sample import Samples
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import FusionCamError, ResultsError
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import to_json, write_file
from fusioncam.utils.stored_files import MODELS, read_stored
from fusioncam.utils.text import short_label

FILE = "models.json"


@dataclass(frozen=True)
class StoredModelInfo:
    """The stored facts about one network of a run, and the path of the data set; None if the images had none."""

    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    classes: int | None
    data: str | None
    class_map: str | None

    def samples(self) -> Samples:
        """Open the data set as the run did.

        Raises :class:`DatasetError` if it no longer exists, and :class:`ResultsError` for images given in Python.
        """
        if self.data is None:
            raise ResultsError("the images were given in Python: only a data set on disk can be opened again")
        return open_dataset(self.data, class_map=self.class_map, labels=self.labels, classes=self.classes)

    def class_name(self, target: int) -> str:
        """Return the first name of a class, or its index if the names are unknown."""
        known = self.labels is not None and target < len(self.labels)
        return short_label(self.labels[target] if known and self.labels else None, target)


def write_models_file(folder: Path, plan: Plan, models: Mapping[str, ExplainedModel], *, from_data: bool) -> None:
    """Write the file that :func:`read_models_file` reads; ``from_data`` means that the images are a data set's."""
    content = {
        "data": os.path.abspath(plan.data) if from_data else None,  # noqa: PTH100 # plans normalise paths by os.path
        "class_map": None if plan.class_map is None else os.path.abspath(plan.class_map),  # noqa: PTH100
        "models": {
            name: {
                "preprocessing": asdict(model.preprocessing),
                "labels": model.labels,
                "classes": count_classes(model),
            }
            for name, model in models.items()
        },
    }
    write_file(folder / FILE, to_json(content), durable=True)


def read_models_file(folder: Path) -> dict[str, StoredModelInfo]:
    """Read the stored facts about a run's networks, by their names; empty for a run of an earlier version.

    Raises :class:`ResultsError` for a file that is truncated or of another version.
    """
    content = read_stored(folder / FILE, MODELS)
    if content is None:
        return {}
    data, class_map = content["data"], content["class_map"]
    try:
        return {name: _model_info(stored, data, class_map) for name, stored in content["models"].items()}
    except FusionCamError as error:
        raise ResultsError(f"{folder / FILE} is damaged or of another version: {error}") from error


def _model_info(stored: Mapping[str, Any], data: str | None, class_map: str | None) -> StoredModelInfo:
    labels = None if stored["labels"] is None else tuple(stored["labels"])
    return StoredModelInfo(_preprocessing(stored["preprocessing"]), labels, stored["classes"], data, class_map)


def _preprocessing(stored: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that was stored as JSON, which turns tuples into lists."""
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return Preprocessing(**settings)
