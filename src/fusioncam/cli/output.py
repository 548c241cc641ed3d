"""Print tables, JSON and failures on the terminal."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusioncam.utils.text import printable, printable_lines

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

LISTED_FAILURES = 20  # more would only fill the screen


def print_line(text: object) -> None:
    """Print a text on stdout; control characters, for example of a file's name, are escaped."""
    print(printable_lines(str(text)))


def print_note(text: object) -> None:
    """Print a text on stderr as :func:`print_line` does."""
    print(printable_lines(str(text)), file=sys.stderr)


def print_report(written: Iterable[Path], following: Sequence[object] = ()) -> None:
    """Print how many tables and figures are where, the address of the page, and the next useful command."""
    files = list(written)
    for folder, count in Counter(path.parent for path in files if path.suffix != ".html").items():
        print_line(f"{count} files: {folder}")
    for page in (path for path in files if path.suffix == ".html"):
        print_line(f"report: {page.absolute().as_uri()}")
    if following:
        print_line(f"next: {shlex.join(['fusioncam', *map(str, following)])}")


def cell(text: str) -> Text:
    """Return a text as the cell of a table: its control characters are escaped, and it is no markup."""
    from rich.text import Text

    return Text(printable(text))


def print_table(table: Table | str, width: int = 200) -> None:
    """Print a table in the width of the terminal, or in ``width`` columns where stdout is not a terminal.

    Nothing is cut off: what does not fit is continued in the next line. Brackets are text, not markup.
    """
    from rich.console import Console

    for column in () if isinstance(table, str) else table.columns:
        column.overflow = "fold"
    console = Console(width=None if sys.stdout.isatty() else width, markup=False, highlight=False)
    console.print(table)


def duration(seconds: float) -> str:
    """Return a time as a person says it.

    >>> duration(7.4), duration(400), duration(9000)
    ('7 s', '7 min', '2.5 h')
    """
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 100:
        return f"{seconds:.{0 if seconds >= 2 else 1}f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def compact_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> tuple[str, Table]:
    """Return a table without the columns that are the same in all of several rows, and these as one line of text."""
    from rich import box
    from rich.table import Table

    cells = list(zip(*rows, strict=True))
    constant = [len(rows) > 1 and len(set(column)) == 1 for column in cells]
    same = [f"{name} {column[0]}" for name, column, is_same in zip(columns, cells, constant, strict=True) if is_same]
    kept = [number for number, is_same in enumerate(constant) if not is_same]
    table = Table(*(columns[number] for number in kept), box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(cell(row[number]) for number in kept))
    return printable(", ".join(filter(None, [title, *same]))), table


def print_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON object in ASCII, which holds no control character."""
    print(json.dumps(dict(facts), indent=2, allow_nan=False))


def print_failures(messages: Sequence[str], total: int) -> None:
    """Print the messages of failures on stderr, at most 20, and how many there are in all if that is more."""
    listed = messages[:LISTED_FAILURES]
    for message in listed:
        print_note(f"failed: {message}")
    if total > len(listed):
        print_note(f"failed: {total:,} in all, see the column 'error' of the rows")


def failure_message(image: str, error: str) -> str:
    """Return the error with the image's name in front, unless the error starts with it already."""
    return error if error.startswith(image) else f"{image}: {error}"
