"""What the commands have in common: their options, what completes these in a shell, and the exit codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import timm
import torchvision
import typer

from fusioncam.inference.settings import Speed
from fusioncam.methods.registry import METHODS, as_methods, described
from fusioncam.metrics.registry import METRICS
from fusioncam.metrics.registry import described as described_metric
from fusioncam.zoo.loading import MODELS

EXIT_CODES = (
    "Exit codes: 0 all went well; 1 some images failed, the others are done; 2 the request is wrong, or there is "
    "no room to write; 130 stopped by Ctrl-C. What was done is kept."
)
SHORT_CODES = "Exit codes: 0 all went well; 2 the request is wrong; 130 stopped by Ctrl-C."


# -- what a shell offers; in bash a name ends at a colon ---------------------------------------------------------


def models(incomplete: str) -> list[str]:
    """Offer models, and behind a source its names."""
    sources: dict[str, Callable[[], list[str]]] = {
        "timm:": lambda: timm.list_models(pretrained=True),
        "torchvision:": lambda: torchvision.models.list_models(torchvision.models),
    }
    for source, names in sources.items():
        if incomplete.startswith(source):
            return [source + name for name in names()]
    return [*MODELS, *sources]


def methods() -> list[tuple[str, str]]:
    """Offer methods and what they are."""
    return [(name, described(name)) for name in METHODS]


def metrics() -> list[tuple[str, str]]:
    """Offer metrics and what they measure."""
    return [(name, described_metric(name)) for name in METRICS]


def devices() -> list[str]:
    """Offer devices."""
    return ["cpu", "cuda", "mps"]


def precisions() -> list[str]:
    """Offer precisions."""
    return ["exact", "bfloat16", "float16", "auto"]


# -- options -----------------------------------------------------------------------------------------------------

MODEL = typer.Option(
    "--model",
    help="efficientnet_lite0, timm:NAME, torchvision:NAME or package.module:factory",
    autocompletion=models,
)
METHOD = typer.Option(
    "--method", "-m", help="a method, with settings if you like: fusion-cam(theta=20)", autocompletion=methods
)
METRIC = typer.Option(
    "--metric", help="a metric, with settings if you like: insertion(steps=100)", autocompletion=metrics
)

ModelName = Annotated[str, MODEL]
ModelNames = Annotated[list[str] | None, MODEL]
Methods = Annotated[list[str], METHOD]
MethodsOrNone = Annotated[list[str] | None, METHOD]
Metrics = Annotated[list[str] | None, METRIC]
Layer = Annotated[str | None, typer.Option("--layer", help="a dotted name; default: the last map before pooling")]
Out = Annotated[str, typer.Option("--out", "-o", help="the folder for overlays, maps and explanations.json")]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda, cuda:1, mps; default: cuda if there is one", autocompletion=devices),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="of masked passes: exact (the default), bfloat16, float16 or auto",
        autocompletion=precisions,
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="images that a worker has in hand at once")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="make report.html at the end")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress bar, no table")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object instead of tables")]


def speed_of(precision: str | None) -> Speed | None:
    """Give the speed that was asked for; without a wish the model keeps its own."""
    return None if precision is None else Speed(precision=precision)


def require_methods(methods: list[str]) -> None:
    """Tell a wrong method before anything is loaded."""
    for method in methods:
        as_methods(method)
