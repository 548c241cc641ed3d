"""What visitors may send at most: bytes of all uploads together, and requests that wait for an answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.responses import JSONResponse, Response

from fusioncam.app.files import MAX_BYTES

MAX_STORED = 2**30  # bytes of all uploads and results that are stored at a time
MAX_WAITING = 4  # requests of one visitor; the page itself sends one after the other
MAX_WAITING_AT_ADDRESS = 32  # of all visitors with one address, such as those behind one router
MAX_REQUEST = 5 * MAX_BYTES  # bytes of several images that are sent together
_OVERHEAD = 10_000  # bytes of a form around the files

# the visitor's own number and the address of each request that waits
Waiting = Callable[[], Iterable[tuple[str, str]]]


@dataclass
class Limits:
    """The limits of one server, whose uploads are in ``folder``."""

    folder: Path
    waiting: Waiting
    _arriving: dict[int, int] = field(default_factory=dict)

    def reject_upload(self, length: str | None) -> Response | None:
        """Return the response to an upload that is too large, of unknown size, or finds no room; else None."""
        if length is None or not length.isdecimal() or len(length) > 12:
            return refusal(411, "an upload must state its length")
        if int(length) > MAX_REQUEST + _OVERHEAD:
            return refusal(413, f"images that are sent together have at most {MAX_REQUEST >> 20} MB: send fewer")
        if stored_bytes(self.folder) + sum(self._arriving.values()) + int(length) > MAX_STORED:
            return refusal(507, "the server has no room for more images at the moment: try again in an hour")
        return None

    def arriving(self, request: int, length: int) -> None:
        """Count an upload until it is stored; a length of 0 ends that."""
        self._arriving.pop(request, None)
        if length:
            self._arriving[request] = length

    def reject_event(self, visitor: object, address: str) -> Response | None:
        """Return the response to an event of a visitor who has too many waiting, else None."""
        waiting = list(self.waiting())
        own = sum(one == visitor for one, _ in waiting)
        neighbours = sum(one == address for _, one in waiting)
        if own < MAX_WAITING and neighbours < MAX_WAITING_AT_ADDRESS:
            return None
        return refusal(429, f"{max(own, neighbours)} of your requests are waiting: send more when they are answered")


def stored_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; files that are deleted meanwhile count as nothing."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            for entry in os.scandir(folders.pop()):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total


def refusal(status: int, sentence: str) -> Response:
    """Return a response whose sentence the page shows."""
    return JSONResponse({"detail": sentence}, status)
