"""Write suspects as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusioncam.audit.suspects import PLACE


def evidence(row: Mapping[str, Any]) -> str:
    """Return the evidence for a suspect in two or three sentences."""
    return f"{row['label']}: {heat(row)} {removal(row)}"


def heat(row: Mapping[str, Any]) -> str:
    """Return where the heat of a suspect's images lies."""
    images = f"{len(row['images']):,} images"
    if row["kind"] == PLACE:
        return (
            f"{images} have {row['share']:.0%} of their heat at {row['place']}, where images of other classes have "
            f"{row['usual']:.0%}."
        )
    return f"{images} have {row['share']:.0%} of their heat off the object, which covers {1 - row['usual']:.0%}."


def removal(row: Mapping[str, Any]) -> str:
    """Return the result of a suspect's test."""
    if not row["tested"]:
        return "The removal of the region could not be tested."
    what = "that region" if row["kind"] == PLACE else "the highlighted part off the object"
    return (
        f"Without {what} the probability of the class is {row['without']:.0%} instead of {row['whole']:.0%}; without "
        f"equally large regions elsewhere it is {row['elsewhere']:.0%} ({row['tested']} images tested)."
    )
