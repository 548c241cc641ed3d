"""TODO."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fusioncam.bulk.plan import BulkPlan
from fusioncam.cli.benchmark import reported
from fusioncam.cli.explain_output import Run
from fusioncam.cli.options import (
    BatchSize,
    Device,
    Json,
    Layer,
    Methods,
    ModelName,
    Out,
    Precision,
    Quiet,
    Report,
    require_methods,
    speed_of,
)
from fusioncam.cli.ray_options import Cpus, Gpus, Patience, Ray, WorkerCount, in_bulk, require_ray, workers_for
from fusioncam.data.images import find_images
from fusioncam.errors import ImageError, UnknownNameError
from fusioncam.explanations.explain import explain_batches, named_methods
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.optional import extra
from fusioncam.zoo.loading import DEFAULT_MODEL, load_model


def explain(
    paths: Annotated[list[str], typer.Argument(metavar="PATHS", help="images, folders of images, or glob patterns")],
    model: ModelName = DEFAULT_MODEL,
    layer: Layer = None,
    method: Methods = ["fusion-cam"],  # noqa: B006 # typer copies it
    target: Annotated[
        str | None, typer.Option(help="class index, class name or top3; default: the prediction")
    ] = None,
    out: Out = "fusioncam-out",
    device: Device = None,
    precision: Precision = None,
    batch_size: BatchSize = 1,
    checkpoint: Annotated[
        Path | None, typer.Option(help="a state dict, torch or .safetensors, for the model")
    ] = None,
    num_classes: Annotated[int | None, typer.Option(min=1, help="classes of the checkpoint")] = None,
    labels: Annotated[Path | None, typer.Option(help="a text file, one class name a line")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="measure how far each heatmap can be trusted; some seconds more")
    ] = False,
    report: Report = True,
    bulk: Annotated[
        bool, typer.Option("--bulk", help="of very many images: small heatmaps in Parquet, see docs/scaling.md")
    ] = False,
    ray: Ray = None,
    workers: WorkerCount = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    patience: Patience = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="with --bulk: a JPEG of each heatmap, too")] = False,
    shard: Annotated[int, typer.Option(min=1, help="with --bulk: images a file")] = 512,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="with --bulk: what a stored heatmap may be off, of 1")
    ] = 0.005,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make heatmaps of images. Several -m give them side by side.

    fusioncam explain cat.jpg --check

    fusioncam explain photos/ -m fusion-cam -m grad-cam --target tabby --out maps/

    fusioncam explain leaf.png --model timm:resnet50 --checkpoint mine.pt --num-classes 38 --labels names.txt

    fusioncam explain s3://bucket/photos --ray head:6379 --gpus-per-worker 1 --batch-size 8 --out s3://bucket/maps
    """
    require_methods(method)
    if bulk or ray is not None:
        if check:
            raise UnknownNameError(
                "--check is not of bulk runs, which keep heatmaps alone: check some images without"
            )
        files = [None if one is None else str(one) for one in (checkpoint, labels)]
        network = (model, layer, tuple(method), target, files[0], num_classes, files[1], precision)
        plan = BulkPlan(tuple(paths), *network, shard, tolerance, overlays)
        place = partial(workers_for, ray, workers, cpus, gpus, patience, batch_size=batch_size)
        raise typer.Exit(in_bulk(plan, out, device, lambda note: place(note=note), quiet=quiet, json=json))
    _require_here([*paths, out])
    require_ray(workers, cpus, gpus, patience)
    if overlays:
        raise UnknownNameError("--overlays is of bulk runs, others write them anyway: leave it out, or say --bulk")
    weights = {"checkpoint": checkpoint, "labels": labels}
    loaded = load_model(model, layer, **weights, num_classes=num_classes, device=device, speed=speed_of(precision))
    named_methods(loaded, list(method))
    found = [one for one in find_images(paths) if str(one) in paths or not _inside(one, Path(out))]
    run = Run(Path(out), quiet=quiet, as_json=json)
    _run(found, loaded, method, target, run, batch_size, check=check, report=report)


def demo(
    method: Methods = ["grad-cam", "score-cam", "fusion-cam"],  # noqa: B006 # typer copies it
    out: Out = "fusioncam-demo",
    device: Device = None,
    precision: Precision = None,
    report: Report = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Explain three free images with the built-in network: no download, about half a minute.

    fusioncam demo

    fusioncam demo -m layer-cam -m "fusion-cam(budget=64)" --out maps/
    """
    require_methods(method)
    images, loaded = _demo_images(), load_model(device=device, speed=speed_of(precision))
    _run(images, loaded, method, None, Run(Path(out), quiet=quiet, as_json=json), 1, report=report)


def _run(
    images: Iterable[Path | ImageError],
    model: ExplainedModel,
    methods: list[str],
    target: str | None,
    run: Run,
    batch_size: int,
    *,
    check: bool = False,
    report: bool = True,
) -> None:
    """Explain, save, tell and report; the exit code says how it went."""
    with run.progress(images) as found:
        run.take(explain_batches(found, model, methods, target, batch_size, check=check, on_error=run.fail))
    code = run.finish(model)
    written = reported(run.out) if report and run.facts and not run.interrupted else []
    if not (run.quiet or run.json):
        for path in written:
            print(f"report: {path}")
    raise typer.Exit(code)


def _require_here(paths: Iterable[str]) -> None:
    """Tell that only bulk runs read and write elsewhere."""
    for path in paths:
        if "://" in path:
            raise UnknownNameError(f"'{path}' is no path of this machine: say --bulk, or --ray for a cluster")


def _inside(found: Path | ImageError, out: Path) -> bool:
    """Say whether an image that a folder gave is a result of an earlier run."""
    return isinstance(found, Path) and out.resolve() in found.resolve().parents


def _demo_images() -> list[Path | ImageError]:
    data = extra("demo", "skimage.data", "the demo's images")  # which are free and lie in its wheel
    folder = Path(data.__file__).parent
    return [folder / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
