"""Write tables to the terminal."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else 200).print(table)
