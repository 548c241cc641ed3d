"""The command `fusioncam doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from fusioncam.cli.interruption import keep_results
from fusioncam.cli.options import DEFAULT_MODEL, Device, Engine, Json, ModelName, Precision, speed_for


def doctor(
    model: ModelName = DEFAULT_MODEL,
    device: Device = None,
    precision: Precision = None,
    engine: Engine = None,
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
    """Measure how fast this machine runs a model.

    The report covers plain passes and passes over masked images, the latter in each precision and engine.

    \b
    fusioncam doctor
    fusioncam doctor --model timm:resnet50 --precision auto --seconds 60
    """
    if clear_cache:
        return print_cleared()

    from dataclasses import asdict

    from rich.console import Console

    from fusioncam.benchmark.engine_rates import engine_rates
    from fusioncam.benchmark.throughput import examine
    from fusioncam.cli.doctor_tables import tables
    from fusioncam.cli.output import print_json, print_table
    from fusioncam.zoo.loading import load_model

    loaded = load_model(model, device=device, speed=speed_for(precision, engine))
    keep_results()  # the status restores the terminal
    with Console(stderr=True).status("measuring") as status:
        report = examine(loaded, seconds, lambda step: status.update(f"measuring: {step}"))
        status.update("measuring: engines")
        rates = engine_rates(loaded, max(one["rate"] for one in report["plain"]), seconds)
    report["engines"] = [asdict(rate) for rate in rates]
    if json:
        return print_json(report)
    for table in tables(report):
        print_table(table)
    return None


def print_cleared() -> None:
    """Remove the converted networks, and print how much disk space they occupied."""
    from fusioncam.inference.engines.model_cache import cache_folder, clear

    print(f"removed {clear() / 2**20:,.0f} MiB of converted networks from {cache_folder()}")
