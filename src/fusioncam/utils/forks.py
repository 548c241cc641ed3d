"""Objects that a forked process must make anew, such as locks that threads of its parent hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def new_in_child(make: Callable[[], T]) -> Callable[[], T]:
    """Return a function that returns one object, and in each forked process another one.

    A fork copies locks as they are, but only the thread that forks goes on in the new process: a lock of another
    thread would never be released there.
    """
    current = [make()]

    def remake() -> None:
        current[0] = make()

    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(after_in_child=remake)
    return lambda: current[0]
