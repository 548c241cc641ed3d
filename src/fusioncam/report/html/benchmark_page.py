"""A run of `fusioncam benchmark` as a report: tables, figures, and where heatmaps were kept, images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from fusioncam.benchmark.models_file import StoredModelInfo, noted
from fusioncam.benchmark.run_folder import Heatmaps
from fusioncam.data.datasets.sample import Samples
from fusioncam.errors import FusionCamError
from fusioncam.report.figures.panels import side_by_side_figure
from fusioncam.report.html.data_uris import as_uri, heat_uri, side_for
from fusioncam.report.html.page_model import (
    FAILURES,
    Failure,
    Gallery,
    GalleryItem,
    OverlayLayer,
    ReportPage,
    counted,
    lines,
)
from fusioncam.report.html.svg import drawing
from fusioncam.report.html.writer import write
from fusioncam.report.results import Results, read_results
from fusioncam.report.tables.model import is_baseline
from fusioncam.report.write import main_of, write_tables_and_figures

# of figures 2 and 4 of the paper, which has nine methods
_ROWS, _COLUMNS = 6, 9


@dataclass(frozen=True)
class Images:
    """The images and kept heatmaps of a run, opened when they are asked for.

    ``gone`` says which images cannot be had and why, ``notes`` why none of a model can.
    """

    results: Results
    heatmaps: Heatmaps
    known: Mapping[str, StoredModelInfo]
    gone: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _samples: dict[str, tuple[Samples, dict[str, int]] | None] = field(default_factory=dict)

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """The models and images that have rows, those of one image together."""
        pairs = self.results.rows[["model", "image"]].drop_duplicates()
        order = {image: place for place, image in enumerate(pairs["image"].drop_duplicates())}
        return sorted(pairs.itertuples(index=False, name=None), key=lambda pair: order[pair[1]])

    @cached_property
    def _rows(self) -> Any:
        return self.results.rows.groupby(["model", "image"], sort=False, observed=True)

    def rows(self, model: str, image: str) -> Any:
        """Give the rows of an image."""
        return self._rows.get_group((model, image))

    def maps(self, model: str, image: str) -> dict[str, NDArray[np.float32]]:
        """Give an image's kept heatmaps in the methods' order."""
        kept = self.heatmaps.load(model, image)
        return {name: kept[name].float().numpy() for name in self.results.methods if name in kept}

    def view(self, model: str, image: str) -> Image.Image | None:
        """Give what the network saw of an image; None where it cannot be had."""
        found = self._opened(model)
        if found is None:
            return None
        samples, places = found
        try:
            return self.known[model].preprocessing.view(samples[places[image]].open())
        except KeyError:
            reason = f"{image} is not in the data any more"
        except FusionCamError as error:
            reason = str(error)
        if reason not in self.gone:  # of several models it is one
            self.gone.append(reason)
        return None

    def _opened(self, model: str) -> tuple[Samples, dict[str, int]] | None:
        """Open the data set of a model, once."""
        if model not in self._samples:
            self._samples[model] = None
            try:
                if model not in self.known:
                    raise FusionCamError("the run has no models.json; the same command adds it")
                samples = self.known[model].samples()
                self._samples[model] = samples, {name: place for place, name in enumerate(samples.names)}
            except FusionCamError as error:
                self.notes.append(f"The images of {model} cannot be shown, heatmaps stand alone: {error}.")
        return self._samples[model]


def write_measured(folder: Path, path: Path) -> list[Path]:
    """Write tables, figures and report of a run, remove what earlier ones wrote and this did not, list what is."""
    results = read_results(folder)
    images = Images(results, Heatmaps(folder / "heatmaps"), noted(folder))
    made = write_tables_and_figures(results, folder, side_by_sides(images))
    drawings = tuple(drawing(name, svg, place) for place, (name, svg) in enumerate(made.drawings))
    gallery = gallery_of(images) if (folder / "heatmaps").is_dir() else None
    failures = failures_of(results)
    notes = [] if gallery else ["No heatmaps were kept: a run with --keep-heatmaps shows images here."]
    if len(failures) > FAILURES:
        notes.append(f"The first {FAILURES:,} of {len(failures):,} failures are listed.")
    methods, count = counted(len(results.methods), "method"), counted(results.rows["image"].nunique(), "image")
    lead = f"{methods} on {count} of {', '.join(results.models)}, by {', '.join(results.metrics)}."
    sheet = ReportPage(
        title="How well the methods explain",
        lead=lead,
        gallery=gallery,
        tables=tuple(made.pages),
        failures=tuple(failures[:FAILURES]),
        setting=(("Plan", plan_of(results)), ("Versions", versions_of(results))),
        drawings=drawings,
        notes=tuple(notes),
    )
    return [*made.files, write(sheet, path)]


def plan_of(results: Results) -> tuple[tuple[str, str], ...]:
    """Give the plan as text."""
    return lines({name: value for name, value in results.plan.items() if name != "digest"})


def versions_of(results: Results) -> tuple[tuple[str, str], ...]:
    """Give what the rows were made with; several where a run was gone on with."""
    found = [json.loads(text) for text in results.rows["versions"].dropna().unique()]
    names = dict.fromkeys(name for one in found for name in one)
    return lines({name: list(dict.fromkeys(one[name] for one in found if name in one)) for name in names})


def failures_of(results: Results) -> list[Failure]:
    """Give what failed: images, methods, metrics."""
    of_images = results.failures[results.failures["method"].fillna("") == ""]
    rows = [*(results.lost(model) for model in results.models), of_images]
    return [
        Failure(" · ".join(one for one in (row.image, row.model, row.method, row.metric) if one), str(row.error))
        for found in rows
        for row in found.fillna({"method": "", "metric": ""}).itertuples()
    ]


# -- images ------------------------------------------------------------------------------------------------------


def gallery_of(images: Images) -> Gallery:
    """Show the images with their kept heatmaps and values."""
    methods = images.results.methods
    return Gallery(len(images.keys), shown(images), methods, gone=images.gone, notes=images.notes)


def shown(images: Images) -> Iterator[GalleryItem]:
    """Give the images one by one."""
    side = side_for(len(images.keys))
    several = len(images.results.models) > 1
    for model, image in images.keys:
        maps, view = images.maps(model, image), images.view(model, image)
        rows = images.rows(model, image)
        told = {str(method): values_of(own) for method, own in rows.groupby("method", sort=False, observed=True)}
        layers = tuple(OverlayLayer(name, 0, heat_uri(one), told.get(name, "")) for name, one in maps.items())
        size = view.size if view else next(iter(maps.values())).shape[::-1] if maps else (1, 1)
        uri = as_uri(view, side) if view else ""
        name, about = Path(image).name, f"{image} {model}" if several else image
        classes = (class_of(rows, images.known.get(model)),)
        yield GalleryItem(name, size, uri, classes, layers, "" if about == name else about)


def class_of(rows: Any, known: StoredModelInfo | None) -> str:
    """Name the class that is explained, and the image's own where that is another."""
    names = known.class_name if known else str
    target, label = (rows[name].dropna() for name in ("target", "label"))
    told = names(int(target.iloc[0])) if len(target) else "class unknown"
    other = len(label) and len(target) and int(label.iloc[0]) != int(target.iloc[0])
    return f"{told}, labelled {names(int(label.iloc[0]))}" if other else told


def values_of(rows: Any) -> str:
    """Give a method's values on one image."""
    known = rows[rows["value"].notna()]
    return " · ".join(
        f"{metric}\N{NO-BREAK SPACE}{value:.3g}"
        for metric, value in zip(known["metric"], known["value"], strict=True)
    )


def comparison_notes(results: Results) -> list[str]:
    """Give the first main methods, and the reference among them wherever it stands."""
    methods = [one for one in main_of(results) if not is_baseline(one)]
    late = [one for one in methods[_COLUMNS:] if one == results.reference]
    return methods[: _COLUMNS - len(late)] + late


def side_by_sides(images: Images) -> Iterator[tuple[str, Figure]]:
    """Draw figures 2 and 4 of the paper: the first images that can be had, by the main methods."""
    methods = comparison_notes(images.results)
    for model in images.results.models:
        views: list[tuple[str, Image.Image]] = []
        columns: dict[str, list[NDArray[np.float32]]] = {name: [] for name in methods}
        for _, image in (key for key in images.keys if key[0] == model and methods):
            maps = images.maps(model, image)
            view = images.view(model, image) if maps.keys() >= {*methods} else None
            if view is not None:
                views.append((class_of(images.rows(model, image), images.known.get(model)), view))
                for name, column in columns.items():
                    column.append(maps[name])
            if len(views) == _ROWS:
                break
        if views:
            yield f"side-by-side-{model}", side_by_side_figure(views, columns)
