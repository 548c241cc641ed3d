"""Which files of a run's folder a report wrote, so that the next one may remove those that are no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from fusioncam.utils.files import atomic_write, to_json

FILE = ".report-files.json"
_FOLDERS = ("tables", "figures")


def keep_only(written: Iterable[Path], run_folder: Path) -> None:
    """Remove what the last report wrote and this one did not, and note what this one wrote.

    A file goes only if it lies right in ``tables/`` or ``figures/`` and is byte for byte what was written: whatever
    anybody changed, added or put in its place stays.
    """
    now = {path.relative_to(run_folder).as_posix(): digest(path) for path in written}
    for name, was in earlier(run_folder).items():
        path = run_folder / name
        if name not in now and ours(name) and not path.is_symlink() and path.is_file() and digest(path) == was:
            with suppress(OSError):  # it stays, and does no harm
                path.unlink()
    with atomic_write(run_folder / FILE) as file:
        file.write(to_json(now))


def earlier(run_folder: Path) -> dict[str, str]:
    """Read what the last report wrote; nothing where that cannot be told."""
    try:
        facts = json.loads((run_folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def ours(name: str) -> bool:
    """Say whether a file lies where a report writes.

    >>> ours("tables/cost.md"), ours("tables/../rows.parquet"), ours("/tables/cost.md")
    (True, False, False)
    """
    parts = PurePosixPath(name).parts
    return len(parts) == 2 and parts[0] in _FOLDERS and ".." not in parts and "\\" not in name


def digest(path: Path) -> str:
    """Tell a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
