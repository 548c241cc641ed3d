"""The commands `fusioncam explain` and `fusioncam demo`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    require_methods,
    speed_for,
)
from fusioncam.cli.output import print_line, print_note
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
from fusioncam.errors import ImageError, SettingError

if TYPE_CHECKING:
    from fusioncam.cli.explain_output import ExplanationWriter
    from fusioncam.model.explained_model import ExplainedModel


def explain(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATHS", help="images, folders of images, clips, volumes, or glob patterns")
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
    fusioncam explain leaf.png --model timm:resnet50 --checkpoint mine.pt --num-classes 38 --labels names.txt
    fusioncam explain clip.mp4 --fps 5
    fusioncam explain scan.nii.gz --model package.module:factory
    fusioncam explain s3://bucket/photos --ray head:6379 --gpus-per-worker 1 --batch-size 8 --out s3://bucket/maps
    """
    require_methods(method or [])
    style = chosen_style(
        colormap=colormap, opacity=opacity, fade=fade, contour=contour, boxes=boxes, colorbar=colorbar, view=view
    )
    require_raw(raw or [])
    cluster = RayOptions(ray, workers, cpus, gpus, patience)
    if bulk or ray is not None:
        from fusioncam.bulk.plan import BulkPlan
        from fusioncam.cli.bulk import run_in_bulk

        _require(not check, "--check does not apply to bulk runs: check some images without --bulk and --ray")
        _require(
            not (style or raw or view or poster),
            "overlays have no options in bulk runs: leave out --bulk and --ray",
        )
        _require(frame is None, "--frame does not apply to bulk runs: leave out --bulk and --ray")
        _require(
            target != "label" and ".csv" not in (target or ""),
            f"--target {target} does not apply to bulk runs: name a class, or leave out --bulk and --ray",
        )
        _require(
            (every, fps, smooth) == (None, None, None),
            "--every, --fps and --smooth apply to clips, and bulk runs explain images: leave out --bulk and --ray",
        )
        files = [None if path is None else str(path) for path in (checkpoint, labels)]
        network = (model, layer, tuple(method or ["fusion-cam"]), target, files[0], num_classes, files[1], precision)
        plan = BulkPlan(tuple(paths), *network, shard, tolerance, overlays, engine)
        raise typer.Exit(run_in_bulk(plan, out, device, cluster, batch_size, quiet=quiet, json=json))

    from fusioncam.cli.explain_clips import ClipOptions, explain_clips
    from fusioncam.cli.explain_output import ExplanationWriter
    from fusioncam.data.volume_preprocessing import VolumePreprocessing
    from fusioncam.explanations.clips import CLIP_METHOD
    from fusioncam.explanations.explain import named_methods
    from fusioncam.zoo.loading import load_model

    _require_local([*paths, out])
    cluster.require_no_workers()
    _require(not overlays, "--overlays applies only to bulk runs, others always write overlays: leave it out")
    weights = {"checkpoint": checkpoint, "labels": labels}
    loaded = load_model(
        model, layer, **weights, num_classes=num_classes, device=device, speed=speed_for(precision, engine)
    )
    if view == "whole":
        uncrop(loaded)
    named_methods(loaded, method or [])
    found = _volumes(paths) if isinstance(loaded.preprocessing, VolumePreprocessing) else _images(paths)
    options = ClipOptions(every, fps, smooth)
    images, clips = options.split(found, check=check, frame=frame, target=target)
    inputs = [*found, checkpoint, labels]
    drawn: dict[str, Any] = {"style": style, "raw": raw or [], "poster": poster}
    writer = ExplanationWriter(Path(out), inputs, quiet=quiet, as_json=json, **drawn)

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
    images, loaded = _demo_images(), load_model(device=device, speed=speed_for(precision, engine))
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
            with writer.progress(images) as found:
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
        for path in written or ():
            print_line(f"report: {path.absolute().as_uri()}")
        for line in writer.next_command():
            print_line(line)
    raise typer.Exit(with_report(code, written))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SettingError(message)


def _require_local(paths: Iterable[str]) -> None:
    """Raise :class:`SettingError` for a URL; only bulk runs read and write URLs."""
    for path in paths:
        _require("://" not in path, f"'{path}' is not a path on this machine: add --bulk, or --ray for a cluster")


def _images(paths: list[str]) -> list[Path | ImageError]:
    """Return the images of all paths, without those that an earlier run lists as its results.

    A result that is named itself is kept. Raises :class:`SettingError` if nothing remains.
    """
    from fusioncam.data.clips import has_clip_suffix
    from fusioncam.data.image_files import find_images
    from fusioncam.explanations.result_files import WRITTEN_BY_RUNS, results_among

    skipped: list[Path] = []
    found = list(find_images(paths, skipped.append))
    others = {path for path in skipped if path.name not in WRITTEN_BY_RUNS}
    others -= results_among(others)
    clips = {path for path in others if has_clip_suffix(path)}
    if clips:
        count = f"{len(clips)} clips of folders" if len(clips) > 1 else "1 clip of a folder"
        print_note(f"note: left out {count}: name a clip to explain it, such as {min(clips)}")
    others -= clips
    if others:
        kinds = ", ".join(sorted({path.suffix or path.name for path in others})[:5])
        count = "1 file that is not an image" if len(others) == 1 else f"{len(others)} files that are not images"
        print_note(f"note: left out {count} ({kinds})")
    images = {one for one in found if isinstance(one, Path)}
    results = results_among(images).difference(map(Path, paths))
    if results:
        count = f"{len(results)} of {len(images)} images"
        left_out = f"left out {count}, results that the explanations.json of an earlier run lists"
        _require(len(results) < len(set(found)), f"nothing to explain: {left_out}: name the files to explain them")
        print_note(f"note: {left_out}")
    return [one for one in found if one not in results]


def _volumes(paths: list[str]) -> list[Path | ImageError]:
    """Return the volumes of all paths, without those that an earlier run lists as its results."""
    from fusioncam.data.volume_files import find_volumes
    from fusioncam.explanations.result_files import results_among

    found = list(find_volumes(paths))
    results = results_among(one for one in found if isinstance(one, Path)).difference(map(Path, paths))
    if results:
        listed = "results that the explanations.json of an earlier run lists"
        _require(len(results) < len(found), f"nothing to explain: all are {listed}: name the files to explain them")
        print_note(f"note: left out {len(results)} of {len(found)} volumes, {listed}")
    return [one for one in found if one not in results]


def _demo_images() -> list[Path | ImageError]:
    """Return three images that scikit-image includes."""
    from fusioncam.utils.optional import extra

    data = extra("demo", "skimage.data", "the demo's images")
    folder = Path(data.__file__).parent
    return [folder / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
