"""The journal of a run: one line of JSON per image, written before the next image begins.

Each line is flushed to the disk. The incomplete last line of a killed run is ignored, and overwritten by the next
line. A file that another program removes, replaces or changes while a run uses it stops the run.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from fusioncam.errors import OutputError, ResultsError
from fusioncam.utils.files import open_regular, sync_folder
from fusioncam.utils.stored_files import COLUMNS, JOURNAL_LINE, SHARED, Key, Row, parse


class Journal:
    """The lines of a run: one per model and image, or several if the run was extended or images were tried again.

    ``done`` maps each (model, image) to the (method, metric) pairs that have been measured. Every method raises
    :class:`ResultsError` if the file is not the one that was read and written before, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[Key, frozenset[Key]] = defaultdict(frozenset)
        self._offsets: dict[Key, list[int]] = defaultdict(list)
        self._shared_sets: dict[frozenset[Key], frozenset[Key]] = {}
        self._end = 0  # of the last complete line
        self._size = 0  # of the file, which may end in an incomplete line
        self._file_id: tuple[int, int] | None = None  # None before there is a file
        self._read()

    def append(self, rows: Sequence[Row]) -> None:
        """Write the rows of one image; raise :class:`OutputError`, and leave no part of them, if that fails."""
        text = json.dumps(_as_line(rows), allow_nan=False, ensure_ascii=False)
        line = text.encode(errors="backslashreplace") + b"\n"
        try:
            with self._open("r+b") as file:
                self._write(file, line)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}. The rows written before are kept: free "
                "some space, and the same command continues"
            ) from error
        self._add(rows, self._end, len(line))

    def rows(self, model: str, image: str) -> list[Row]:
        """Return the current rows of an image."""
        if (model, image) not in self._offsets:
            return []
        try:
            with self._open("rb") as file:
                return merge_lines(self._read_line(file, offset) for offset in self._offsets[model, image])
        except OSError as error:
            raise ResultsError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def images(self) -> list[Key]:
        """Return the (model, image) pairs that have rows."""
        return list(self._offsets)

    # -- the file -----------------------------------------------------------------------------------------------

    def _open(self, mode: str) -> IO[bytes]:
        """Open the file without a buffer and check that it is the one of before; create it for the first line."""
        new = self._file_id is None
        flags = (os.O_RDWR if "+" in mode else os.O_RDONLY) | (os.O_CREAT | os.O_EXCL if new else 0)
        try:
            file: IO[bytes] = os.fdopen(open_regular(self.path, flags), mode, buffering=0)
        except FileNotFoundError:
            raise self._changed("it was removed") from None
        except FileExistsError:
            raise self._changed("another program has created it") from None
        status = os.fstat(file.fileno())
        if new:
            self._file_id = status.st_dev, status.st_ino
            sync_folder(self.path.parent)
        problem = self._problem(status)
        if problem:
            file.close()
            raise self._changed(problem)
        return file

    def _problem(self, status: os.stat_result) -> str | None:
        if (status.st_dev, status.st_ino) != self._file_id:
            return "another file has replaced it"
        if status.st_size != self._size:
            return f"it has {status.st_size:,} bytes instead of {self._size:,}"
        return None

    def _changed(self, problem: str) -> ResultsError:
        return ResultsError(
            f"{self.path} was changed by another program while the run used it: {problem}. Nothing was written after "
            "that: put the file back, or the same command measures again what is missing"
        )

    def _write(self, file: IO[bytes], line: bytes) -> None:
        """Write a line in the position of an incomplete one; if that fails, remove what was written of it."""
        try:
            file.truncate(self._end)
            file.seek(self._end)
            remaining = memoryview(line)
            while remaining:
                remaining = remaining[file.write(remaining) :]
            os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                file.truncate(self._end)
            raise
        finally:
            self._size = os.fstat(file.fileno()).st_size

    def _read_line(self, file: IO[bytes], offset: int) -> list[Row]:
        file.seek(offset)
        return self._parsed(file.readline(), f"the line at byte {offset:,}")

    def _read(self) -> None:
        try:
            file = os.fdopen(open_regular(self.path, os.O_RDONLY), "rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise ResultsError(f"{self.path} cannot be read: {error.strerror or error}") from error
        with file:
            status = os.fstat(file.fileno())
            self._file_id = status.st_dev, status.st_ino
            for number, line in enumerate(file, 1):
                self._size += len(line)
                if line.endswith(b"\n"):
                    self._add(self._parsed(line, f"line {number}"), self._end, len(line))

    def _parsed(self, line: bytes, location: str) -> list[Row]:
        return _as_rows(parse(line, JOURNAL_LINE, f"{location} of {self.path}"))

    def _add(self, rows: Sequence[Row], offset: int, length: int) -> None:
        key = rows[0]["model"], rows[0]["image"]
        measured = frozenset((row["method"], row["metric"]) for row in rows if row["error"] is None)
        done = self.done[key] | measured
        # nearly all images have the same pairs: sharing one set saves memory
        self.done[key] = self._shared_sets.setdefault(done, done)
        self._offsets[key].append(offset)
        self._end = offset + length


def merge_lines(lines: Iterable[Sequence[Row]]) -> list[Row]:
    """Return the current rows of an image's lines: later rows replace those of the same method and metric.

    A later line also removes earlier errors of the image and of the methods that it has, which were tried again.
    """
    rows: dict[Key, Row] = {}
    for line in lines:
        tried = {"", *(row["method"] for row in line)}
        rows = {key: row for key, row in rows.items() if row["metric"] or row["method"] not in tried}
        rows |= {(row["method"], row["metric"]): row for row in line}
    return list(rows.values())


def _as_line(rows: Sequence[Row]) -> Row:
    """Store the shared columns once."""
    shared = {name: rows[0][name] for name in SHARED}
    return shared | {"rows": [{k: v for k, v in row.items() if k not in SHARED} for row in rows]}


def _as_rows(line: Row) -> list[Row]:
    """Invert :func:`_as_line`."""
    shared = {name: line[name] for name in SHARED}
    return [{name: (shared | row)[name] for name in COLUMNS} for row in line["rows"]]
