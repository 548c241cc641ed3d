"""What tables are made of: pages, cells, and how numbers are written in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import floor, isnan, log10
from typing import Any

import numpy as np

from fusioncam.report.method_names import BASELINES, base_name
from fusioncam.report.statistics import Interval
from fusioncam.utils.text import minus

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """A number, its interval, whether it is marked, and how it stands out: "bold", "italic" or not."""

    text: str
    interval: str = ""
    marked: bool = False
    style: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells by method, baselines ``apart`` below a line; ``key`` tells the tables of a page apart."""

    title: str
    key: str
    header: tuple[str, ...]
    body: tuple[tuple[str, tuple[Cell, ...]], ...]
    apart: tuple[tuple[str, tuple[Cell, ...]], ...] = ()
    notes: tuple[str, ...] = ()

    def _repr_markdown_(self) -> str:
        """Show the table in a notebook."""
        return grid(self)


@dataclass(frozen=True)
class Page:
    """What goes into the files ``name.md``, ``name.tex`` and ``name.csv``."""

    name: str
    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    records: tuple[dict[str, Any], ...] = field(repr=False)

    def _repr_markdown_(self) -> str:
        """Show the page in a notebook."""
        return markdown(self)


def is_baseline(method: str) -> bool:
    """Say whether a method stands apart."""
    return base_name(method) in BASELINES


def ordered(found: Iterable[str], order: Sequence[str]) -> list[str]:
    """Sort names as they stand in an order."""
    return sorted(found, key=order.index)


def split_baselines(methods: Iterable[str], cells: Callable[[str], tuple[Cell, ...]]) -> tuple[Any, Any]:
    """Give the rows of methods, and those of baselines."""
    rows = [(method, cells(method)) for method in methods]
    return tuple(row for row in rows if not is_baseline(row[0])), tuple(row for row in rows if is_baseline(row[0]))


def decimals_of(intervals: Iterable[Interval]) -> int:
    """Give how many decimals show two digits of the usual half width of intervals, or four of the largest mean.

    >>> decimals_of([Interval(12.345, 10.1, 14.6, 100)]), decimals_of([Interval(679.0, 679.0, 679.0, 100)])
    (1, 1)
    """
    intervals = list(intervals)
    halves = np.array([(one.high - one.low) / 2 for one in intervals])
    wide = halves[halves > 0]  # NaN is not
    if len(wide):
        return int(np.clip(1 - floor(log10(np.median(wide))), 0, 5))
    means = [abs(one.mean) for one in intervals if one.mean == one.mean]
    largest = max(means, default=0.0)
    return int(np.clip(3 - floor(log10(largest)), 0, 5)) if largest > 0 else 1


def three_digits(mean: float) -> int:
    """Give how many decimals show three digits of a number, but no more than four: measured times are no better.

    >>> [three_digits(one) for one in (0.0001234, 0.0123456, 1.2345, 123.45, 0.0)]
    [4, 4, 2, 0, 1]
    """
    return int(np.clip(2 - floor(log10(abs(mean))), 0, 4)) if mean and not isnan(mean) else 1


def format_interval(one: Interval, decimals: int, signed: bool = False) -> tuple[str, str]:
    """Write a mean and its interval; no interval where it is unknown or a point.

    >>> format_interval(Interval(0.5, 0.25, 0.75, 9), 2), written(Interval(-1.0, -1.0, -1.0, 9), 1, signed=True)
    (('0.50', '[0.25, 0.75]'), ('\N{MINUS SIGN}1.0', ''))
    """
    if isnan(one.mean):
        return NOTHING, ""
    form = f"{'+' if signed else ''}.{decimals}f"
    around = "" if isnan(one.low) or one.low == one.high else f"[{one.low:.{decimals}f}, {one.high:.{decimals}f}]"
    return minus(f"{one.mean:{form}}"), minus(around)


def format_p_value(p: float) -> str:
    """Write a p.

    >>> format_p_value(0.04321), small(0.0000123), small(float("nan"))
    ('0.043', '< 0.001', '\N{EN DASH}')
    """
    if isnan(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.995 else "1"


def markdown(page: Page) -> str:
    """Write a page as Markdown, its tables aligned in the source too."""
    blocks = [f"# {markdown_text(page.title)}"]
    for table in page.tables:
        blocks += [f"## {markdown_text(table.title)}", grid(table)]
        if table.notes:
            blocks.append(bullets(table.notes))
    return "\n\n".join([*blocks, "## Notes", bullets(page.notes)]) + "\n"


def grid(table: Table) -> str:
    """Write a table's grid; baselines stand below a row of dashes."""
    rows = [[markdown_text(name), *map(markdown_cell, cells)] for name, cells in table.body]
    apart = [[markdown_text(name), *map(markdown_cell, cells)] for name, cells in table.apart]
    header = [markdown_text(text) for text in table.header]
    rule = [["—"] * len(header)] if rows and apart else []
    lines = [header, *rows, *rule, *apart]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(header))]
    under = "|".join(["", f" {'-' * widths[0]} ", *(f" {'-' * (width - 1)}: " for width in widths[1:]), ""])
    written = [aligned(line, widths) for line in lines]
    return "\n".join([written[0], under, *written[1:]])


def aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Write one line of a grid: names to the left, numbers to the right."""
    first, *others = zip(line, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
    return f"| {' | '.join(cells)} |"


def bullets(notes: Iterable[str]) -> str:
    """Write notes as a list."""
    return "\n".join(f"- {markdown_text(note)}" for note in notes)


def markdown_cell(cell: Cell) -> str:
    """Write a cell: number, mark, interval.

    >>> markdown_cell(Cell("0.50", "[0.25, 0.75]", marked=True, style="bold"))
    '**0.50**† [0.25, 0.75]'
    """
    stars = {"bold": "**", "italic": "*"}.get(cell.style, "")
    number = f"{stars}{markdown_text(cell.text)}{stars}{'†' if cell.marked else ''}"
    return f"{number} {cell.interval}".rstrip()


def markdown_text(text: str) -> str:
    """Escape what Markdown would read as its own.

    >>> print(markdown_text("a_b|c* _d_ p < 0.001, <b>"))
    a_b\\|c\\* \\_d\\_ p < 0.001, &lt;b>
    """
    text = re.sub(r"([\\|*`]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))
    return re.sub(r"<(?=\S)", "&lt;", text)
