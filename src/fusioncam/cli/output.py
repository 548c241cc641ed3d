"""Print tables, JSON and failures on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

LISTED_FAILURES = 20  # more would only fill the screen


def print_table(table: Table | str, width: int = 200) -> None:
    """Print a table in the width of the terminal, or in ``width`` columns where stdout is not a terminal."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else width).print(table)


def print_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    from fusioncam.utils.files import to_json

    print(to_json(dict(facts)).decode())


def print_failures(messages: Sequence[str], total: int) -> None:
    """Print the messages of failures on stderr, at most 20, and how many there are in all if that is more."""
    listed = messages[:LISTED_FAILURES]
    for message in listed:
        print(f"failed: {message}", file=sys.stderr)
    if total > len(listed):
        print(f"failed: {total:,} in all, see the column 'error' of the rows", file=sys.stderr)


def failure_message(image: str, error: str) -> str:
    """Return the error with the image's name in front, unless the error starts with it already."""
    return error if error.startswith(image) else f"{image}: {error}"
