"""The command `fusioncam doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusioncam.cli.interruption import keep_results
from fusioncam.cli.options import DEFAULT_MODEL, Device, Engine, Json, ModelName, Precision, speed_for

if TYPE_CHECKING:
    from fusioncam.model.description import Description
    from fusioncam.model.explained_model import ExplainedModel


def doctor(
    image: Annotated[str | None, typer.Argument(help="an image to run the model on", show_default=False)] = None,
    model: ModelName = DEFAULT_MODEL,
    device: Device = None,
    precision: Precision = None,
    engine: Engine = None,
    speed: Annotated[
        bool | None,
        typer.Option("--speed/--no-speed", help="measure the speed too; default: only without an image"),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(min=0.1, max=3600, help="approximate duration of the measurement; slow models take longer"),
    ] = 20,
    clear_cache: Annotated[
        bool,
        typer.Option("--clear-cache", help="only remove the networks converted to OpenVINO from the disk"),
    ] = False,
    json: Json = False,
) -> None:
    """Describe a model, and measure how fast this machine runs it.

    The description says what the outputs are, whether they are random, whether hooks and gradients work, which layer
    is explained and how it is read, and what to change. With an image, it also says whether the image is nearly black
    or mostly cropped away. The measurement covers plain passes and passes over masked images, the latter in each
    precision and engine.

    \b
    fusioncam doctor cat.jpg --model package.module:factory
    fusioncam doctor
    fusioncam doctor --model timm:resnet50 --precision auto --seconds 60
    """
    if clear_cache:
        return clear_networks(json=json)

    from fusioncam.cli.doctor_tables import in_words, tables
    from fusioncam.cli.output import print_json, print_table
    from fusioncam.zoo.loading import load_model

    loaded = load_model(model, device=device, speed=speed_for(precision, engine))
    description = _description(loaded, image)
    measures_speed = image is None if speed is None else speed
    report = _measurement(loaded, seconds) if measures_speed else {}
    if json:
        return print_json({"description": description.to_dict()} | report)
    print(description)
    for table in tables(report) if report else ():
        print_table(table)
    if report.get("fusion_cam"):
        print(in_words(report["fusion_cam"]))
    return None


def _description(model: ExplainedModel, image: str | None) -> Description:
    """Return the description with an image, or with an example input."""
    from fusioncam.benchmark.throughput import example_input
    from fusioncam.data.images import open_with_channels
    from fusioncam.data.volume_files import open_volume
    from fusioncam.data.volume_preprocessing import VolumePreprocessing

    if image is None:
        return model.describe(example_input(model))
    if isinstance(model.preprocessing, VolumePreprocessing):
        volume = open_volume(image, model.preprocessing.channels)
        return model.describe(model.preprocessing(volume)[None].to(model.device))
    opened = open_with_channels(image, model.preprocessing.channels)
    return model.describe(model.preprocessing(opened)[None].to(model.device), opened.size)


def _measurement(model: ExplainedModel, seconds: float) -> dict[str, Any]:
    """Return the facts about this machine, and the rates of the model on it."""
    from rich.console import Console

    from fusioncam.benchmark.engine_rates import engine_rates
    from fusioncam.benchmark.throughput import examine

    keep_results()  # the status restores the terminal
    with Console(stderr=True).status("measuring") as status:
        report = examine(model, seconds, lambda step: status.update(f"measuring: {step}"))
        status.update("measuring: engines")
        rates = engine_rates(model, max(one["rate"] for one in report["plain"]), seconds)
        status.update("measuring: fusion-cam")
        fastest = max(one["rate"] for one in report["masked"] if one["chosen"])
        fastest = max([fastest, *(rate.rate for rate in rates if rate.rate)])
        seconds_of_fusion_cam = _seconds_of_fusion_cam(model, fastest)
    return report | {"engines": [asdict(rate) for rate in rates], "fusion_cam": seconds_of_fusion_cam}


def _seconds_of_fusion_cam(model: ExplainedModel, rate: float) -> dict[str, float]:
    """Return the seconds that Fusion-CAM takes an image at this rate of masked passes, and those with 64 masks.

    The former are computed, the latter measured. It is empty for a network that Fusion-CAM cannot explain.
    """
    from time import perf_counter

    from fusioncam.benchmark.throughput import example_input
    from fusioncam.errors import FusionCamError
    from fusioncam.methods.costs import cost_of
    from fusioncam.methods.registry import as_method

    x = example_input(model)
    try:
        layer = model.layers.default(x)
        channels = next(one.shape[0] for one in model.layers.candidates(x) if one.name == layer)
        passes = cost_of(as_method("fusion-cam")[1]).at(channels, 1)
        began = perf_counter()
        as_method("fusion-cam(budget=64)")[1](model, x, None)
        budget = perf_counter() - began
    except (FusionCamError, StopIteration):
        return {}
    return {"exact": sum(passes or (0,)) / rate, "budget=64": min(budget, sum(passes or (0,)) / rate)}


def clear_networks(*, json: bool) -> None:
    """Remove the converted networks, and print how much disk space they occupied."""
    from fusioncam.cli.output import print_json
    from fusioncam.inference.engines.model_cache import cache_folder, clear

    folder, removed = cache_folder(), clear()
    if json:
        return print_json({"folder": str(folder), "removed_bytes": removed})
    return print(f"removed {removed / 2**20:,.0f} MiB of converted networks from {folder}")
