"""Options, completions and exit codes that several commands share.

Nothing here imports torch at the top, so that help and completion start quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from fusioncam.cli.catalog import catalog

if TYPE_CHECKING:
    from fusioncam.inference.settings import Speed

EXIT_CODES = (
    "Exit codes: 0 success; 1 some images or the report failed, the others are finished; 2 the request is invalid or "
    "the output cannot be written; 130 stopped by Ctrl-C. Finished work is kept."
)
SHORT_EXIT_CODES = "Exit codes: 0 success; 2 the request is invalid; 130 stopped by Ctrl-C."
DEFAULT_MODEL: str = catalog()["default_model"]


# -- completion; bash ends a word at a colon ---------------------------------------------------------------------


def complete_models(incomplete: str) -> list[str]:
    """Complete a model, and after `timm:` or `torchvision:` the names of that library."""
    sources = {"timm:": _timm_models, "torchvision:": _torchvision_models}
    for source, names in sources.items():
        if incomplete.startswith(source):
            return [source + name for name in names()]
    return [*catalog()["models"], *sources]


def _timm_models() -> list[str]:
    import timm

    names: list[str] = timm.list_models(pretrained=True)
    return names


def _torchvision_models() -> list[str]:
    from torchvision import models

    names: list[str] = models.list_models(models)
    return names


def _completion(kind: str) -> Callable[[], list[tuple[str, str]]]:
    """Return a function that lists the methods or metrics with a description of each."""
    return lambda: [(name, facts["summary"]) for name, facts in catalog()[kind].items()]


def complete_devices() -> list[str]:
    """List devices."""
    return ["cpu", "cuda", "mps"]


def complete_engines() -> list[str]:
    """List engines."""
    return ["auto", "torch", "openvino"]


def complete_precisions() -> list[str]:
    """List precisions."""
    return ["exact", "bfloat16", "float16", "auto"]


# -- options -----------------------------------------------------------------------------------------------------

MODEL = typer.Option(
    "--model",
    help="efficientnet_lite0, timm:NAME, torchvision:NAME, hf:NAME, ultralytics:FILE, onnx:FILE or "
    "package.module:factory",
    autocompletion=complete_models,
)
METHOD = typer.Option(
    "--method",
    "-m",
    help="a method, optionally with settings: fusion-cam(theta=20); repeatable",
    autocompletion=_completion("methods"),
)
METHODS = _completion("methods")
CHECKPOINT = typer.Option("--checkpoint", help="state dict for the model, a torch or .safetensors file")
NUM_CLASSES = typer.Option("--num-classes", min=1, help="number of classes of the checkpoint")
LABELS = typer.Option("--labels", help="text file with one class name per line")
LIMIT = typer.Option("--limit", help="number of images, drawn at random")
CLASS_MAP = typer.Option("--class-map", help="CSV that maps classes of the data to the model's")
METRIC = typer.Option(
    "--metric",
    help="a metric, optionally with settings: insertion(steps=100); repeatable",
    autocompletion=_completion("metrics"),
)

ModelName = Annotated[str, MODEL]
ModelNames = Annotated[list[str] | None, MODEL]
Methods = Annotated[list[str], METHOD]
MethodsOrNone = Annotated[list[str] | None, METHOD]
Metrics = Annotated[list[str] | None, METRIC]
Layer = Annotated[
    str | None, typer.Option("--layer", help="dotted name of the layer; default: the last one before pooling")
]
Out = Annotated[str, typer.Option("--out", "-o", help="folder for overlays, heatmaps and explanations.json")]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", help="cpu, cuda, cuda:1 or mps; default: cuda if available", autocompletion=complete_devices
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="of passes over masked images: exact (the default), bfloat16, float16 or auto",
        autocompletion=complete_precisions,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="of passes over masked images on a CPU: auto (the default), torch or openvino",
        autocompletion=complete_engines,
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="number of images a worker processes at once")]
Report = Annotated[bool, typer.Option("--report/--no-report", help="write report.html at the end")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print no progress bar and no table")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object instead of tables")]


def speed_for(precision: str | None, engine: str | None = None) -> Speed | None:
    """Return the speed settings for a precision and an engine; None keeps the model's own."""
    from fusioncam.inference.requested_speed import requested_speed

    return requested_speed(precision, engine)


def require_methods(methods: list[str]) -> None:
    """Raise the error of a wrong method name or setting before anything is loaded."""
    from fusioncam.cli.quick_imports import import_quickly

    registry = import_quickly("fusioncam.methods.registry")
    for method in methods:
        registry.as_methods(method)


def options_of(given: Mapping[str, object], usual: Mapping[str, object]) -> list[str]:
    """Return the words of options by name, without those of None and those with their usual value."""
    chosen = {name: value for name, value in given.items() if value is not None and value != usual.get(name)}
    return [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
