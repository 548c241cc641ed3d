"""Print tables, JSON and failures on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
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


def cell(text: str) -> Text:
    """Return a text as the cell of a table: its control characters are escaped, and it is no markup."""
    from rich.text import Text

    return Text(printable(text))


def print_table(table: Table | str, width: int = 200) -> None:
    """Print a table in the width of the terminal, or in ``width`` columns where stdout is not a terminal."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else width).print(table)


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
