"""The command `fusioncam report`, and the reports with which other commands end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusioncam.cli.interruption import keep_results
from fusioncam.cli.next_commands import after_benchmark, after_report
from fusioncam.cli.options import Json, Quiet
from fusioncam.cli.output import print_note, print_report
from fusioncam.errors import FusionCamError, describe_error


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="the folder of explain, also in bulk, audit or benchmark, finished or not"
        ),
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

    keep_results()
    if (folder / "plan.json").exists():
        from fusioncam.benchmark.api import collect_results
        from fusioncam.cli.benchmark_output import print_result

        result = collect_results(folder)  # before the report, which reads the rows that this writes
        following = after_benchmark(result.plan)
        raise typer.Exit(print_result(result, write_html_report(folder), following, quiet=quiet, json=json))
    written = write_html_report(folder)
    if json:
        print_json({"folder": str(folder), "written": [str(path) for path in written]})
    elif not quiet:
        print_report(written, after_report(folder))


def finish_report(folder: Path, *, wanted: bool) -> list[Path] | None:
    """Write the report of results and return its files: none if it is not ``wanted``, None if it failed.

    The results are still valid if the report fails, so that the reason is only printed. Without a new report, the
    page of earlier results is renamed, because it would look like that of the new ones.
    """
    from fusioncam.report.html.page import rename_outdated_report, write_html_report

    if not wanted:
        rename_outdated_report(folder)
        return []
    try:
        return write_html_report(folder)
    except (FusionCamError, OSError) as error:
        print_note(f"no report: {describe_error(error)}")
        return None


def with_report(code: int, written: list[Path] | None) -> int:
    """Return the exit code of a run with its report: 1 if only the report failed."""
    return code or int(written is None)
