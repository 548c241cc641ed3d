"""Pages that are made of the code when the site is built: the methods, the metrics, the command line.

What the docstrings do not say, formulas and advice, is in methods.yaml and metrics.yaml.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from fusioncam.cli.main import app
from fusioncam.methods import registry as methods
from fusioncam.methods.costs import PassCount
from fusioncam.methods.registry import METHODS
from fusioncam.metrics import registry
from fusioncam.metrics.registry import METRICS, PROTOCOLS
from fusioncam.utils.text import slug

ROOT = Path(__file__).parent
METHOD_WORDS: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "methods.yaml").read_text())
METRIC_WORDS: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "metrics.yaml").read_text())
FAMILIES = {
    "gradient": "Gradient methods: one recorded pass, or a few",
    "region": "Region methods: many passes, of masked images or changed maps",
    "ensemble": "Ensembles: several maps in one",
    "wrapper": "Wrappers: any method, more than once",
    "baseline": "Baselines: maps that know nothing of the network",
    "faithfulness": "Faithfulness: what does the network think of what the map shows",
    "localization": "Localization: does the map lie on the object",
    "sanity": "Sanity and stability: does the map depend on the network, and hold still under noise",
    "cost": "Cost",
}

METHODS_HEAD = """\
# Methods

`METHODS[name](model, x, target)` takes inputs $x$ `(N, C, H, W)` and class indices `(N,)` and gives heatmaps
`(N, H, W)` in [0, 1]. Settings go in parentheses, methods as settings: `fusion-cam(gradient=layer-cam, theta=20)`.

In the formulas $A_k$ is the map of channel $k$ at the layer, $g_k = \\partial y_c / \\partial A_k$ the gradient of
the logit $y_c$ of class $c$ by it, $p_c$ the probability, $Z$ the number of places $i$, and $x \\odot M$ the image
seen through the mask $M$. $\\mathrm{N}$ stretches a map to [0, 1]; $\\mathrm{up}$ brings it to the input's size,
which happens to every $H$ at the end.

The images are scikit-image's cat, cup, rocket and bricks, seen by `efficientnet_lite0` at its default layer, for
the class that it predicts. A texture is no class of ImageNet: the last map of each row should not convince you.

| if you want | take |
| --- | --- |
| a first look, at once | [grad-cam](#grad-cam) |
| a map that covers the object and points at its parts | [fusion-cam](#fusion-cam), with `budget=64` on a CPU |
| the most faithful map, with fine borders | [fusion-cam:multiscale](#fusion-cammultiscale) |
| fine borders at once | [layer-cam](#layer-cam) at an earlier layer |
| what tells two classes apart | [finer-cam](#finer-cam) |
| a vision transformer's own view | [legrad](#legrad) |
| no gradients | [recipro-cam](#recipro-cam), [score-cam](#score-cam), [rise](#rise) |
| to know whether a map says anything | [random](#random), [center](#center), [edges](#edges) beside it |
"""
METRICS_HEAD = """\
# Metrics and their protocols

`METRICS[name](model, x, target, heatmaps)` gives values `(N,)`, one an image. Some also ask for `truth=`, boxes or
masks of the class, or for `method=`, which then makes more heatmaps.

In the formulas $H$ is the heatmap, $s$ the score that is measured (`readout`: the probability unless said otherwise),
$p$ the probability, and $x \\odot H$ the image seen through the map. What shows where a map is 0 says `fill`.

The settings of a metric are its protocol: two numbers compare only if these are the same, so they stand beside every
number that `fusioncam` writes. What no number says stands on [a page of its own](limits.md).
"""


def pages() -> dict[str, str]:
    """Give all pages by their file names."""
    return {
        "methods.md": "\n".join([METHODS_HEAD, *methods_in_families()]),
        "metrics.md": "\n".join([METRICS_HEAD, *metrics_in_families(), *protocols()]),
        "command-line.md": "\n".join(command_line()),
    }


def prose(docstring: str) -> str:
    """Turn the marks of a docstring into Markdown."""
    text = re.sub(r":\w+:`~?([\w.]+)`", lambda found: f"`{found[1].rpartition('.')[2]}`", docstring)
    return text.replace("``", "`").replace("*s", "H, W")


def kinds(registry: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Give the first name of every class, with the other names of that class."""
    named: dict[type, list[str]] = {}
    for name, entry in registry.items():
        named.setdefault(type(entry), []).append(name)
    return {first: tuple(others) for first, *others in named.values()}


def link(paper: str) -> str:
    """Link an arXiv number or a DOI."""
    if paper.startswith("arXiv "):
        return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv ')})"
    return f"[{paper}](https://doi.org/{paper})" if paper.startswith("10.") else paper


def displayed(formula: str) -> str:
    """Set formulas apart; a blank line parts one from the next."""
    return "\n\n".join(f"$$\n{one.strip()}\n$$" for one in formula.split("\n\n") if one.strip())


def facts(*parts: str) -> str:
    return " · ".join(filter(None, parts))


# -- methods -----------------------------------------------------------------------------------------------------


def methods_in_families() -> Iterator[str]:
    named = kinds(METHODS)
    for family, names in groupby(named, lambda name: METHODS[name].family):
        yield f"## {FAMILIES[family]}\n"
        for name in names:
            yield from method_section(name, named[name])


def method_section(name: str, presets: tuple[str, ...]) -> Iterator[str]:
    method, words = METHODS[name], METHOD_WORDS[name]
    first, _, rest = prose(inspect.getdoc(type(method)) or "").partition("\n\n")
    yield f"### {name}\n\n{first}\n\n{displayed(words['formula'])}\n"
    strip = ROOT / "images" / "methods" / f"{slug(name)}.jpg"
    if strip.exists():
        alt = f"A cat, a cup, a rocket and bricks under {name}"
        yield f"![{alt}](images/methods/{strip.name}){{ loading=lazy }}\n{{ .strip }}\n"
    yield f"**When to use it.** {words['when'].strip()}\n"
    settings = ", ".join(methods.settings_of(method))
    yield facts(f"**Passes an image:** {cost_of(method.cost)}", link(method.paper)) + "\n"
    if rest or settings or presets:
        yield details(rest, settings, {preset: methods.described(preset) for preset in presets})


def cost_of(cost: PassCount) -> str:
    counted = cost.at(1280, 49)
    if counted is None or not re.search("[KP]", str(cost)):
        return str(cost)
    whole, partial = counted
    return f"{cost}, at the default layer {whole:,}" + (f" and {partial:,} that start at the layer" * bool(partial))


def details(rest: str, settings: str, presets: Mapping[str, str]) -> str:
    """Fold away what one reads once: the rest of the docstring, settings, presets."""
    lines = [*rest.splitlines(), ""] if rest else []
    lines += [f"Settings: `{settings}`", ""] if settings else []
    lines += [f"- `{name}` is {what}" for name, what in presets.items()]
    return "\n".join(
        ['??? note "How it is computed, settings, presets"', *(f"    {line}".rstrip() for line in lines), ""]
    )


# -- metrics -----------------------------------------------------------------------------------------------------


def metrics_in_families() -> Iterator[str]:
    named = kinds(METRICS)
    for family, names in groupby(named, lambda name: METRICS[name].family):
        yield f"## {FAMILIES[family]}\n"
        for name in names:
            yield from metric_section(name, named[name])


def metric_section(name: str, presets: tuple[str, ...]) -> Iterator[str]:
    metric, words = METRICS[name], METRIC_WORDS[name]
    first, _, rest = prose(inspect.getdoc(type(metric)) or "").partition("\n\n")
    yield f"### {name}\n\n{first}\n"
    yield f"{displayed(words['formula'])}\n"
    yield f"**How far it goes.** {words['says']}\n"
    better = "higher is better" if metric.higher_is_better else "lower is better"
    needs = "needs truth" * metric.needs_truth + "needs the method" * metric.needs_method
    yield facts(better, needs, f"passes an image: {metric.cost}", link(metric.paper)) + "\n"
    settings = ", ".join(registry.settings_of(metric))
    yield details(rest, settings, {preset: registry.described(preset) for preset in presets})


def protocols() -> Iterator[str]:
    yield "## Named protocols\n"
    yield "A name with a colon measures as another library or a paper does.\n"
    yield "| protocol | metrics |\n| --- | --- |"
    for name, listed in PROTOCOLS.items():
        yield f"| {name} | {', '.join(f'`{one}`' for one in listed)} |"


# -- the command line --------------------------------------------------------------------------------------------


def command_line() -> Iterator[str]:
    yield COMMANDS_HEAD
    yield from commands(get_command(app), "fusioncam")


COMMANDS_HEAD = """\
# Command line

`fusioncam --install-completion` teaches bash, zsh, fish or PowerShell to complete commands, options, methods,
metrics, models and devices. In bash a name is completed up to its colon. Where the program is not on the path,
`python -m fusioncam` is the same.

Colours and the progress bar are for terminals: what is piped is plain text, and `NO_COLOR=1` takes the colours from a
terminal too. Results go to the standard output, progress, warnings and errors to the other.

| exit code | means |
| --- | --- |
| 0 | all went well |
| 1 | some images failed, the others are done |
| 2 | the request is wrong, or there is no room to write |
| 130 | stopped by Ctrl-C; what was done is kept |
"""


def commands(command: Any, name: str) -> Iterator[str]:
    """Write a command and those within it, each with examples and options."""
    if name != "fusioncam":
        text, examples = parted(command.help)
        yield f"## {name}\n\n{text}\n"
        yield "```\n" + "\n".join(examples) + "\n```\n"
        if rows := [row for one in command.params if (row := option(one))]:
            yield "\n".join(["| option | what it is |", "| --- | --- |", *rows, ""])
        yield f"{' '.join(command.epilog.split())}\n"
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


def parted(text: str) -> tuple[str, list[str]]:
    """Tell a help text's words from the lines that can be typed."""
    paragraphs = [" ".join(one.split()) for one in inspect.cleandoc(text).split("\n\n")]
    examples = [one for one in paragraphs if one.startswith("fusioncam ")]
    return "\n\n".join(one for one in paragraphs if one not in examples), examples


def option(parameter: Any) -> str:
    if not getattr(parameter, "help", None) or parameter.name == "help":
        return ""
    names = ", ".join(f"`{one}`" for one in parameter.opts) if is_option(parameter) else f"`{parameter.metavar}`"
    default = parameter.default if isinstance(parameter.default, (str, int, float, Path, list, tuple)) else None
    shown = "" if default in (None, False, True, [], ()) else f"; default: `{written(default)}`"
    return f"| {names} | {parameter.help.replace('|', chr(92) + '|')}{shown} |"


def is_option(parameter: Any) -> bool:
    return str(parameter.opts[0]).startswith("-")


def written(default: object) -> str:
    return ", ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
