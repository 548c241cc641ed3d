"""Benchmarks in child processes that are killed with SIGKILL at random moments.

As a program: ``killed.py OUT KILLS SEED DATA METHODS METRICS``. The parent imports everything once and computes
nothing itself, so that each forked child starts at once and runs like any other program.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from fusioncam.benchmark.plan import as_plan
from fusioncam.benchmark.runner import run


def start_child(plan, out: Path) -> int:
    """Start the run in a child process and return its id."""
    pid = os.fork()
    if pid == 0:
        try:
            run(plan, out)
        finally:
            os._exit(0)
    return pid


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def main(out: Path, kills: int, seed: int, data: str, methods: str, metrics: str) -> int:
    """Start up to ``kills`` runs, kill each at a random moment, and return how many were killed before their end."""
    plan = as_plan(data=data, models=["samples:small"], methods=methods.split(";"), metrics=metrics.split(";"))
    rng, journal, killed = random.Random(seed), out / "rows.jsonl", 0
    for _ in range(kills):
        pid, wanted_size = start_child(plan, out), size_of(journal) + rng.choice([0, 1, 1, 1, 1])
        while size_of(journal) < wanted_size and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        try:
            os.kill(pid, signal.SIGKILL)
            killed += os.waitpid(pid, 0)[1] == signal.SIGKILL
        except (ProcessLookupError, ChildProcessError):
            break
    return killed


if __name__ == "__main__":
    folder, count, seed, *settings = sys.argv[1:]
    print(main(Path(folder), int(count), int(seed), *settings))
