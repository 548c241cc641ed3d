"""What files are called and how they are written: either the old one or the new one, never half of it."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from fusioncam.errors import OutputError

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write to a temporary file beside ``path`` and put it in its place at the end, if nothing failed."""
    part = path.with_name(f".fusioncam.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # not there: it took its place, or never came to be
            part.unlink()


def writable_folder(path: Path) -> Path:
    """Make the folder if it is not there, and raise :class:`OutputError` if it cannot be written to."""
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
    """Have the folder for oneself until the block or the process ends, however it ends."""
    writable_folder(folder)
    with (folder / ".lock").open("a+b") as file:
        try:
            _take(file)
        except OSError:
            file.seek(0)
            owner = ""
            with suppress(OSError):  # Windows lets nobody read it
                owner = file.read().decode(errors="replace")
            raise OutputError(
                f"another run ({owner or 'of another process'}) is writing into {folder}: wait for its end, stop it, "
                "or choose another folder"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}".encode())
        file.flush()
        yield


def to_json(facts: dict[str, Any]) -> bytes:
    """Write facts as UTF-8 JSON, refusing NaN; a file name that is no text keeps its bytes as escapes."""
    return json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace")
