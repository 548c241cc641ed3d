"""The command `fusioncam doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from fusioncam.cli.interruption import keep_results
from fusioncam.cli.options import DEFAULT_MODEL, Device, Json, ModelName, Precision, speed_for


def doctor(
    model: ModelName = DEFAULT_MODEL,
    device: Device = None,
    precision: Precision = None,
    seconds: Annotated[
        float,
        typer.Option(min=0.1, max=3600, help="approximate duration of the measurement; slow models take longer"),
    ] = 20,
    json: Json = False,
) -> None:
    """Measure how fast this machine runs a model.

    The report covers plain passes and passes over masked images, the latter in each precision.

    \b
    fusioncam doctor
    fusioncam doctor --model timm:resnet50 --precision auto --seconds 60
    """
    from rich.console import Console

    from fusioncam.benchmark.throughput import examine
    from fusioncam.cli.doctor_tables import tables
    from fusioncam.cli.output import print_json, print_table
    from fusioncam.zoo.loading import load_model

    loaded = load_model(model, device=device, speed=speed_for(precision))
    keep_results()  # the status restores the terminal
    with Console(stderr=True).status("measuring") as status:
        report = examine(loaded, seconds, lambda step: status.update(f"measuring: {step}"))
    if json:
        print_json(report)
        return
    for table in tables(report):
        print_table(table)
