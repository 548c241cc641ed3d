"""Pages, tables and cells, how numbers are formatted in them, and their Markdown."""

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

NO_VALUE = "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """A number as text, its interval, whether a dagger marks it, and its ``style``: "bold", "italic" or ""."""

    text: str
    interval: str = ""
    marked: bool = False
    style: str = ""


Row = tuple[str, tuple[Cell, ...]]


@dataclass(frozen=True)
class Table:
    """Rows of cells by method; ``footer`` rows, such as baselines, stand below a line.

    ``key`` distinguishes the tables of one page.
    """

    title: str
    key: str
    header: tuple[str, ...]
    body: tuple[Row, ...]
    footer: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    def _repr_markdown_(self) -> str:
        """Show the table in a notebook."""
        return markdown_table(self)


@dataclass(frozen=True)
class Page:
    """The content of the files ``name.md``, ``name.tex`` and ``name.csv``; ``records`` are the lines of the CSV."""

    name: str
    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    records: tuple[dict[str, Any], ...] = field(repr=False)

    def _repr_markdown_(self) -> str:
        """Show the page in a notebook."""
        return markdown(self)


def is_baseline(method: str) -> bool:
    """Return whether a method is a baseline, which tables show below the line."""
    return base_name(method) in BASELINES


def split_baselines(
    methods: Iterable[str], cells: Callable[[str], tuple[Cell, ...]]
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows of methods and the rows of baselines."""
    rows = [(method, cells(method)) for method in methods]
    return tuple(row for row in rows if not is_baseline(row[0])), tuple(row for row in rows if is_baseline(row[0]))


# -- numbers ---------------------------------------------------------------------------------------------------


def shared_decimals(intervals: Iterable[Interval]) -> int:
    """Return how many decimals show two digits of the median half width, or four digits of the largest mean.

    >>> shared_decimals([Interval(12.345, 10.1, 14.6, 100)]), shared_decimals([Interval(679.0, 679.0, 679.0, 100)])
    (1, 1)
    """
    intervals = list(intervals)
    half_widths = np.array([(interval.high - interval.low) / 2 for interval in intervals])
    positive = half_widths[half_widths > 0]  # leaves out NaN
    if len(positive):
        return int(np.clip(1 - floor(log10(np.median(positive))), 0, 5))
    means = [abs(interval.mean) for interval in intervals if not isnan(interval.mean)]
    largest = max(means, default=0.0)
    return int(np.clip(3 - floor(log10(largest)), 0, 5)) if largest > 0 else 1


def three_digit_decimals(mean: float) -> int:
    """Return how many decimals show three digits of a number, at most four: measured times are not more precise.

    >>> [three_digit_decimals(mean) for mean in (0.0001234, 0.0123456, 1.2345, 123.45, 0.0)]
    [4, 4, 2, 0, 1]
    """
    return int(np.clip(2 - floor(log10(abs(mean))), 0, 4)) if mean and not isnan(mean) else 1


def format_interval(interval: Interval, decimals: int, signed: bool = False) -> tuple[str, str]:
    """Format a mean and its interval; the latter is empty if it is unknown or a point.

    >>> format_interval(Interval(0.5, 0.25, 0.75, 9), 2)
    ('0.50', '[0.25, 0.75]')
    >>> format_interval(Interval(-1.0, -1.0, -1.0, 9), 1, signed=True)
    ('\N{MINUS SIGN}1.0', '')
    """
    low, high = interval.low, interval.high
    if isnan(interval.mean):
        return NO_VALUE, ""
    sign = "+" if signed else ""
    bounds = "" if isnan(low) or low == high else f"[{low:.{decimals}f}, {high:.{decimals}f}]"
    return minus(f"{interval.mean:{sign}.{decimals}f}"), minus(bounds)


def format_p_value(p: float) -> str:
    """Format a p-value.

    >>> format_p_value(0.04321), format_p_value(0.0000123), format_p_value(float("nan"))
    ('0.043', '< 0.001', '\N{EN DASH}')
    """
    if isnan(p):
        return NO_VALUE
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.995 else "1"


# -- Markdown --------------------------------------------------------------------------------------------------


def markdown(page: Page) -> str:
    """Write a page as Markdown; the columns of its tables are aligned in the source."""
    blocks = [f"# {escape_markdown(page.title)}"]
    for table in page.tables:
        blocks += [f"## {escape_markdown(table.title)}", markdown_table(table)]
        if table.notes:
            blocks.append(markdown_list(table.notes))
    return "\n\n".join([*blocks, "## Notes", markdown_list(page.notes)]) + "\n"


def markdown_table(table: Table) -> str:
    """Write the grid of a table; footer rows stand below a row of dashes."""
    body, footer = (
        [[escape_markdown(name), *map(markdown_cell, cells)] for name, cells in rows]
        for rows in (table.body, table.footer)
    )
    header = [escape_markdown(text) for text in table.header]
    rule = [["—"] * len(header)] if body and footer else []
    rows = [header, *body, *rule, *footer]
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(header))]
    alignment = "|".join(["", f" {'-' * widths[0]} ", *(f" {'-' * (width - 1)}: " for width in widths[1:]), ""])
    lines = [markdown_row(row, widths) for row in rows]
    return "\n".join([lines[0], alignment, *lines[1:]])


def markdown_row(texts: Sequence[str], widths: Sequence[int]) -> str:
    """Write one row of a grid: the name left-aligned, numbers right-aligned."""
    name, *numbers = zip(texts, widths, strict=True)
    cells = [name[0].ljust(name[1]), *(text.rjust(width) for text, width in numbers)]
    return f"| {' | '.join(cells)} |"


def markdown_list(notes: Iterable[str]) -> str:
    """Write notes as a bulleted list."""
    return "\n".join(f"- {escape_markdown(note)}" for note in notes)


def markdown_cell(cell: Cell) -> str:
    """Write a cell: number, dagger, interval.

    >>> markdown_cell(Cell("0.50", "[0.25, 0.75]", marked=True, style="bold"))
    '**0.50**† [0.25, 0.75]'
    """
    stars = {"bold": "**", "italic": "*"}.get(cell.style, "")
    number = f"{stars}{escape_markdown(cell.text)}{stars}{'†' if cell.marked else ''}"
    return f"{number} {cell.interval}".rstrip()


def escape_markdown(text: str) -> str:
    """Escape the characters that Markdown would interpret, and replace line breaks by spaces.

    >>> print(escape_markdown("a_b|c* _d_ p < 0.001, <b>"))
    a_b\\|c\\* \\_d\\_ p < 0.001, &lt;b>
    """
    text = re.sub(r"([\\|*`]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(text.split()))
    return re.sub(r"<(?=\S)", "&lt;", text)
