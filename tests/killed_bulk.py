"""Bulk runs in child processes that are killed at random moments: ``killed_bulk.py OUT KILLS SEED DATA``.

The parent imports everything once and computes nothing itself, so that each forked child runs like any other program.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from fusioncam.bulk import BulkPlan, explain_in_bulk


def plan_of(data: str) -> BulkPlan:
    """Return a plan of shards of three images."""
    return BulkPlan((data,), model="samples:small", methods=("grad-cam", "ablation-cam"), shard=3, overlays=True)


def start_child(data: str, out: Path) -> int:
    """Start the run in a child process and return its id."""
    pid = os.fork()
    if pid == 0:
        try:
            explain_in_bulk(plan_of(data), out)
        finally:
            os._exit(0)
    return pid


def main(out: Path, kills: int, seed: int, data: str) -> int:
    """Start up to ``kills`` runs, kill each at a random moment, and return how many were killed before their end."""
    rng, killed = random.Random(seed), 0
    for _ in range(kills):
        pid, overlays = start_child(data, out), out / "overlays"
        wanted = len(list(overlays.rglob("*.jpg"))) + rng.randrange(1, 9)
        while len(list(overlays.rglob("*.jpg"))) < wanted and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        try:
            os.kill(pid, signal.SIGKILL)
            killed += os.waitpid(pid, 0)[1] == signal.SIGKILL
        except (ProcessLookupError, ChildProcessError):
            break
    return killed


if __name__ == "__main__":
    folder, count, seed, data = sys.argv[1:]
    print(main(Path(folder), int(count), int(seed), data))
