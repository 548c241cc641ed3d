"""Ctrl-C: at once before a command begins its work, and by KeyboardInterrupt once there are results to keep.

An import that is interrupted may turn KeyboardInterrupt into another error or drop it, and imports are what the
program does in its first seconds.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CODE = 130  # as shells report a program that Ctrl-C ended


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process while the block runs, until :func:`keep_results` is called.

    A program that was started with Ctrl-C ignored, such as a background job of a shell, still ignores it.
    """
    if _handler() is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def keep_results() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from now on: a command calls this when it begins to produce results."""
    if _handler() is _exit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _handler() -> object:
    """Return the handler of Ctrl-C, or None in a thread that cannot set one."""
    return signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None


def _exit(*_: object) -> None:
    os.write(2, b"stopped\n")
    os._exit(CODE)
