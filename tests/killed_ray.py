"""Runs on a Ray of their own that are killed at random moments: ``killed_ray.py KIND OUT KILLS SEED DATA``.

The parent imports everything once and starts nothing itself, so that each forked child runs like any other program.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import ray  # noqa: F401 # children need not import it

import killed_bulk
from fusioncam.benchmark.plan import Plan, as_plan
from fusioncam.benchmark.runner import run
from fusioncam.bulk import explain_in_bulk
from fusioncam.distributed.ray_connection import ray_pool
from fusioncam.distributed.ray_pool import Request
from kills import kill_runs


def plan_of(data: str) -> Plan:
    """Return the plan of a benchmark with a few rows for each image.

    The automatic choice of an engine depends on how long a process runs, and rows would differ by rounding.
    """
    return as_plan(
        data=data,
        models=["samples:small"],
        methods=["grad-cam", "is-cam(samples=2)"],
        metrics=["average-drop"],
        engine="torch",
    )


PLANS = {"benchmark": plan_of, "bulk": killed_bulk.plan_of}
STARTS = {"benchmark": run, "bulk": explain_in_bulk}


def lines_of(path: Path) -> int:
    """Return the number of lines of a file, 0 if it does not exist."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main(kind: str, out: Path, kills: int, seed: int, data: str) -> int:
    """Kill as many runs, every fourth of them while its cluster starts, and return how many were killed."""
    rng, plan = random.Random(seed), PLANS[kind](data)

    def start() -> None:
        with ray_pool("local", Request(workers=1)) as pool:
            STARTS[kind](plan, out, workers=pool)

    def files() -> int:
        return sum(1 for _ in Path(os.environ["RAY_TMPDIR"]).rglob("*"))

    def images() -> int:
        return lines_of(out / "rows.jsonl") + sum(1 for _ in (out / "overlays").rglob("*.jpg"))

    early = max(1, kills // 4)
    killed = kill_runs(start, files, rng, (rng.randrange(1, 12) for _ in range(early)), 0.5)
    return killed + kill_runs(start, images, rng, (rng.randrange(1, 5) for _ in range(kills - early)), 0.05)


if __name__ == "__main__":
    kind, folder, count, seed, data = sys.argv[1:]
    print(main(kind, Path(folder), int(count), int(seed), data))
