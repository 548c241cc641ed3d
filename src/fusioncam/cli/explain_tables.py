"""The tables with which `fusioncam explain` ends: heatmaps, clips and trust cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusioncam.cli.output import compact_table
from fusioncam.trust.rendering import MARKS, to_table
from fusioncam.utils.text import printable

if TYPE_CHECKING:
    from rich.table import Table

Facts = Mapping[str, Any]
_PRINTED_CARDS = 6  # more would only fill the screen
_GAIN = "gain: by how much the probability rises when the heatmap uncovers the empty image"


def heatmaps_table(facts: Sequence[Facts], folder: Path) -> list[Table | str]:
    """Return a table of heatmaps, below a line with the folder or the only file, and what all rows have in common."""
    fused = any(one["gains"] for one in facts)
    checked = any("check" in one for one in facts)
    columns = ["image", "class", "probability", "method", *["gain"] * fused, *["trust"] * checked]
    rows = [[_cells(one)[name] for name in columns] for one in facts]
    written = str(folder / facts[0]["files"][0]) if len(facts) == 1 else f"{folder}/"
    line, table = compact_table(columns, rows, written)
    table.caption = _GAIN if fused else None
    return [line, table]


def _cells(one: Facts) -> dict[str, str]:
    return {
        "image": Path(one["image"]).name,
        "class": one["class_name"],
        "probability": f"{one['probability']:.1%}",
        "method": one["method"],
        "gain": f"{list(one['gains'].values())[-1]:+.3f}" if one["gains"] else "",  # that of the union
        "trust": _trust(one["check"]) if "check" in one else "",
    }


def _trust(card: Facts) -> str:
    """Return the level of a card with the names of the questions whose answers are poor.

    >>> _trust({"level": "poor", "questions": [{"name": "stable", "level": "poor"}]})
    '○ poor: stable'
    """
    failed = [question["name"] for question in card["questions"] if question["level"] == "poor"]
    level = f"{MARKS[card['level']]} {card['level']}"
    return f"{level}: {', '.join(failed)}" if failed else level


def clips_table(clips: Sequence[Facts], folder: Path) -> list[Table | str]:
    """Return a table of clips, below a line with the folder and what all rows have in common."""
    columns = ("clip", "class", "mean probability", "method", "heatmaps / frames", "seconds each", "file")
    rows = []
    for one in clips:
        heatmaps = len(one["times"])
        counts, cost = f"{heatmaps:,} / {one['frames']:,}", f"{one['seconds'] / heatmaps:.2f}"
        probability = f"{one['probability']:.1%}"
        name = Path(one["clip"]).name
        rows.append((name, one["class_name"], probability, one["method"], counts, cost, one["files"][0]))
    return list(compact_table(columns, rows, title=f"{folder}/"))


def trust_cards(facts: Sequence[Facts]) -> list[Table | str]:
    """Return the trust cards, or if there are many, a line that says where they are."""
    checked = [one for one in facts if "check" in one]
    if len(checked) > _PRINTED_CARDS:
        return [f"{len(checked)} trust cards are in explanations.json"]
    return [
        to_table(one["check"], printable(f"{Path(one['image']).name}, {one['class_name']}, {one['method']}"))
        for one in checked
    ]
