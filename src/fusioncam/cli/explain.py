"""The commands `fusioncam explain` and `fusioncam demo`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusioncam.cli.explain_inputs import demo_images, images_among, require, require_local, volumes_among
from fusioncam.cli.interruption import keep_results
from fusioncam.cli.options import (
    CHECKPOINT,
    DEFAULT_MODEL,
    LABELS,
    NUM_CLASSES,
    BatchSize,
    Device,
    Engine,
    Json,
    Layer,
    Methods,
    MethodsOrNone,
    ModelName,
    Out,
    Precision,
    Quiet,
    Report,
    options_of,
    require_methods,
    speed_for,
)
from fusioncam.cli.output import print_report
from fusioncam.cli.overlay_options import (
    Boxes,
    Colorbar,
    Colormap,
    Contour,
    Fade,
    Opacity,
    Poster,
    RawFormats,
    View,
    chosen_style,
    require_raw,
    uncrop,
)
from fusioncam.cli.ray_options import Cpus, Gpus, Patience, Ray, RayOptions, WorkerCount
from fusioncam.cli.report import finish_report, with_report
from fusioncam.errors import ImageError

if TYPE_CHECKING:
    from fusioncam.cli.explain_output import ExplanationWriter
    from fusioncam.distributed.progress import PlannedTime
    from fusioncam.model.explained_model import ExplainedModel


def explain(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATHS", help="images, clips, volumes, folders, or glob patterns")
    ],
    model: ModelName = DEFAULT_MODEL,
    layer: Layer = None,
    method: MethodsOrNone = None,
    target: Annotated[
        str | None,
        typer.Option(help="class index or name, top3, label (the folder), FILE.csv; default: predicted"),
    ] = None,
    out: Out = "fusioncam-out",
    device: Device = None,
    precision: Precision = None,
    engine: Engine = None,
    batch_size: BatchSize = 1,
    checkpoint: Annotated[Path | None, CHECKPOINT] = None,
    num_classes: Annotated[int | None, NUM_CLASSES] = None,
    labels: Annotated[Path | None, LABELS] = None,
    check: Annotated[
        bool, typer.Option("--check", help="measure how reliable each heatmap is; takes about as long again")
    ] = False,
    frame: Annotated[
        int | None, typer.Option(min=1, help="page of a TIFF or frame of an animation, from 1; default: the first")
    ] = None,
    every: Annotated[int | None, typer.Option(min=1, help="of a clip: explain each N-th frame; default: all")] = None,
    fps: Annotated[float | None, typer.Option(help="of a clip: explain at most this many frames per second")] = None,
    smooth: Annotated[
        float | None,
        typer.Option(help="of a clip: share of the previous heatmap in each one, from 0 (default) to below 1"),
    ] = None,
    gif: Annotated[bool, typer.Option("--gif", help="of a clip: write a GIF instead of an MP4 video")] = False,
    colormap: Colormap = None,
    opacity: Opacity = None,
    fade: Fade = None,
    contour: Contour = None,
    boxes: Boxes = None,
    colorbar: Colorbar = None,
    view: View = None,
    raw: RawFormats = None,
    poster: Poster = False,
    report: Report = True,
    bulk: Annotated[
        bool, typer.Option("--bulk", help="for very many images: small heatmaps in Parquet, see docs/scaling.md")
    ] = False,
    ray: Ray = None,
    workers: WorkerCount = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    patience: Patience = None,
    overlays: Annotated[
        bool, typer.Option("--overlays", help="with --bulk: also write a JPEG of each heatmap")
    ] = False,
    shard: Annotated[int, typer.Option(min=1, help="with --bulk: images per Parquet file")] = 512,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="with --bulk: allowed error of a stored heatmap, as a share of 1")
    ] = 0.005,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compute heatmaps of images, video clips and volumes.

    Images are explained by fusion-cam, clips by fusion-cam(budget=24); repeat -m to compare other methods side by
    side.

    \b
    fusioncam explain cat.jpg --check
    fusioncam explain photos/ -m fusion-cam -m grad-cam --target tabby --out maps/
    fusioncam explain leaf.png --model timm:resnet50 --checkpoint mine.pt \\
        --num-classes 38 --labels names.txt
    fusioncam explain clip.mp4 --fps 5
    fusioncam explain scan.nii.gz --model package.module:factory
    fusioncam explain s3://bucket/photos --ray head:6379 --gpus-per-worker 1 \\
        --batch-size 8 --out s3://bucket/maps
    """
    require_methods(method or [])
    style = chosen_style(
        colormap=colormap, opacity=opacity, fade=fade, contour=contour, boxes=boxes, colorbar=colorbar, view=view
    )
    require_raw(raw or [])
    cluster = RayOptions(ray, workers, cpus, gpus, patience)
    if bulk or ray is not None:
        from fusioncam.bulk.plan import BulkPlan
        from fusioncam.cli.bulk import require_bulk_options, run_in_bulk

        has_style = bool(style or raw or view or poster)
        require_bulk_options(
            target, check=check, drawn=has_style, frame=frame, clips=(every, fps, smooth, gif or None)
        )
        files = [None if path is None else str(path) for path in (checkpoint, labels)]
        network = (model, layer, tuple(method or ["fusion-cam"]), target, files[0], num_classes, files[1], precision)
        plan = BulkPlan(tuple(paths), *network, shard, tolerance, overlays, engine)
        raise typer.Exit(run_in_bulk(plan, out, device, cluster, batch_size, quiet=quiet, json=json))

    from fusioncam.cli.explain_clips import ClipOptions, explain_clips
    from fusioncam.cli.explain_output import ExplanationWriter
    from fusioncam.data.clip_preprocessing import ClipPreprocessing
    from fusioncam.data.volume_preprocessing import VolumePreprocessing
    from fusioncam.explanations.clips import CLIP_METHOD
    from fusioncam.explanations.explain import named_methods
    from fusioncam.zoo.loading import load_model

    require_local([*paths, out])
    cluster.require_no_workers()
    require(not overlays, "--overlays applies only to bulk runs, others always write overlays: leave it out")
    weights = {"checkpoint": checkpoint, "labels": labels}
    loaded = load_model(
        model, layer, **weights, num_classes=num_classes, device=device, speed=speed_for(precision, engine)
    )
    if view == "whole":
        uncrop(loaded)
    named_methods(loaded, method or [])
    options, preprocessing = ClipOptions(every, fps, smooth, gif or None), loaded.preprocessing
    folders = options.folders(paths, of_clips=isinstance(preprocessing, ClipPreprocessing))
    others = [path for path in paths if Path(path) not in folders]
    found = volumes_among(others) if isinstance(preprocessing, VolumePreprocessing) else images_among(others)
    images, clips = options.split(found, folders, check=check, frame=frame, target=target)
    inputs = [*found, *folders, checkpoint, labels]
    drawn: dict[str, Any] = {"style": style, "raw": raw or [], "poster": poster}
    chosen = {"model": model, "layer": layer, "checkpoint": checkpoint, "num-classes": num_classes, "labels": labels}
    chosen_by = options_of(chosen, {"model": DEFAULT_MODEL})
    writer = ExplanationWriter(Path(out), inputs, quiet=quiet, as_json=json, network=chosen_by, **drawn)

    def with_clips() -> None:
        explain_clips(clips, loaded, method or [CLIP_METHOD], target, options, writer)

    methods = method or ["fusion-cam"]
    _explain(
        images, loaded, methods, target, writer, batch_size, check=check, report=report, frame=frame, after=with_clips
    )


def demo(
    method: Methods = ["grad-cam", "score-cam", "fusion-cam"],  # noqa: B006 # typer copies it
    out: Out = "fusioncam-demo",
    device: Device = None,
    precision: Precision = None,
    engine: Engine = None,
    report: Report = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Explain three free images with the included network.

    Nothing is downloaded, and it takes about half a minute.

    \b
    fusioncam demo
    fusioncam demo -m layer-cam -m "fusion-cam(budget=64)" --out maps/
    """
    from fusioncam.cli.explain_output import ExplanationWriter
    from fusioncam.zoo.loading import load_model

    require_methods(method)
    images, loaded = demo_images(), load_model(device=device, speed=speed_for(precision, engine))
    writer = ExplanationWriter(Path(out), images, quiet=quiet, as_json=json)
    _explain(images, loaded, method, None, writer, 1, report=report)


def _explain(
    images: list[Path | ImageError],
    model: ExplainedModel,
    methods: list[str],
    target: str | None,
    writer: ExplanationWriter,
    batch_size: int,
    *,
    check: bool = False,
    report: bool = True,
    frame: int | None = None,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Explain, save, call ``after``, print and write the report; exit with the code of the run."""
    from fusioncam.explanations.explain import explain_batches

    keep_results()
    with writer.facts_on_failure(model):
        if images:
            with writer.progress(images, partial(_planned, model, methods, check=check)) as found:
                on_error = writer.add_failure
                writer.save(
                    explain_batches(
                        found, model, methods, target, batch_size, check=check, on_error=on_error, frame=frame
                    )
                )
        if not writer.interrupted:
            after()
    code = writer.finish(model)
    written = finish_report(writer.out, wanted=bool(report and writer.facts and not writer.interrupted))
    if not (writer.quiet or writer.json):
        print_report(written or (), writer.following())
    raise typer.Exit(with_report(code, written))


def _planned(model: ExplainedModel, methods: list[str], images: int, *, check: bool) -> PlannedTime | None:
    """Return how long the run will take; None if it is short in any case."""
    from fusioncam.explanations.planned_time import plan_time

    return plan_time(model, images, methods, check=check) if images > 1 or check else None
