"""The images and stored heatmaps of a benchmark run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusioncam.benchmark.models_file import StoredModelInfo
from fusioncam.benchmark.run_folder import HeatmapStore
from fusioncam.data.datasets.sample import Samples
from fusioncam.errors import FusionCamError, ResultsError
from fusioncam.report.results import Results


@dataclass(frozen=True)
class RunImages:
    """The images and stored heatmaps of a run, opened on demand.

    ``missing`` collects the images that cannot be opened, with the reason; ``notes`` the models of which no image can
    be opened.
    """

    results: Results
    heatmaps: HeatmapStore
    models: Mapping[str, StoredModelInfo]
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _samples: dict[str, tuple[Samples, dict[str, int]] | None] = field(default_factory=dict)

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """The pairs of model and image that have rows, sorted by image."""
        pairs = self.results.rows[["model", "image"]].drop_duplicates()
        order = {image: index for index, image in enumerate(pairs["image"].drop_duplicates())}
        return sorted(pairs.itertuples(index=False, name=None), key=lambda pair: order[pair[1]])

    @cached_property
    def _rows(self) -> Any:
        return self.results.rows.groupby(["model", "image"], sort=False, observed=True)

    def rows_of(self, model: str, image: str) -> Any:
        """Return the rows of an image."""
        return self._rows.get_group((model, image))

    def heatmaps_of(self, model: str, image: str) -> dict[str, NDArray[np.float32]]:
        """Return the stored heatmaps of an image by method, in the order of the methods."""
        stored = self.heatmaps.load(model, image)
        return {name: stored[name].float().numpy() for name in self.results.methods if name in stored}

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of all explained classes, sorted."""
        pairs = self.results.rows[["model", "target"]].drop_duplicates().itertuples(index=False, name=None)
        return tuple(sorted({self._name(model, target) for model, target in pairs}))

    def explained_class(self, rows: Any, model: str) -> str:
        """Return the name of the class that rows explain."""
        target = rows["target"].dropna()
        return self._name(model, target.iloc[0] if len(target) else None)

    def class_name(self, rows: Any, model: str) -> str:
        """Return the name of the class that rows explain, and the image's label if that is another class."""
        name, labels = self.explained_class(rows, model), rows["label"].dropna()
        target = rows["target"].dropna()
        mislabelled = len(target) and len(labels) and int(labels.iloc[0]) != int(target.iloc[0])
        return f"{name}, labelled {self._name(model, labels.iloc[0])}" if mislabelled else name

    def _name(self, model: str, index: Any) -> str:
        if index is None or index != index:  # NaN
            return "class unknown"
        info = self.models.get(model)
        return info.class_name(int(index)) if info else str(int(index))

    def network_input(self, model: str, image: str) -> Image.Image | None:
        """Return the image as cropped for the network, or None if it cannot be opened."""
        dataset = self._open_dataset(model)
        if dataset is None:
            return None
        samples, indices = dataset
        try:
            preprocessing = self.models[model].preprocessing
            return preprocessing.view(samples[indices[image]].open(preprocessing.channels))
        except KeyError:
            reason = f"{image} is no longer in the data set"
        except FusionCamError as error:
            reason = str(error)
        if reason not in self.missing:  # several models share an image
            self.missing.append(reason)
        return None

    def _open_dataset(self, model: str) -> tuple[Samples, dict[str, int]] | None:
        """Open the data set of a model once; return it with the index of each image, or None if that fails."""
        if model not in self._samples:
            self._samples[model] = None
            try:
                if model not in self.models:
                    raise ResultsError("the run has no models.json; run the same command again to add it")
                samples = self.models[model].samples()
                self._samples[model] = samples, {name: index for index, name in enumerate(samples.names)}
            except FusionCamError as error:
                self.notes.append(f"The images of {model} cannot be shown, only their heatmaps: {error}.")
        return self._samples[model]
