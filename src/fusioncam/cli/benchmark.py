"""The commands `fusioncam benchmark`, `fusioncam report` and `fusioncam list metrics`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fusioncam.benchmark.api import gathered
from fusioncam.benchmark.plan import TARGETS, as_plan
from fusioncam.benchmark.runner import BenchmarkResult, run
from fusioncam.cli.options import (
    BatchSize,
    Device,
    Json,
    Layer,
    MethodsOrNone,
    Metrics,
    ModelNames,
    Precision,
    Quiet,
    Report,
)
from fusioncam.cli.progress import ProgressBar, table_of
from fusioncam.cli.ray_options import Cpus, Gpus, Patience, Ray, WorkerCount, workers_for
from fusioncam.errors import OutputError, ResultsError
from fusioncam.metrics.registry import METRICS, described, settings_of
from fusioncam.report.html.page import write_html_report
from fusioncam.utils.files import to_json

_FEW = 20


def benchmark(
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="a folder of images, or a data set: ImageNet, VOC, COCO, CSV, datasets"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="the folder of the run")] = Path("fusioncam-run"),
    plan: Annotated[
        str | None, typer.Option(help="paper, paper-ablation, quick, or a YAML file of the words below")
    ] = None,
    model: ModelNames = None,
    method: MethodsOrNone = None,
    metric: Metrics = None,
    layer: Layer = None,
    target: Annotated[str | None, typer.Option(help=f"the class that is explained: {' or '.join(TARGETS)}")] = None,
    limit: Annotated[int | None, typer.Option(help="so many images, drawn by the seed")] = None,
    seed: Annotated[int | None, typer.Option(help="of the draw, and of whatever else is random")] = None,
    class_map: Annotated[str | None, typer.Option(help="a CSV from the data's classes to the model's")] = None,
    keep_heatmaps: Annotated[
        bool | None, typer.Option("--keep-heatmaps", help="so that a metric added later runs no method")
    ] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="let a run have more models, methods, metrics, images")
    ] = False,
    device: Device = None,
    precision: Precision = None,
    ray: Ray = None,
    workers: WorkerCount = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    patience: Patience = None,
    batch_size: BatchSize = 1,
    report: Report = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure methods on images: rows, then a report. Killed at any moment, it goes on where it was.

    fusioncam benchmark photos/ -m grad-cam -m fusion-cam --metric insertion --metric deletion --out run/

    fusioncam benchmark imagenet/val --plan paper --limit 1000 --out run/

    fusioncam benchmark imagenet/val --plan paper --ray head:6379 --workers 8 --gpus-per-worker 1 --out run/
    """
    lists: dict[str, Any] = {"models": model or None, "methods": method or None, "metrics": metric or None}
    drawn: dict[str, Any] = {
        "target": target,
        "limit": limit,
        "seed": seed,
        "class_map": class_map,
        "keep_heatmaps": keep_heatmaps,
    }
    chosen = as_plan(plan, data=data, **lists, layer=layer, **drawn, device=device, precision=precision)
    screen = ProgressBar(quiet=quiet)
    place = workers_for(ray, workers, cpus, gpus, patience, batch_size=batch_size, note=screen.note)
    with screen.shown(), place as hands:
        outcome = run(chosen, out, extend=extend, watch=screen, workers=hands)
    written = reported(out) if report and not outcome.interrupted else []
    raise typer.Exit(_told(outcome, written, quiet=quiet, json=json))


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="a folder of benchmark, ended or not, or of explain")],
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a report again: one HTML file of a folder of explain or benchmark, and of rows tables and figures too.

    No network is needed. Any browser opens report.html, without internet, and it may be sent by mail.

    fusioncam report fusioncam-out/

    fusioncam report run/
    """
    if (folder / "plan.json").exists():
        raise typer.Exit(_told(gathered(folder), reported(folder), quiet=quiet, json=json))
    written = write_html_report(folder)
    if json:
        print(to_json({"folder": str(folder), "written": [str(path) for path in written]}).decode())
    elif not quiet:
        print(*written, sep="\n")


def list_metrics() -> None:
    """List the metrics: what they are, what they need, what can be set. A name with a colon is a named protocol.

    Settings go in parentheses: insertion(steps=100, fill=mean|blur)

    fusioncam list metrics
    """
    table = Table(
        "metric", "family", "better", "needs", "passes", "paper", "what it measures", "settings", show_lines=True
    )
    for name, metric in METRICS.items():
        better = "higher" if metric.higher_is_better else "lower"
        needs = [word for word, needed in (("truth", metric.needs_truth), ("method", metric.needs_method)) if needed]
        settings = ", ".join(settings_of(metric))
        table.add_row(
            name, metric.family, better, ", ".join(needs), metric.cost, metric.paper, described(name), settings
        )
    table.caption = "truth: boxes or masks of the class; method: it asks for more heatmaps, M is what one takes"
    Console(width=None if sys.stdout.isatty() else 240).print(table)


def reported(folder: Path) -> list[Path]:
    """Make the report; a run of which none can be made is still a run."""
    try:
        return write_html_report(folder)
    except (ResultsError, OutputError) as error:
        print(f"no report: {error}", file=sys.stderr)
        return []


def _told(outcome: BenchmarkResult, written: Sequence[Path], *, quiet: bool, json: bool) -> int:
    """Say how a run ended, and give the exit code."""
    if json:
        print(to_json(_facts(outcome, written)).decode())
    elif not (quiet or outcome.interrupted):
        if outcome.rows > len(outcome.failures):
            Console(width=None if sys.stdout.isatty() else 200).print(table_of(outcome.means))
        print(f"{outcome.rows:,} rows: {outcome.file}")
        for path in written:
            print(path)
    for row in outcome.failures[:_FEW]:
        about = ", ".join(filter(None, (row["model"], row["image"], row["method"], row["metric"])))
        print(f"failed: {about}: {row['error']}", file=sys.stderr)
    if len(outcome.failures) > _FEW:
        print(f"failed: {len(outcome.failures):,} in all, see the column 'error' of the rows", file=sys.stderr)
    if outcome.interrupted:
        print(f"stopped: {outcome.rows:,} values are in {outcome.folder}, the same command goes on", file=sys.stderr)
        return 130
    return 1 if outcome.failures else 0


def _facts(outcome: BenchmarkResult, written: Sequence[Path]) -> dict[str, Any]:
    told = ("model", "image", "method", "metric", "error")
    return {
        "folder": str(outcome.folder),
        "interrupted": outcome.interrupted,
        "rows": outcome.rows,
        "means": [
            {"model": model, "method": method, **means} for (model, method), means in outcome.means.found().items()
        ],
        "failures": [{name: row[name] for name in told} for row in outcome.failures],
        "written": [str(path) for path in written],
    }
