"""Ctrl-C: at once before a command begins its work, and by KeyboardInterrupt once there are results to keep.

An import that is interrupted may turn KeyboardInterrupt into another error or drop it, and imports are what the
program does in its first seconds.
"""

from __future__ import annotations

import atexit
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


@contextmanager
def finishing() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended, so that what it writes is complete."""
    if _handler() is not signal.default_int_handler:
        yield
        return
    pressed: list[object] = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def ignore_at_exit() -> None:
    """Ignore Ctrl-C while the interpreter ends: the signal would replace the exit code of a command that is done."""
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


@contextmanager
def end_by_signals() -> Iterator[None]:
    """Raise SystemExit when the process is asked to end while the block runs, so that it cleans up behind itself.

    The exit code is that of a process which the signal ended, as shells report it: 143 for SIGTERM.
    """
    signals = [one for name in ("SIGTERM", "SIGHUP") if (one := getattr(signal, name, None))]  # Windows has no SIGHUP
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, _raise_exit) for one in signals if signal.getsignal(one) != signal.SIG_IGN}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _raise_exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _handler() -> object:
    """Return the handler of Ctrl-C, or None in a thread that cannot set one."""
    return signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None


def _exit(*_: object) -> None:
    os.write(2, b"stopped\n")
    os._exit(CODE)
