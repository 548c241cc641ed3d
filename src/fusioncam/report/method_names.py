"""What the names in rows say: baselines, settings, and which methods make up an ablation.

Rows are read without the methods themselves: what a name means is taken from its letters.
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
class SweepOf:
    """Methods that differ in one number: ``methods`` by the value of ``setting``, in order."""

    name: str
    setting: str
    methods: dict[float, str]


@dataclass(frozen=True)
class GridOf:
    """Methods that differ in two words: ``methods`` by the values of ``rows`` and ``columns``."""

    name: str
    rows: str
    columns: str
    methods: dict[tuple[str, str], str]


def base_name(spec: str) -> str:
    """Give the name before settings and presets.

    >>> base_name("fusion-cam:official(theta=20)")
    'fusion-cam'
    """
    return spec.partition("(")[0].partition(":")[0].strip()


def settings(spec: str) -> tuple[str, Settings]:
    """Part a SPEC into its name and its settings.

    >>> settings("fusion-cam(gradient=layer-cam(layer=a.b), theta=20)")
    ('fusion-cam', (('gradient', 'layer-cam(layer=a.b)'), ('theta', '20')))
    """
    name, _, rest = spec.strip().removesuffix(")").partition("(")
    pairs = (part.partition("=") for part in split(rest)) if spec.endswith(")") else ()
    return name.strip(), tuple((key.strip(), value.strip()) for key, _, value in pairs)


def number(text: str) -> float | None:
    """Read a number, or give None.

    >>> number("20"), number("layer-cam")
    (20.0, None)
    """
    try:
        return float(text)
    except ValueError:
        return None


def sweeps(methods: Iterable[str], least: int = 3) -> list[SweepOf]:
    """Find methods of one name and otherwise equal settings that differ in a number, three at least."""
    found: dict[tuple[str, Settings, str], dict[float, str]] = defaultdict(dict)
    for spec in methods:
        name, pairs = settings(spec)
        for key, text in pairs:
            value = number(text)
            if value is not None:
                found[name, tuple(pair for pair in pairs if pair[0] != key), key][value] = spec
    return [
        SweepOf(format_spec(name, rest), key, dict(sorted(values.items())))
        for (name, rest, key), values in found.items()
        if len(values) >= least
    ]


def grids(methods: Iterable[str]) -> list[GridOf]:
    """Find methods of one name that differ in two words, such as gradient and region, at least two of each."""
    found: dict[tuple[str, Settings, str, str], dict[tuple[str, str], str]] = defaultdict(dict)
    for spec in methods:
        name, pairs = settings(spec)
        words = [(key, text) for key, text in pairs if number(text) is None]
        for (first, one), (second, other) in combinations(words, 2):
            rest = tuple(pair for pair in pairs if pair[0] not in (first, second))
            found[name, rest, first, second][one, other] = spec
    return [
        GridOf(format_spec(name, rest), first, second, cells)
        for (name, rest, first, second), cells in found.items()
        if all(len({pair[side] for pair in cells}) > 1 for side in (0, 1))
    ]


def format_spec(name: str, pairs: Settings) -> str:
    """Write a SPEC from its parts."""
    return f"{name}({', '.join(f'{key}={value}' for key, value in pairs)})" if pairs else name


def ablations(methods: Sequence[str], planned: Mapping[str, Sequence[str]] | None = None) -> dict[str, list[str]]:
    """Give the lists of methods that get a table of their own, by name: the plan's, or those that settings tell.

    Without a plan a sweep is named after its setting, a grid after its two, and ``variants`` are the other methods
    with settings of which the plain one, or what they are made of, runs too. Each list begins with these.
    """
    if planned is not None:
        kept = {name: [one for one in wanted if one in methods] for name, wanted in planned.items()}
        return {name: wanted for name, wanted in kept.items() if wanted}
    found: dict[str, list[str]] = {}
    for sweep in sweeps(methods):
        found.setdefault(sweep.setting, []).extend(sweep.methods.values())
    for grid in grids(methods):
        found.setdefault(f"{grid.rows}-{grid.columns}", []).extend(grid.methods.values())
    taken = {one for listed in found.values() for one in listed}
    left = [one for one in methods if settings(one)[1] and one not in taken]
    variants = [one for one in left if parts(one) & set(methods) and base_name(one) not in BASELINES]
    if variants:
        found["variants"] = variants
    for name, listed in found.items():
        plain = [parts(one) if name == "variants" else {settings(one)[0]} for one in listed]
        listed[:0] = [one for one in methods if one in set().union(*plain)]
    return found


def parts(spec: str) -> set[str]:
    """List all words of a SPEC, names of methods among them.

    >>> sorted(parts("fuse(partners=[grad-cam++, score-cam:cic])"))
    ['fuse', 'grad-cam++', 'partners', 'score-cam:cic']
    """
    return set(re.findall(r"[\w+:.-]+", spec))


def main_methods(methods: Sequence[str], lists: Mapping[str, Sequence[str]]) -> list[str]:
    """Give the methods of the main tables: all but those with settings that an ablation lists."""
    if "main" in lists:
        return list(lists["main"])
    listed = {one for names in lists.values() for one in names}
    return [one for one in methods if not (one in listed and settings(one)[1])] or list(methods)
