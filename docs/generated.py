"""Pages that the site generates from the code: the methods, the metrics, the command line and the measured speed.

Formulas and advice, which are not in the docstrings, are in methods.yaml and metrics.yaml.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from client_pages import clients
from markdown.extensions.toc import slugify, unique
from typer.main import get_command

from fusioncam.cli.commands import app
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
    "region": "Region methods: many passes, of masked images or changed feature maps",
    "ensemble": "Ensembles: several heatmaps combined",
    "wrapper": "Wrappers: a method run several times",
    "baseline": "Baselines: heatmaps that ignore the network",
    "faithfulness": "Faithfulness: does the score depend on what the heatmap highlights",
    "localization": "Localization: does the heatmap lie on the object",
    "sanity": "Sanity and stability: does the heatmap depend on the network, and is it stable under noise",
    "cost": "Cost",
}

METHODS_HEAD = """\
# Methods

`METHODS[name](model, x, target)` takes inputs $x$ `(N, C, H, W)` and class indices `(N,)` and returns heatmaps
`(N, H, W)` in [0, 1]. Settings are in parentheses, and a setting can be a method:
`fusion-cam(gradient=layer-cam, theta=20)`. A name with a colon is a preset. To choose a method, see
[Which method should I use?](results.md#which-method-should-i-use).

In the formulas $A_k$ is the map of channel $k$ at the layer, $g_k = \\partial y_c / \\partial A_k$ the gradient of
the logit $y_c$ of class $c$ with respect to it, $p_c$ the probability, $Z$ the number of locations $i$, and
$x \\odot M$ the image with the mask $M$ applied. $\\mathrm{N}$ stretches a map to [0, 1]; $\\mathrm{up}$ upsamples
it to the size of the input, which is the last step for every $H$.

The images are scikit-image's cat, cup, rocket and bricks. The heatmaps are those of `efficientnet_lite0` at its
default layer, for the predicted class. ImageNet has no class for the bricks, so the last heatmap of each row should
not convince you.

| You want | Use |
| --- | --- |
| a first look in one pass | [grad-cam](#grad-cam) |
| a heatmap that covers the object and highlights its parts | [fusion-cam](#fusion-cam), with `budget=64` on a CPU |
| a faithful heatmap with fine borders | [fusion-cam:multiscale](#fusion-cammultiscale), in 36 passes on `group-cam` |
| fine borders in one pass | [layer-cam](#layer-cam) at an earlier layer |
| any heatmap with the borders of the objects | [guided-filter](#guided-filter) around its method |
| the difference between two classes | [finer-cam](#finer-cam) |
| one for vision transformers | [legrad](#legrad), [attention-relevance](#attention-relevance) |
| a detector as a black box | [d-rise](#d-rise) |
| what the network uses when the strongest evidence is absent | [cas-cam](#cas-cam) |
| no gradients | [recipro-cam](#recipro-cam), [score-cam](#score-cam) |
| scores only | [two-sided-occlusion](#two-sided-occlusion), [rise](#rise), [hsic](#hsic), [sobol](#sobol) |
| to check whether a heatmap shows anything | compare with [random](#random), [center](#center), [edges](#edges) |
"""
TABLE_HEAD = """\
## All methods

$K$ is the number of channels of the layer and $P$ its number of locations; constant channels need no pass. *Partial*
passes start at the layer: at the last layer of the default network, 1,280 of them take the arithmetic of about four
whole passes.

| name | what it is | passes per image | paper |
| --- | --- | --- | --- |
"""
METRICS_HEAD = """\
# Metrics and their protocols

`METRICS[name](model, x, target, heatmaps)` returns values `(N,)`, one per image. Some metrics also need `truth=`, the
boxes or masks of the class, or `method=`, which computes more heatmaps.

In the formulas $H$ is the heatmap, $s$ the measured score (`readout`: the probability by default), $p$ the
probability, and $x \\odot H$ the image with the heatmap as its mask. `fill` is what shows where the heatmap is 0.
In the passes per image, M stands for those of the method and S for the number of pixels.

The settings of a metric are its protocol. Two numbers are comparable only if their protocols are the same, so
`fusioncam` writes the protocol next to every number. See also [What the numbers do not show](limits.md).
"""


def pages() -> dict[str, str]:
    """Return all pages by their file names."""
    return {
        "methods.md": "\n".join([METHODS_HEAD, methods_table(), *methods_in_families()]),
        "metrics.md": "\n".join([METRICS_HEAD, *metrics_in_families(), *protocols()]),
        "command-line.md": "\n".join(command_line()),
        "speed.md": speed(),
        "clients.md": clients(),
    }


def speed() -> str:
    """Return the page of measurements, with its links as seen from the site."""
    text = (ROOT.parent / "benchmarks" / "README.md").read_text()
    return text.replace("# Measurements", "# Speed", 1).replace("](../docs/", "](")


def prose(docstring: str) -> str:
    """Convert the markup of a docstring to Markdown."""
    text = re.sub(r":\w+:`~?([\w.]+)`", lambda found: f"`{found[1].rpartition('.')[2]}`", docstring)
    return text.replace("``", "`").replace("*s", "H, W")


def kinds(registry: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the first name of every class, with the other names of that class."""
    named: dict[type, list[str]] = {}
    for name, entry in registry.items():
        named.setdefault(type(entry), []).append(name)
    return {first: tuple(others) for first, *others in named.values()}


def link(paper: str) -> str:
    """Return a link for an arXiv number or a DOI, and other text unchanged."""
    if paper.startswith("arXiv "):
        return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv ')})"
    return f"[{paper}](https://doi.org/{paper})" if paper.startswith("10.") else paper


def displayed(formula: str) -> str:
    """Return formulas as display equations; a blank line separates them."""
    return "\n\n".join(f"$$\n{one.strip()}\n$$" for one in formula.split("\n\n") if one.strip())


def facts(*parts: str) -> str:
    return " · ".join(filter(None, parts))


# -- methods -----------------------------------------------------------------------------------------------------


def methods_table() -> str:
    """Return the table of all names."""
    used: set[str] = set()
    anchors = {}
    for first, presets in kinds(METHODS).items():
        anchors |= dict.fromkeys((first, *presets), unique(slugify(first, "-"), used))
    rows = []
    for name, method in METHODS.items():
        paper = link(method.paper)
        cells = (f"[`{name}`](#{anchors[name]})", methods.described(name), method.cost, paper)
        rows.append(f"| {' | '.join(map(str, cells))} |\n")
    return TABLE_HEAD + "".join(rows)


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
    yield facts(f"**Passes per image:** {cost_of(method.cost)}", link(method.paper)) + "\n"
    if rest or settings or presets:
        yield details(rest, settings, {preset: methods.described(preset) for preset in presets})


def cost_of(cost: PassCount) -> str:
    counted = cost.at(1280, 49)
    if counted is None or not re.search("[KP]", str(cost)):
        return str(cost)
    whole, partial = counted
    return f"{cost}, at the default layer {whole:,}" + (f" and {partial:,} partial" * bool(partial))


def details(rest: str, settings: str, presets: Mapping[str, str]) -> str:
    """Return a collapsed box with the rest of the docstring, settings and presets."""
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
    yield f"**What it shows.** {words['says']}\n"
    better = "higher is better" if metric.higher_is_better else "lower is better"
    needs = "needs truth" * metric.needs_truth + "needs the method" * metric.needs_method
    yield facts(better, needs, f"passes per image: {metric.cost}", link(metric.paper)) + "\n"
    settings = ", ".join(registry.settings_of(metric))
    yield details(rest, settings, {preset: registry.described(preset) for preset in presets})


def protocols() -> Iterator[str]:
    yield "## Named protocols\n"
    yield "A name with a colon follows the protocol of another library or of a paper.\n"
    yield "| protocol | metrics |\n| --- | --- |"
    for name, listed in PROTOCOLS.items():
        yield f"| {name} | {', '.join(f'`{one}`' for one in listed)} |"


# -- the command line --------------------------------------------------------------------------------------------


def command_line() -> Iterator[str]:
    yield COMMANDS_HEAD
    yield from commands(get_command(app), "fusioncam")


COMMANDS_HEAD = """\
# Command line

`fusioncam --install-completion` installs completion of commands, options, methods, metrics, models and devices for
bash, zsh, fish or PowerShell. In bash a name is completed up to its colon. If the program is not on the path, use
`python -m fusioncam`.

Colours and the progress bar appear in terminals only; piped output is plain text. `NO_COLOR=1` removes the colours in
terminals too. Results go to standard output; progress, warnings and errors go to standard error.

| exit code | meaning |
| --- | --- |
| 0 | success |
| 1 | some images or the report failed, the others are complete |
| 2 | an argument is wrong, or the disk is full |
| 130 | stopped by Ctrl-C; finished results are kept |
"""


def commands(command: Any, name: str) -> Iterator[str]:
    """Yield the sections of a command and of its subcommands, each with examples and options."""
    if name != "fusioncam":
        text, examples = split_help(command.help)
        yield f"## {name}\n\n{text}\n"
        yield "```\n" + "\n".join(examples) + "\n```\n"
        if rows := [row for one in command.params if (row := option(one))]:
            yield "\n".join(["| option | meaning |", "| --- | --- |", *rows, ""])
        yield f"{' '.join(command.epilog.split())}\n"
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


def split_help(text: str) -> tuple[str, list[str]]:
    """Split a help text into its prose and its example commands."""
    text = re.sub(r" \\\n\s*", " ", inspect.cleandoc(text).replace("\b", ""))
    lines = [line.strip() for line in text.splitlines()]
    examples = [line for line in lines if line.startswith("fusioncam ")]
    paragraphs = "\n".join(line for line in lines if line not in examples).split("\n\n")
    return "\n\n".join(" ".join(one.split()) for one in paragraphs if one.strip()), examples


def option(parameter: Any) -> str:
    if not getattr(parameter, "help", None) or parameter.name == "help":
        return ""
    names = ", ".join(f"`{one}`" for one in parameter.opts) if is_option(parameter) else f"`{parameter.metavar}`"
    default = parameter.default if isinstance(parameter.default, (str, int, float, Path, list, tuple)) else None
    shown = "" if default in (None, False, True, [], ()) else f"; default: `{default_text(default)}`"
    return f"| {names} | {parameter.help.replace('|', chr(92) + '|')}{shown} |"


def is_option(parameter: Any) -> bool:
    return str(parameter.opts[0]).startswith("-")


def default_text(default: object) -> str:
    return ", ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
