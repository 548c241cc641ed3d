"""Read method names as stored in rows: baselines, settings, and the groups that form an ablation.

A report is made without loading the methods, so that everything is derived from the text of the name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from fusioncam.utils.spec_grammar import split

BASELINES = ("ones", "center", "random", "edges")

Settings = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sweep:
    """Methods that differ in one number: ``methods`` by the value of ``setting``, in ascending order."""

    name: str
    setting: str
    methods: dict[float, str]


@dataclass(frozen=True)
class Grid:
    """Methods that differ in two words: ``methods`` by the values of the settings ``rows`` and ``columns``."""

    name: str
    rows: str
    columns: str
    methods: dict[tuple[str, str], str]


def base_name(spec: str) -> str:
    """Return the name without settings and preset.

    >>> base_name("fusion-cam:official(theta=20)")
    'fusion-cam'
    """
    return spec.partition("(")[0].partition(":")[0].strip()


def split_spec(spec: str) -> tuple[str, Settings]:
    """Split a SPEC into its name and its settings.

    >>> split_spec("fusion-cam(gradient=layer-cam(layer=a.b), theta=20)")
    ('fusion-cam', (('gradient', 'layer-cam(layer=a.b)'), ('theta', '20')))
    """
    name, _, rest = spec.strip().removesuffix(")").partition("(")
    pairs = (part.partition("=") for part in split(rest)) if spec.endswith(")") else ()
    return name.strip(), tuple((key.strip(), value.strip()) for key, _, value in pairs)


def join_spec(name: str, settings: Settings) -> str:
    """Write a SPEC from its name and settings.

    >>> join_spec("fusion-cam", (("theta", "20"),))
    'fusion-cam(theta=20)'
    """
    return f"{name}({', '.join(f'{key}={value}' for key, value in settings)})" if settings else name


def words_in(spec: str) -> set[str]:
    """Return all words of a SPEC, which include the names of methods.

    >>> sorted(words_in("fuse(partners=[grad-cam++, score-cam:cic])"))
    ['fuse', 'grad-cam++', 'partners', 'score-cam:cic']
    """
    return set(re.findall(r"[\w+:.-]+", spec))


def parse_number(text: str) -> float | None:
    """Parse a number; return None for any other text.

    >>> parse_number("20"), parse_number("layer-cam")
    (20.0, None)
    """
    try:
        return float(text)
    except ValueError:
        return None


def find_sweeps(methods: Iterable[str], min_length: int = 3) -> list[Sweep]:
    """Find groups of at least ``min_length`` methods that are equal except for the value of one number."""
    groups: dict[tuple[str, Settings, str], dict[float, str]] = defaultdict(dict)
    for spec in methods:
        name, settings = split_spec(spec)
        for key, text in settings:
            value = parse_number(text)
            if value is not None:
                groups[name, tuple(pair for pair in settings if pair[0] != key), key][value] = spec
    return [
        Sweep(join_spec(name, others), key, dict(sorted(specs.items())))
        for (name, others, key), specs in groups.items()
        if len(specs) >= min_length
    ]


def find_grids(methods: Iterable[str]) -> list[Grid]:
    """Find groups of methods that differ in two words, such as gradient and region, with two or more values each."""
    groups: dict[tuple[str, Settings, str, str], dict[tuple[str, str], str]] = defaultdict(dict)
    for spec in methods:
        name, settings = split_spec(spec)
        words = [(key, text) for key, text in settings if parse_number(text) is None]
        for (rows, row), (columns, column) in combinations(words, 2):
            others = tuple(pair for pair in settings if pair[0] not in (rows, columns))
            groups[name, others, rows, columns][row, column] = spec
    return [
        Grid(join_spec(name, others), rows, columns, specs)
        for (name, others, rows, columns), specs in groups.items()
        if all(len({pair[axis] for pair in specs}) > 1 for axis in (0, 1))
    ]


def ablations(methods: Sequence[str], planned: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[str]]:
    """Return the groups of methods that get a table of their own, by the name of the table.

    With a plan these are its lists, without the methods that did not run. Without one, a sweep is named after its
    setting and a grid after its two settings; ``variants`` are the other methods with settings whose plain method or
    parts ran too. Each group begins with the plain methods.
    """
    if planned is not None:
        ran = {name: [spec for spec in specs if spec in methods] for name, specs in planned.items()}
        return {name: specs for name, specs in ran.items() if specs}
    groups: dict[str, list[str]] = {}
    for sweep in find_sweeps(methods):
        groups.setdefault(sweep.setting, []).extend(sweep.methods.values())
    for grid in find_grids(methods):
        groups.setdefault(f"{grid.rows}-{grid.columns}", []).extend(grid.methods.values())
    grouped = {spec for specs in groups.values() for spec in specs}
    if variants := [spec for spec in methods if spec not in grouped and _is_variant(spec, methods)]:
        groups["variants"] = variants
    return {name: [*_plain_methods(name, specs, methods), *specs] for name, specs in groups.items()}


def _is_variant(spec: str, methods: Sequence[str]) -> bool:
    return bool(split_spec(spec)[1] and words_in(spec) & set(methods)) and base_name(spec) not in BASELINES


def _plain_methods(group: str, specs: Sequence[str], methods: Sequence[str]) -> list[str]:
    names = [words_in(spec) if group == "variants" else {split_spec(spec)[0]} for spec in specs]
    return [spec for spec in methods if spec in set().union(*names)]


def main_methods(methods: Sequence[str], tables: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the methods of the main tables: all but those with settings that belong to an ablation."""
    if "main" in tables:
        return list(tables["main"])
    in_ablations = {spec for specs in tables.values() for spec in specs}
    return [spec for spec in methods if not (spec in in_ablations and split_spec(spec)[1])] or list(methods)
