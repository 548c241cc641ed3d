"""Benchmarks in child processes that are killed with SIGKILL at random moments.

As a program: ``killed.py OUT KILLS SEED DATA METHODS METRICS``. The parent imports everything once and computes
nothing itself, so that each forked child starts at once and runs like any other program.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from fusioncam.benchmark.plan import as_plan
from fusioncam.benchmark.runner import run
from kills import kill_runs


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def main(out: Path, kills: int, seed: int, data: str, methods: str, metrics: str) -> int:
    """Start up to ``kills`` runs, kill each at a random moment, and return how many were killed before their end."""
    plan = as_plan(data=data, models=["samples:small"], methods=methods.split(";"), metrics=metrics.split(";"))
    rng, journal = random.Random(seed), out / "rows.jsonl"
    steps = (rng.choice([0, 1, 1, 1, 1]) for _ in range(kills))
    return kill_runs(lambda: run(plan, out), lambda: size_of(journal), rng, steps, 0.05)


if __name__ == "__main__":
    folder, count, seed, *settings = sys.argv[1:]
    print(main(Path(folder), int(count), int(seed), *settings))
