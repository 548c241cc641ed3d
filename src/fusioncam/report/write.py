"""What a run of `fusioncam benchmark` comes to: rows in, tables and figures out, without a network.

:func:`write_report` makes all of it from ``rows.parquet`` and ``plan.json``. Of the plan it looks at what is there
of these, and needs none:

- ``methods`` and ``metrics``: lists of SPECs, whose order tables keep;
- ``reference``: the method that the others are compared with, by default ``fusion-cam``;
- ``tables``: lists of methods by name, each of which gets a table ``ablation-NAME``. Without it, sweeps and grids
  are found by the methods' settings. A list ``main`` says which methods the other tables and figures show.

Needs the extra ``benchmark``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from matplotlib.figure import Figure

from fusioncam.report.figures.critical_difference import critical_difference_figure
from fusioncam.report.figures.panels import cost_figure, curves_figure, grid_figure, sweep_figure
from fusioncam.report.figures.style import saved
from fusioncam.report.manifest import keep_only
from fusioncam.report.method_names import ablations, base_name, grids, main_methods, sweeps
from fusioncam.report.results import Results, pandas, read_results
from fusioncam.report.tables.comparisons import rankable
from fusioncam.report.tables.latex import latex
from fusioncam.report.tables.means import pages
from fusioncam.report.tables.model import Page, markdown
from fusioncam.utils.files import atomic_write, writable_folder
from fusioncam.utils.text import slug

_IMAGES = "side-by-side"  # their name begins so, and their SVG is pixels


@dataclass(frozen=True)
class WrittenReport:
    """What was written, and what of it goes into a page: tables, and SVG by its name."""

    files: list[Path]
    pages: list[Page]
    drawings: list[tuple[str, str]]


def write_report(run_folder: str | Path) -> list[Path]:
    """Write ``tables/*.md, *.csv, *.tex`` and ``figures/*.png, *.svg`` of a run, and list what was written.

    Each file is the old one or the new one at any moment, never half of it. The same rows give the same bytes.
    Raises :class:`fusioncam.errors.ResultsError` if rows or plan are missing, torn or not what they must be,
    :class:`fusioncam.errors.OutputError` if a file cannot be written.
    """
    return write_tables_and_figures(read_results(Path(run_folder)), Path(run_folder)).files


def write_tables_and_figures(
    results: Results, run_folder: Path, more: Iterable[tuple[str, Figure]] = ()
) -> WrittenReport:
    """Do that of results that are read, with ``more`` figures; remove what earlier ones wrote and this does not."""
    tables, drawn = list(pages(results)), run_folder / "figures"
    files, drawings = write_tables(tables, run_folder / "tables"), []
    writable_folder(drawn)
    for name, figure in chain(figures(results), more):
        files += write_figure(name, figure, drawn)
        if not name.startswith(_IMAGES):
            drawings.append((name, saved(figure, "svg", letters=True).decode()))
    keep_only(files, run_folder)
    return WrittenReport(files, tables, drawings)


def write_tables(tables: Iterable[Page], folder: Path) -> list[Path]:
    """Write every page as Markdown, LaTeX and CSV."""
    writable_folder(folder)
    written = []
    for page in tables:
        csv = pandas().DataFrame(list(page.records)).to_csv(index=False, lineterminator="\n")
        for kind, text in (("md", markdown(page)), ("tex", latex(page)), ("csv", csv)):
            written.append(folder / f"{slug(page.name)}.{kind}")
            with atomic_write(written[-1]) as file:
                file.write(text.encode())
    return written


def write_figure(name: str, figure: Figure, folder: Path) -> list[Path]:
    """Write a figure as PNG and SVG."""
    written = [folder / f"{slug(name)}.{kind}" for kind in ("png", "svg")]
    for path in written:
        with atomic_write(path) as file:
            file.write(saved(figure, path.suffix[1:]))
    return written


def figures(results: Results) -> Iterator[tuple[str, Figure]]:
    """Give all figures that the rows hold something for, with their names."""
    for model in results.models:
        for name, figure in (*_of_curves(results, model), *_of_costs(results, model), *_of_settings(results, model)):
            if figure is not None:
                yield f"{name}-{model}", figure
        for column in rankable(results, model, main_of(results)):
            if (figure := critical_difference_figure(column, results.methods)) is not None:
                yield f"critical-difference-{column.metric}-{model}", figure


def main_of(results: Results) -> list[str]:
    """Give the methods of the main tables."""
    methods = results.methods
    return main_methods(methods, ablations(methods, results.plan.get("tables")))


def _of_curves(results: Results, model: str) -> Iterator[tuple[str, Figure | None]]:
    """Figures 3 and 5 of the paper, and the curves of the other metrics that have them."""
    named = [one for one in results.metrics if base_name(one) in ("insertion", "deletion")]
    others = [one for one in results.metrics if one not in named]
    pair = [one for one in ("fusion-cam", "union-cam") if one in results.methods]
    yield "curves", curves_figure(results, model, named, main_of(results))
    if len(pair) == 2:
        yield "curves-union-fusion", curves_figure(results, model, named, pair)
    yield "curves-others", curves_figure(results, model, others, main_of(results))


def _of_costs(results: Results, model: str) -> Iterator[tuple[str, Figure | None]]:
    for cost in ("seconds", "passes"):
        yield f"cost-{cost}", cost_figure(results, model, main_of(results), cost)


def _of_settings(results: Results, model: str) -> Iterator[tuple[str, Figure | None]]:
    for sweep in sweeps(results.methods):
        yield f"sweep-{sweep.setting}-{sweep.name}", sweep_figure(results, model, sweep, results.reference)
    for grid in grids(results.methods):
        yield f"grid-{grid.rows}-{grid.columns}-{grid.name}", grid_figure(results, model, grid)
