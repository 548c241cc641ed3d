"""The command `fusioncam benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fusioncam.cli.interruption import keep_results
from fusioncam.cli.next_commands import after_benchmark
from fusioncam.cli.options import (
    CLASS_MAP,
    LIMIT,
    BatchSize,
    Device,
    Engine,
    Json,
    Layer,
    MethodsOrNone,
    Metrics,
    ModelNames,
    Precision,
    Quiet,
    Report,
)
from fusioncam.cli.ray_options import Cpus, Gpus, Patience, Ray, RayOptions, WorkerCount
from fusioncam.cli.report import finish_report, with_report


def benchmark(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="a folder of images, or a data set: ImageNet, VOC, COCO, CSV or Hugging Face"
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="folder of the run")] = Path("fusioncam-run"),
    plan: Annotated[
        str | None,
        typer.Option(
            help="paper, paper-ablation, families, localization, retraining, quick, or a YAML file with these options"
        ),
    ] = None,
    model: ModelNames = None,
    method: MethodsOrNone = None,
    metric: Metrics = None,
    layer: Layer = None,
    target: Annotated[str | None, typer.Option(help="the class to explain: predicted or label")] = None,
    limit: Annotated[int | None, LIMIT] = None,
    seed: Annotated[int | None, typer.Option(help="seed of the draw and of everything else that is random")] = None,
    class_map: Annotated[str | None, CLASS_MAP] = None,
    keep_heatmaps: Annotated[
        bool | None,
        typer.Option(
            "--keep-heatmaps/--no-heatmaps",
            help="store heatmaps, so that the report shows images and later metrics run no method; by default those "
            "of up to 200 images",
        ),
    ] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="add models, methods, metrics or images to an existing run")
    ] = False,
    device: Device = None,
    precision: Precision = None,
    engine: Engine = None,
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
    """Measure methods on images and write a report.

    Run the same command again to continue a run that was stopped or killed.

    \b
    fusioncam benchmark photos/ -m grad-cam -m fusion-cam --metric insertion \\
        --metric deletion --out run/
    fusioncam benchmark imagenet/val --plan paper --limit 1000 --out run/
    fusioncam benchmark imagenet/val --plan paper --ray head:6379 --workers 8 \\
        --gpus-per-worker 1 --out run/
    """
    from fusioncam.benchmark.plan import as_plan
    from fusioncam.benchmark.runner import run
    from fusioncam.cli.benchmark_output import print_result
    from fusioncam.cli.progress import BenchmarkProgressBar

    lists: dict[str, Any] = {"models": model or None, "methods": method or None, "metrics": metric or None}
    sampling: dict[str, Any] = {"target": target, "limit": limit, "seed": seed, "class_map": class_map}
    settings: dict[str, Any] = {
        "layer": layer,
        "keep_heatmaps": keep_heatmaps,
        "device": device,
        "precision": precision,
        "engine": engine,
    }
    chosen = as_plan(plan, data=data, **lists, **sampling, **settings)
    bar = BenchmarkProgressBar(quiet=quiet)
    start_workers = RayOptions(ray, workers, cpus, gpus, patience).start_workers(batch_size, bar)
    keep_results()
    with bar.displayed(), start_workers as pool:
        result = run(chosen, out, extend=extend, listener=bar, workers=pool)
    written = finish_report(out, wanted=report and not result.interrupted)
    code = print_result(result, written or [], after_benchmark(chosen), quiet=quiet, json=json)
    raise typer.Exit(with_report(code, written))
