"""The tables of `fusioncam doctor`."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from fusioncam.cli.output import cell, duration

_WORDS = {"None": "none", "True": "yes", "False": "no"}


def tables(report: dict[str, Any]) -> list[Table]:
    """Return the tables of a report of :func:`fusioncam.benchmark.throughput.examine`."""
    return [_machine_table(report["machine"]), _plain_table(report), _masked_table(report), _engine_table(report)]


def in_words(seconds: dict[str, float]) -> str:
    """Return how long Fusion-CAM takes an image, as a sentence.

    >>> in_words({"exact": 7.04, "budget=64": 1.52})
    'fusion-cam takes about 7 s an image here; with budget=64 1.5 s.'
    """
    exact, budget = duration(seconds["exact"]), duration(seconds["budget=64"])
    return f"fusion-cam takes about {exact} an image here; with budget=64 {budget}."


def _machine_table(facts: dict[str, Any]) -> Table:
    table = Table("property", "value", title=f"{facts['model']} on {facts['device']}", box=box.SIMPLE_HEAD)
    rows = facts | {"versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items())}
    if facts["gpu"]:
        rows["gpu"] = f"{facts['gpu']['name']}, {facts['gpu']['memory_gib']} GiB"
    for name, value in rows.items():
        if name not in ("model", "device"):
            table.add_row(name.replace("_", " "), _WORDS.get(str(value), str(value)))
    return table


def _plain_table(report: dict[str, Any]) -> Table:
    threads = report["machine"]["threads"]
    rates = {(one["workers"], one["chunk"]): one for one in report["plain"]}
    table = Table("batch size", title="plain passes: images per second, time of each", box=box.SIMPLE_HEAD)
    worker_counts = sorted({workers for workers, _ in rates})
    for workers in worker_counts:
        table.add_column(f"workers: {workers}, threads of each: {max(1, threads // workers)}")
    for chunk in sorted({chunk for _, chunk in rates}):
        table.add_row(str(chunk), *(_rate(**rates[workers, chunk]) for workers in worker_counts))
    return table


def _rate(rate: float, best: bool = False, **_: object) -> str:
    if not rate:
        return "out of memory"
    return f"{rate:,.1f}, {1000 / rate:,.2f} ms" + " (best)" * best


def _masked_table(report: dict[str, Any]) -> Table:
    columns = ("precision", "images per second", "share", "workers x batch", "difference", "correlation")
    table = Table(*columns, box=box.SIMPLE_HEAD)  # as wide as fits into 80 columns
    table.title = "passes over masked images in PyTorch, at the settings that the library chose"
    table.caption = (
        "share: of the best plain rate; largest difference and correlation to exact: of the logit of the predicted "
        "class, for a random image under random masks"
    )
    for one in report["masked"]:
        share = "" if one["share"] is None else f"{one['share']:.0%}"
        correlation = "" if one["correlation"] is None else f"{one['correlation']:.6f}"
        mark = " (chosen)" * one["chosen"]
        numbers = (f"{one['workers']} x {one['chunk']}", f"{one['difference']:.2g}", correlation)
        table.add_row(one["precision"] + mark, _rate(one["rate"]), share, *numbers)
    for precision, error in report["failed"].items():
        table.add_row(precision, cell(error))
    return table


def _engine_table(report: dict[str, Any]) -> Table:
    columns = ("engine", "images per second", "share of its plain rate", "largest difference to torch")
    table = Table(*columns, box=box.SIMPLE_HEAD)
    table.title = "passes over masked images in each engine, in the chosen precision"
    for one in report["engines"]:
        if one["reason"] is None:
            numbers = (_rate(one["rate"]), f"{one['share']:.0%}", f"{one['difference']:.2g}")
            table.add_row(one["engine"], *numbers)
        else:
            table.add_row(one["engine"], cell(one["reason"]))
    return table
