"""TODO."""

from __future__ import annotations

from math import prod


def cost_of(*methods: object, more: int = 0) -> str:
    """Add up what methods cost in passes; the recorded pass, a "1" in front, they share.

    >>> from .gradient import GradCAM
    >>> from .region import ScoreCAM
    >>> cost_of(GradCAM(), ScoreCAM(), more=4)
    '1 + K + 4'
    """
    recorded, symbols = False, []
    for method in dict.fromkeys(methods):
        first, *terms = str(getattr(method, "cost", "?")).split(" + ")
        recorded |= first == "1"
        for term in terms if first == "1" else [first, *terms]:
            if term.isdigit():
                more += int(term)
            else:
                symbols.append(term)
    return " + ".join([*(["1"] if recorded else []), *symbols, *([str(more)] if more else [])]) or "0"


def passes_at(cost: str, channels: int, places: int) -> tuple[int, int] | None:
    """Work out what a cost comes to at a layer, as whole and partial passes; None if it depends on more than that.

    >>> passes_at("1 + K partial", 1280, 49), passes_at("35 K + 5", 10, 49), passes_at("2 K of each layer", 10, 49)
    ((1, 1280), (355, 0), None)
    """
    sizes, passes = {"K": channels, "P": places}, {"whole": 0, "partial": 0}
    for term in cost.split(" + "):
        words = term.removesuffix(" partial").split()
        if not all(word.isdigit() or word in sizes for word in words):
            return None
        passes["partial" if term.endswith(" partial") else "whole"] += prod(
            sizes.get(one) or int(one) for one in words
        )
    return passes["whole"], passes["partial"]
