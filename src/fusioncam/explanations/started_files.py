"""The names of the files that a run writes, listed before it writes them: a killed run leaves no unlisted file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fusioncam.errors import OutputError
from fusioncam.utils.files import open_regular

_FILE = ".explanations.started"


def list_started(folder: Path, names: Iterable[str]) -> None:
    """Add names to the list of a folder; raise :class:`OutputError` if it cannot be written."""
    line = json.dumps(list(names)).encode() + b"\n"
    try:
        descriptor = open_regular(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            file.write(line)
    except OSError as error:
        raise OutputError(f"cannot write {folder / _FILE}: {error.strerror or error}: remove it") from error


def started_files(folder: Path) -> list[str]:
    """Return the names in the list of a folder; without the last line if a killed run left it incomplete."""
    names: list[str] = []
    with suppress(OSError), os.fdopen(open_regular(folder / _FILE, os.O_RDONLY), "rb") as file:
        for line in file:
            with suppress(ValueError, RecursionError, TypeError):
                names += [name for name in json.loads(line) if isinstance(name, str)]
    return names


def forget_started(folder: Path) -> None:
    """Remove the list of a folder, after its names have been listed elsewhere."""
    with suppress(OSError):
        (folder / _FILE).unlink()
