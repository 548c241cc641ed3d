"""Runs that are killed: a benchmark in a child of this process, which `kill -9` ends as soon as it has gone so far.

As a program: ``killed.py OUT KILLS SEED DATA METHODS METRICS``. It imports once and computes nothing itself, so that
its children begin at once and as any program would.
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


def child(plan, out: Path) -> int:
    """Start the run in a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            run(plan, out)
        finally:
            os._exit(0)
    return pid


def size_of(path: Path) -> int:
    """Give how much is written."""
    return path.stat().st_size if path.exists() else 0


def main(out: Path, kills: int, seed: int, data: str, methods: str, metrics: str) -> int:
    """Kill so many runs where chance says; give how many were killed before their end."""
    plan = as_plan(data=data, models=["samples:small"], methods=methods.split(";"), metrics=metrics.split(";"))
    chance, journal, hit = random.Random(seed), out / "rows.jsonl", 0
    for _ in range(kills):
        pid, upto = child(plan, out), size_of(journal) + chance.choice([0, 1, 1, 1, 1])
        while size_of(journal) < upto and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))
        try:
            os.kill(pid, signal.SIGKILL)
            hit += os.waitpid(pid, 0)[1] == signal.SIGKILL
        except (ProcessLookupError, ChildProcessError):
            break
    return hit


if __name__ == "__main__":
    folder, count, seed, *words = sys.argv[1:]
    print(main(Path(folder), int(count), int(seed), *words))
