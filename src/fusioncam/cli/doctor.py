"""TODO."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from fusioncam.benchmark.throughput import examine
from fusioncam.cli.doctor_tables import tables
from fusioncam.cli.options import Device, Json, ModelName, Precision, speed_of
from fusioncam.cli.output import print_table
from fusioncam.utils.files import to_json
from fusioncam.zoo.loading import DEFAULT_MODEL, load_model


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
    loaded = load_model(model, device=device, speed=speed_of(precision))
    with Console(stderr=True).status("measuring") as status:
        report = examine(loaded, seconds, lambda doing: status.update(f"measuring: {doing}"))
    if json:
        print(to_json(report).decode())
    for table in [] if json else tables(report):
        print_table(table)
