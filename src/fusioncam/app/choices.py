"""What a visitor can choose, as the page lists it."""

from __future__ import annotations

from collections.abc import Mapping


def first_offered(wanted: object, offered: list[str]) -> str | None:
    """Return what is wanted if it is offered, else the first that is."""
    return str(wanted) if wanted in offered else next(iter(offered), None)


def stage_layers(layers: list[str], sizes: Mapping[str, str]) -> list[str]:
    """Return the default layer, then the last layer of each other size of maps.

    >>> stage_layers(["c", "b2", "b1", "a"], {"a": "28 x 28", "b1": "14 x 14", "b2": "14 x 14", "c": "7 x 7"})
    ['c', 'b2', 'a']
    """
    last = {sizes.get(name, ""): name for name in reversed(layers)} | {sizes.get(layers[0], ""): layers[0]}
    return [name for name in layers if name in last.values()]


def layer_choices(layers: list[str], sizes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the choices of layers: the default, then the last layer of each size of maps, then the others.

    >>> layer_choices(["c", "b2", "b1", "a"], {"a": "28 x 28", "b1": "14 x 14", "b2": "14 x 14", "c": "7 x 7"})
    [('c, 7 x 7 (default)', 'c'), ('b2, 14 x 14', 'b2'), ('a, 28 x 28', 'a'), ('b1, 14 x 14', 'b1')]
    """
    stages = stage_layers(layers, sizes)
    ordered = [*stages, *(name for name in layers if name not in stages)]
    texts = {name: f"{name}, {sizes[name]}" if name in sizes else name for name in layers}
    return [(f"{texts[name]} (default)" if name == layers[0] else texts[name], name) for name in ordered]
