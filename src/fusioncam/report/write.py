"""Draw the figures of a run, and write them and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from matplotlib.figure import Figure

from fusioncam.report.figures.costs import cost_figure
from fusioncam.report.figures.critical_difference import critical_difference_figure
from fusioncam.report.figures.curves import curves_figure
from fusioncam.report.figures.settings import grid_figure, sweep_figure
from fusioncam.report.figures.style import render
from fusioncam.report.manifest import remove_stale_files
from fusioncam.report.method_names import ablations, base_name, find_grids, find_sweeps, main_methods
from fusioncam.report.results import Results
from fusioncam.report.stored_rows import pandas
from fusioncam.report.tables.comparisons import rankable_columns
from fusioncam.report.tables.csv_cells import escape_records
from fusioncam.report.tables.latex import latex
from fusioncam.report.tables.means import pages
from fusioncam.report.tables.model import Page, markdown
from fusioncam.utils.files import writable_folder, write_file
from fusioncam.utils.text import slug

SIDE_BY_SIDE = (
    "side-by-side"  # prefix of figures of images, which an HTML report leaves out because their SVG is pixels
)

NamedFigure = tuple[str, Figure]


@dataclass(frozen=True)
class WrittenReport:
    """The files that were written, and what an HTML report shows of them: pages of tables, and named SVG texts."""

    files: list[Path]
    pages: list[Page]
    drawings: list[tuple[str, str]]


def write_tables_and_figures(results: Results, run_folder: Path, more: Iterable[NamedFigure] = ()) -> WrittenReport:
    """Write the tables and figures of results, and ``more`` figures.

    Files that only an earlier report wrote are removed.
    """
    tables, folder = list(pages(results)), run_folder / "figures"
    files, drawings = write_tables(tables, run_folder / "tables"), []
    writable_folder(folder)
    for name, figure in chain(draw_figures(results), more):
        files += write_figure(name, figure, folder)
        if not name.startswith(SIDE_BY_SIDE):
            drawings.append((name, render(figure, "svg", editable_text=True).decode()))
    remove_stale_files(files, run_folder)
    return WrittenReport(files, tables, drawings)


def write_tables(tables: Iterable[Page], folder: Path) -> list[Path]:
    """Write every page as Markdown, LaTeX and CSV."""
    writable_folder(folder)
    written = []
    for page in tables:
        csv = pandas().DataFrame(escape_records(page.records)).to_csv(index=False, lineterminator="\n")
        for extension, text in (("md", markdown(page)), ("tex", latex(page)), ("csv", csv)):
            written.append(folder / f"{slug(page.name)}.{extension}")
            write_file(written[-1], text.encode())
    return written


def write_figure(name: str, figure: Figure, folder: Path) -> list[Path]:
    """Write a figure as PNG, SVG and PDF."""
    paths = [folder / f"{slug(name)}.{extension}" for extension in ("png", "svg", "pdf")]
    for path in paths:
        write_file(path, render(figure, path.suffix[1:]))
    return paths


def draw_figures(results: Results) -> Iterator[NamedFigure]:
    """Yield the name and figure of everything that the rows hold values for."""
    for model in results.models:
        for name, figure in (
            *_curve_figures(results, model),
            *_cost_figures(results, model),
            *_setting_figures(results, model),
        ):
            if figure is not None:
                yield f"{name}-{model}", figure
        for column in rankable_columns(results, model, methods_of_main_tables(results)):
            if (diagram := critical_difference_figure(column, results.methods)) is not None:
                yield f"critical-difference-{column.metric}-{model}", diagram


def methods_of_main_tables(results: Results) -> list[str]:
    """Return the methods of the main tables."""
    methods = results.methods
    return main_methods(methods, ablations(methods, results.plan.get("tables")))


def _curve_figures(results: Results, model: str) -> Iterator[tuple[str, Figure | None]]:
    """Draw figures 3 and 5 of the Fusion-CAM paper, and the curves of the other metrics that have them."""
    methods = methods_of_main_tables(results)
    in_paper = [metric for metric in results.metrics if base_name(metric) in ("insertion", "deletion")]
    others = [metric for metric in results.metrics if metric not in in_paper]
    pair = [method for method in ("fusion-cam", "union-cam") if method in results.methods]
    yield "curves", curves_figure(results, model, in_paper, methods)
    if len(pair) == 2:
        yield "curves-union-fusion", curves_figure(results, model, in_paper, pair)
    yield "curves-others", curves_figure(results, model, others, methods)


def _cost_figures(results: Results, model: str) -> Iterator[tuple[str, Figure | None]]:
    for cost in ("seconds", "passes"):
        yield f"cost-{cost}", cost_figure(results, model, methods_of_main_tables(results), cost)


def _setting_figures(results: Results, model: str) -> Iterator[tuple[str, Figure | None]]:
    for sweep in find_sweeps(results.methods):
        yield f"sweep-{sweep.setting}-{sweep.name}", sweep_figure(results, model, sweep, results.reference)
    for grid in find_grids(results.methods):
        yield f"grid-{grid.rows}-{grid.columns}-{grid.name}", grid_figure(results, model, grid)
