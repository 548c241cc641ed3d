"""Bulk runs in child processes that are killed at random moments: ``killed_bulk.py OUT KILLS SEED DATA``.

The parent imports everything once and computes nothing itself, so that each forked child runs like any other program.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from fusioncam.bulk import BulkPlan, explain_in_bulk
from kills import kill_runs


def plan_of(data: str) -> BulkPlan:
    """Return a plan of shards of three images, whose heatmaps do not depend on how long a process runs."""
    methods = ("grad-cam", "ablation-cam")
    return BulkPlan((data,), model="samples:small", methods=methods, shard=3, overlays=True, engine="torch")


def main(out: Path, kills: int, seed: int, data: str) -> int:
    """Start up to ``kills`` runs, kill each at a random moment, and return how many were killed before their end."""
    rng, overlays = random.Random(seed), out / "overlays"
    steps = (rng.randrange(1, 9) for _ in range(kills))
    return kill_runs(
        lambda: explain_in_bulk(plan_of(data), out), lambda: len(list(overlays.rglob("*.jpg"))), rng, steps, 0.02
    )


if __name__ == "__main__":
    folder, count, seed, data = sys.argv[1:]
    print(main(Path(folder), int(count), int(seed), data))
