"""The list of files that a report wrote into a run's folder, so that the next report can remove stale ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from fusioncam.utils.files import to_json, write_file

FILE = ".report-files.json"
_FOLDERS = ("tables", "figures")


def remove_stale_files(written: Iterable[Path], run_folder: Path) -> None:
    """Remove the files that only the previous report wrote, and record those that this one ``written``.

    A file is removed only if it lies directly in ``tables/`` or ``figures/`` and has exactly the bytes that the
    report wrote. Files that a user changed, added or replaced are kept.
    """
    current = {path.relative_to(run_folder).as_posix(): sha256_of(path) for path in written}
    for name, digest in read_manifest(run_folder).items():
        path = run_folder / name
        stale = name not in current and is_report_file(name) and not path.is_symlink() and path.is_file()
        if stale and sha256_of(path) == digest:
            with suppress(OSError):  # a file that cannot be removed does no harm
                path.unlink()
    write_file(run_folder / FILE, to_json(current))


def read_manifest(run_folder: Path) -> dict[str, str]:
    """Return the digests of the files that the previous report wrote; empty if they cannot be read."""
    try:
        facts = json.loads((run_folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def is_report_file(name: str) -> bool:
    """Return whether a relative path lies directly in a folder that reports write to.

    >>> is_report_file("tables/cost.md"), is_report_file("tables/../rows.parquet"), is_report_file("/tables/cost.md")
    (True, False, False)
    """
    parts = PurePosixPath(name).parts
    return len(parts) == 2 and parts[0] in _FOLDERS and ".." not in parts and "\\" not in name


def sha256_of(path: Path) -> str:
    """Return the SHA-256 digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
