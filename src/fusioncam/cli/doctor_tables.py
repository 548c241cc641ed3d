"""What the doctor found, in tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

_WORDS = {None: "none", True: "yes", False: "no"}


def tables(report: dict[str, Any]) -> list[Table]:
    """Show what :func:`fusioncam.benchmark.throughput.examine` gave."""
    return [_of_machine(report["machine"]), _of_plain(report), _of_masked(report)]


def _of_machine(facts: dict[str, Any]) -> Table:
    table = Table("what", "here", title=f"{facts['model']} on {facts['device']}")
    shown = facts | {"versions": ", ".join(f"{name} {one}" for name, one in facts["versions"].items())}
    if facts["gpu"]:
        shown["gpu"] = f"{facts['gpu']['name']}, {facts['gpu']['memory_gib']} GiB"
    for what, value in shown.items():
        if what not in ("model", "device"):
            table.add_row(what.replace("_", " "), _WORDS.get(value, str(value)))
    return table


def _of_plain(report: dict[str, Any]) -> Table:
    threads = report["machine"]["threads"]
    rates = {(one["workers"], one["chunk"]): one for one in report["plain"]}
    table = Table("images a pass", title="plain passes: images a second, milliseconds an image")
    many = sorted({workers for workers, _ in rates})
    for workers in many:
        table.add_column(f"workers: {workers}, threads of each: {max(1, threads // workers)}")
    for chunk in sorted({chunk for _, chunk in rates}):
        table.add_row(str(chunk), *(_rate(**rates[workers, chunk]) for workers in many))
    return table


def _rate(rate: float, best: bool = False, **_: object) -> str:
    if not rate:
        return "out of memory"
    return f"{rate:,.1f}, {1000 / rate:,.2f} ms" + " (best)" * best


def _of_masked(report: dict[str, Any]) -> Table:
    table = Table("precision", "images a second", "of the best plain rate", "workers", "images a pass")
    table.title = "masked passes, at the settings that the library picked"
    table.caption = "difference and correlation: of the predicted class's logit, a random image under random masks"
    for column in ("largest difference", "correlation"):
        table.add_column(f"{column} to exact")
    for one in report["masked"]:
        share = "" if one["share"] is None else f"{one['share']:.0%}"
        correlation = "" if one["correlation"] is None else f"{one['correlation']:.6f}"
        mark = " (chosen)" * one["chosen"]
        numbers = (str(one["workers"]), str(one["chunk"]), f"{one['difference']:.2g}", correlation)
        table.add_row(one["precision"] + mark, _rate(one["rate"]), share, *numbers)
    for precision, error in report["failed"].items():
        table.add_row(precision, Text(error))
    return table
