"""Print the result of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusioncam.benchmark.runner import BenchmarkResult
from fusioncam.cli.output import print_failures, print_json, print_line, print_note, print_report, print_table
from fusioncam.cli.progress import means_table


def print_result(
    result: BenchmarkResult, written: Sequence[Path], following: Sequence[object] = (), *, quiet: bool, json: bool
) -> int:
    """Print means, files, the ``following`` command and the failures of a run, and return the exit code."""
    if json:
        print_json(_facts(result, written))
    elif not (quiet or result.interrupted):
        has_values = result.rows > len(result.failures)
        if has_values:
            print_table(means_table(result.means))
        print_line(f"{result.rows:,} rows: {result.file}")
        print_report(written, following if has_values else ())
    print_failures([_failure(row) for row in result.failures], len(result.failures))
    if result.interrupted:
        print_note(f"stopped: {result.rows:,} values are in {result.folder}; run the same command again to continue")
        return 130
    return 1 if result.failures else 0


def _failure(row: dict[str, Any]) -> str:
    subject = ", ".join(filter(None, (row["model"], row["image"], row["method"], row["metric"])))
    return f"{subject}: {row['error']}"


def _facts(result: BenchmarkResult, written: Sequence[Path]) -> dict[str, Any]:
    columns = ("model", "image", "method", "metric", "error")
    return {
        "folder": str(result.folder),
        "interrupted": result.interrupted,
        "rows": result.rows,
        "means": [
            {"model": model, "method": method, **means} for (model, method), means in result.means.found().items()
        ],
        "failures": [{name: row[name] for name in columns} for row in result.failures],
        "written": [str(path) for path in written],
    }
