"""The report of a run of ``fusioncam benchmark``: tables, figures, and images if their heatmaps were stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from fusioncam.benchmark.models_file import read_models_file
from fusioncam.benchmark.run_folder import HeatmapStore
from fusioncam.report.figures.side_by_side import side_by_side_figure
from fusioncam.report.html.curve_sets import curve_sets
from fusioncam.report.html.data_uris import heatmap_uri, image_side, image_uri
from fusioncam.report.html.disagreement import DISAGREEMENT, disagreement
from fusioncam.report.html.outlines import outlines_of
from fusioncam.report.html.page_model import (
    MAX_FAILURES,
    Facts,
    Failure,
    Gallery,
    GalleryItem,
    Measure,
    OverlayLayer,
    ReportPage,
    count_of,
    failure_notes,
    format_facts,
    preferred_method,
)
from fusioncam.report.html.run_images import RunImages
from fusioncam.report.html.svg import embed_svg
from fusioncam.report.html.writer import write_page
from fusioncam.report.results import Results, parse_json, read_results
from fusioncam.report.tables.model import is_baseline
from fusioncam.report.write import SIDE_BY_SIDE, WrittenReport, methods_of_main_tables, write_tables_and_figures

# figures 2 and 4 of the Fusion-CAM paper show nine methods
_MAX_ROWS, _MAX_COLUMNS = 6, 9


NO_HEATMAPS = (
    "No heatmaps were stored: a run with --keep-heatmaps shows images here. This is the default for up to 200 images."
)


def write_benchmark_page(folder: Path, path: Path) -> list[Path]:
    """Write tables, figures and report of a run, and return the paths of all files.

    Files that only an earlier report wrote are removed.
    """
    results = read_results(folder)
    images = RunImages(results, HeatmapStore(folder / "heatmaps"), read_models_file(folder))
    written = write_tables_and_figures(results, folder, side_by_side_figures(images))
    gallery = make_gallery(images) if (folder / "heatmaps").is_dir() else None
    return [*written.files, write_page(benchmark_page(results, written, gallery), path)]


def benchmark_page(results: Results, written: WrittenReport, gallery: Gallery | None) -> ReportPage:
    """Make the page of a run."""
    failures = all_failures(results)
    methods = count_of(len(results.methods), "method")
    images = count_of(results.rows["image"].nunique(), "image")
    notes = [] if gallery else [NO_HEATMAPS]
    return ReportPage(
        title="Benchmark of explanation methods",
        lead=f"{methods} on {images} with {', '.join(results.models)}, measured by {', '.join(results.metrics)}.",
        gallery=gallery,
        tables=tuple(written.pages),
        failures=tuple(failures[:MAX_FAILURES]),
        settings=(("Plan", plan_facts(results)), ("Versions", version_facts(results))),
        drawings=tuple(embed_svg(name, svg, index) for index, (name, svg) in enumerate(written.drawings)),
        notes=(*notes, *failure_notes(len(failures))),
        curves=tuple(curve_sets(results, methods_of_main_tables(results))),
    )


def plan_facts(results: Results) -> Facts:
    """Return the plan as text."""
    return format_facts({name: value for name, value in results.plan.items() if name != "digest"})


def version_facts(results: Results) -> Facts:
    """Return the versions that computed the rows; a resumed run may have several of each."""
    found = [parse_json(text, "versions") for text in results.rows["versions"].dropna().unique()]
    names = dict.fromkeys(name for versions in found for name in versions)
    return format_facts(
        {name: list(dict.fromkeys(versions[name] for versions in found if name in versions)) for name in names}
    )


def all_failures(results: Results) -> list[Failure]:
    """Return what failed: methods and metrics by model, then whole images."""
    images = results.failures[results.failures["method"].fillna("") == ""]
    frames = [*(results.method_failures(model) for model in results.models), images]
    return [
        Failure(" · ".join(filter(None, (row.image, row.model, row.method, row.metric))), str(row.error))
        for frame in frames
        for row in frame.fillna({"method": "", "metric": ""}).itertuples()
    ]


# -- images ------------------------------------------------------------------------------------------------------


def make_gallery(images: RunImages) -> Gallery:
    """Make the gallery of the images with their stored heatmaps and values."""
    results = images.results
    return Gallery(
        total=len(images.keys),
        items=_gallery_items(images),
        methods=results.methods,
        selected=preferred_method(results.methods, results.reference),
        measures=_measures(results),
        classes=images.class_names,
        models=results.models if len(results.models) > 1 else (),
        missing=images.missing,
        notes=images.notes,
    )


def _measures(results: Results) -> tuple[Measure, ...]:
    """Return the metrics of single images, and the disagreement of the methods."""
    better = results.rows.groupby("metric", observed=True)["higher_is_better"].first()
    metrics = (Measure(name, bool(better[name]), of_methods=True) for name in results.metrics)
    return (*metrics, Measure(DISAGREEMENT))


def _gallery_items(images: RunImages) -> Iterator[GalleryItem]:
    side = image_side(len(images.keys))
    for model, image in images.keys:
        yield gallery_item(images, model, image, side)


def gallery_item(images: RunImages, model: str, image: str, side: int) -> GalleryItem:
    """Make one image with its heatmaps; the longer side of the image has at most ``side`` pixels."""
    heatmaps, view = images.heatmaps_of(model, image), images.network_input(model, image)
    rows = images.rows_of(model, image)
    by_method = rows.groupby("method", sort=False, observed=True)
    values = {str(method): metric_values(own) for method, own in by_method}
    difference = disagreement(heatmap for method, heatmap in heatmaps.items() if not is_baseline(method))
    common = {} if difference is None else {DISAGREEMENT: difference}
    name, details = Path(image).name, f"{image} {model}" if len(images.results.models) > 1 else image
    return GalleryItem(
        name=name,
        size=_size(view, heatmaps),
        image=image_uri(view, side) if view else "",
        classes=(images.class_name(rows, model),),
        layers=tuple(
            OverlayLayer(
                method=method,
                class_index=0,
                heatmap=heatmap_uri(heatmap),
                outlines=outlines_of(heatmap),
                caption=caption_of(values.get(method, {})),
                values=values.get(method, {}) | common,
            )
            for method, heatmap in heatmaps.items()
        ),
        details="" if details == name else details,
        class_names=(images.explained_class(rows, model),),
        model=model,
    )


def _size(view: Image.Image | None, heatmaps: dict[str, NDArray[np.float32]]) -> tuple[int, int]:
    if view:
        return view.size
    height, width = next(iter(heatmaps.values())).shape if heatmaps else (1, 1)
    return width, height


def metric_values(rows: Any) -> dict[str, float]:
    """Return the values of a method on one image by metric."""
    defined = rows[rows["value"].notna()]
    return dict(zip(defined["metric"].astype(str), defined["value"].astype(float), strict=True))


def caption_of(values: Mapping[str, float]) -> str:
    """Return values by metric as text.

    >>> caption_of({"insertion": 0.51234, "road": -0.25})
    'insertion\xa00.512 · road\xa0-0.25'
    """
    return " · ".join(f"{metric}\N{NO-BREAK SPACE}{value:.3g}" for metric, value in values.items())


# -- images side by side -----------------------------------------------------------------------------------------


def side_by_side_methods(results: Results) -> list[str]:
    """Return the first main methods, and always the reference if it is one of the main methods."""
    methods = [name for name in methods_of_main_tables(results) if not is_baseline(name)]
    late_reference = [name for name in methods[_MAX_COLUMNS:] if name == results.reference]
    return methods[: _MAX_COLUMNS - len(late_reference)] + late_reference


def side_by_side_figures(images: RunImages) -> Iterator[tuple[str, Figure]]:
    """Draw, for each model, the first images that can be opened with the heatmaps of the main methods.

    These are figures 2 and 4 of the Fusion-CAM paper.
    """
    methods = side_by_side_methods(images.results)
    for model in images.results.models if methods else ():
        views, heatmaps = _first_views(images, model, methods)
        if views:
            yield f"{SIDE_BY_SIDE}-{model}", side_by_side_figure(views, heatmaps)


def _first_views(
    images: RunImages, model: str, methods: list[str]
) -> tuple[list[tuple[str, Image.Image]], dict[str, list[NDArray[np.float32]]]]:
    """Return the first images of which all heatmaps are stored, with their classes, and the heatmaps by method."""
    views: list[tuple[str, Image.Image]] = []
    columns: dict[str, list[NDArray[np.float32]]] = {name: [] for name in methods}
    for image in (image for name, image in images.keys if name == model):
        heatmaps = images.heatmaps_of(model, image)
        view = images.network_input(model, image) if heatmaps.keys() >= {*methods} else None
        if view is not None:
            views.append((images.class_name(images.rows_of(model, image), model), view))
            for name, column in columns.items():
                column.append(heatmaps[name])
        if len(views) == _MAX_ROWS:
            break
    return views, columns
