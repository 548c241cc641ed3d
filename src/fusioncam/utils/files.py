"""Write files atomically, lock folders against other runs, and write strict JSON.

The folder of a run may come from elsewhere: no link in it is followed when a file is created, locked or changed.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from fusioncam.errors import OutputError
from fusioncam.utils.text import printable

# Windows has no such locks, but its open files can be neither removed nor renamed
fcntl: Any = import_module("fcntl") if os.name == "posix" else None
_PART = ".fusioncam.{}.part"
# a pipe in the position of a file must not block
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))


# -- opening ---------------------------------------------------------------------------------------------------------


def open_regular(path: Path, flags: int) -> int:
    """Open a regular file and return its descriptor; raise OSError for anything else, also for a link to a file."""
    if path.is_symlink():  # O_NOFOLLOW reports this as a loop, and Windows does not have it
        raise OSError(errno.ELOOP, "it is a link, which could lead to another file of yours")
    descriptor = os.open(path, flags | _FLAGS, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return descriptor


def sync_folder(folder: Path) -> None:
    """Flush the names of a folder's files to the disk, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# -- writing ---------------------------------------------------------------------------------------------------------


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """Write to a temporary file next to ``path`` and rename it to ``path`` if the block succeeds.

    Other processes see either the old file or the complete new one. With ``durable`` the file is on the disk when the
    block ends, so that it also outlasts a power failure. Raises :class:`OutputError`.
    """
    part = None
    try:
        part, descriptor = _create_part(path.parent)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                yield file
            if durable:
                os.fsync(descriptor)
            if fcntl is not None:  # while the lock is held, so that no other run takes it for abandoned
                part.replace(path)
        finally:
            os.close(descriptor)
        if fcntl is None:
            part.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if part is not None:
            with suppress(OSError):  # it does not exist after it was renamed
                part.unlink()


def write_file(path: Path, data: bytes, *, durable: bool = False) -> Path:
    """Write a file by :func:`atomic_write`, and return its path."""
    with atomic_write(path, durable=durable) as file:
        file.write(data)
    return path


def _create_part(folder: Path) -> tuple[Path, int]:
    """Create a temporary file of a new name, locked while it is written, and return its path and descriptor."""
    while True:
        part = folder / _PART.format(f"{os.getpid()}.{secrets.token_hex(8)}")
        descriptor = open_regular(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        if fcntl is not None:
            with suppress(OSError):  # not every network file system has locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        if fcntl is None or os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # another run has removed it before it was locked


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files that killed runs have left in a folder, but not those that are being written."""
    with suppress(OSError):
        for part in folder.glob(_PART.format("*")):
            with suppress(OSError):
                _remove_unlocked(part)


def _remove_unlocked(part: Path) -> None:
    if fcntl is None:
        part.unlink()
        return
    descriptor = open_regular(part, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
    finally:
        os.close(descriptor)


def writable_folder(path: Path) -> Path:
    """Create the folder if necessary and return it; raise :class:`OutputError` if it is not writable."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe, descriptor = _create_part(path)
        os.close(descriptor)
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {path}: {error.strerror or error}: choose another folder") from error
    return path


# -- locks -----------------------------------------------------------------------------------------------------------


@contextmanager
def folder_lock(folder: Path, *subfolders: str) -> Iterator[None]:
    """Hold the folder exclusively while the block runs; the lock also ends with the process, however that ends.

    Temporary files of killed runs are removed in it and in those of its ``subfolders``, which are glob patterns.
    Raises :class:`OutputError` that names the process if another run holds the folder, or if it is not writable.
    """
    writable_folder(folder)
    lock, owner = folder / ".lock", folder / ".lock-owner"  # FileLock may truncate its own file
    try:
        os.close(open_regular(lock, os.O_RDWR | os.O_CREAT))  # FileLock of some versions empties the target of a link
        held = FileLock(lock).acquire(timeout=0)
    except Timeout:
        raise OutputError(
            f"another run ({_owner(owner)}) is writing into {folder}: wait until it ends, stop it, or choose another "
            "folder"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot lock {lock}: {reason}: remove it, or choose another folder") from error
    with held:
        with atomic_write(owner) as file:
            file.write(f"process {os.getpid()}".encode())
        for one in (folder, *(found for pattern in subfolders for found in folder.glob(pattern))):
            remove_abandoned(one)
        yield


def _owner(path: Path) -> str:
    """Return what the file of the lock's owner says, if it is one."""
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            return printable(file.read(50).decode(errors="replace"))
    except OSError:
        return "of another process"


def to_json(facts: dict[str, Any]) -> bytes:
    """Return the facts as UTF-8 JSON without NaN; bytes of a file name that are not text become escapes."""
    return json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace")
