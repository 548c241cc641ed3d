"""A run's images, found again without its networks, which alone would know their crop and their classes' names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fusioncam.benchmark.evaluator import classes_in
from fusioncam.benchmark.plan import Plan
from fusioncam.data.datasets.registry import open_dataset
from fusioncam.data.datasets.sample import Samples
from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import ResultsError
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import atomic_write, to_json

FILE = "models.json"


@dataclass(frozen=True)
class StoredModelInfo:
    """What is known of a run's network, and where its data set lies, None where the images were not of one."""

    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    classes: int | None
    data: str | None
    class_map: str | None

    def samples(self) -> Samples:
        """Open the data set as the run did; raises :class:`DatasetError` where it is gone."""
        if self.data is None:
            raise ResultsError("the images were given in Python: only a data set can be opened again")
        return open_dataset(self.data, class_map=self.class_map, labels=self.labels, classes=self.classes)

    def class_name(self, target: int) -> str:
        """Give a class as tables show it: the first of its names, or its index."""
        known = self.labels is not None and target < len(self.labels)
        return self.labels[target].split(",")[0] if known and self.labels else str(target)


def note(folder: Path, plan: Plan, models: Mapping[str, ExplainedModel], *, from_data: bool) -> None:
    """Write what :func:`noted` reads."""
    facts = {
        "data": os.path.abspath(plan.data) if from_data else None,  # noqa: PTH100 # as plans do it
        "class_map": None if plan.class_map is None else os.path.abspath(plan.class_map),  # noqa: PTH100
        "models": {
            name: {
                "preprocessing": asdict(model.preprocessing),
                "labels": model.labels,
                "classes": classes_in(model),
            }
            for name, model in models.items()
        },
    }
    with atomic_write(folder / FILE) as file:
        file.write(to_json(facts))


def noted(folder: Path) -> dict[str, StoredModelInfo]:
    """Read what is known of a run's networks, by their names; nothing of runs of earlier versions.

    Raises :class:`ResultsError` for a file that is torn or of another version.
    """
    try:
        facts = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {name: _noted(one, facts["data"], facts["class_map"]) for name, one in facts["models"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResultsError(f"{folder / FILE} cannot be read, it is torn or of another version: {error}") from error


def _noted(facts: Mapping[str, Any], data: str | None, class_map: str | None) -> StoredModelInfo:
    labels = None if facts["labels"] is None else tuple(map(str, facts["labels"]))
    return StoredModelInfo(as_preprocessing(facts["preprocessing"]), labels, facts["classes"], data, class_map)


def as_preprocessing(facts: Mapping[str, Any]) -> Preprocessing:
    """Make a preprocessing of what JSON kept of it, whose pairs became lists."""
    settings: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in facts.items()}
    return Preprocessing(**settings)
