"""Write files atomically, lock folders against other runs, and write strict JSON."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from fusioncam.errors import OutputError


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write to a temporary file next to ``path`` and rename it to ``path`` if the block succeeds.

    Other processes see either the old file or the complete new one. Raises :class:`OutputError`.
    """
    part = path.with_name(f".fusioncam.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # it does not exist after it was renamed, or if it could not be created
            part.unlink()


def writable_folder(path: Path) -> Path:
    """Create the folder if necessary and return it; raise :class:`OutputError` if it is not writable."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".fusioncam.{os.getpid()}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write into {path}: {error.strerror or error}: choose another folder") from error
    return path


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the folder exclusively while the block runs; the lock also ends with the process, however that ends.

    Raises :class:`OutputError` that names the process if another run holds the folder, or if it is not writable.
    """
    writable_folder(folder)
    lock, owner = FileLock(folder / ".lock"), folder / ".lock-owner"  # FileLock may truncate its own file
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        name = owner.read_text() if owner.exists() else "of another process"
        raise OutputError(
            f"another run ({name}) is writing into {folder}: wait until it ends, stop it, or choose another folder"
        ) from None
    with held:
        owner.write_text(f"process {os.getpid()}")
        yield


def to_json(facts: dict[str, Any]) -> bytes:
    """Return the facts as UTF-8 JSON without NaN; bytes of a file name that are not text become escapes."""
    return json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace")
