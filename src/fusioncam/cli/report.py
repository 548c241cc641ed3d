"""The command `fusioncam report`, and the reports with which other commands end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fusioncam.cli.options import Json, Quiet
from fusioncam.errors import OutputError, ResultsError


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="the folder of a benchmark, finished or not, or of explain")
    ],
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the report of a folder again.

    It is one HTML file, and for a benchmark also tables and figures. No model is needed. Any browser opens
    report.html offline, and you can send it by mail.

    \b
    fusioncam report fusioncam-out/
    fusioncam report run/
    """
    from fusioncam.cli.output import print_json
    from fusioncam.report.html.page import write_html_report

    if (folder / "plan.json").exists():
        from fusioncam.benchmark.api import collect_results
        from fusioncam.cli.benchmark_output import print_result

        result = collect_results(folder)  # before the report, which reads the rows that this writes
        raise typer.Exit(print_result(result, write_report_if_possible(folder), quiet=quiet, json=json))
    written = write_html_report(folder)
    if json:
        print_json({"folder": str(folder), "written": [str(path) for path in written]})
    elif not quiet:
        print(*written, sep="\n")


def write_report_if_possible(folder: Path) -> list[Path]:
    """Write the report and return its files; if that fails, print the reason, as the results are still valid."""
    from fusioncam.report.html.page import write_html_report

    try:
        return write_html_report(folder)
    except (ResultsError, OutputError) as error:
        print(f"no report: {error}", file=sys.stderr)
        return []
