"""Start runs in child processes, and kill them with SIGKILL at random moments."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

from selection import number_of

# how often runs are killed
KILLS = number_of("FUSIONCAM_TEST_KILLS", 3)


def start_child(run: Callable[[], object]) -> int:
    """Start the run in a child process and return its id."""
    pid = os.fork()
    if pid == 0:
        try:
            run()
        finally:
            os._exit(0)
    return pid


def kill_runs(run: Callable[[], object], progress: Callable[[], int], rng: random.Random, steps, delay: float) -> int:
    """Start a run for each of the ``steps`` and return how many were killed before their end.

    Each is killed up to ``delay`` seconds after ``progress()`` has grown by the step.
    """
    killed = 0
    for step in steps:
        pid, wanted = start_child(run), progress() + step
        while progress() < wanted and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, delay))
        try:
            os.kill(pid, signal.SIGKILL)
            killed += os.waitpid(pid, 0)[1] == signal.SIGKILL
        except (ProcessLookupError, ChildProcessError):
            break
    return killed
