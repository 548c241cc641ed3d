"""Audits in child processes that are killed at random moments: ``killed_audit.py OUT KILLS SEED DATA``."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from fusioncam.audit import AuditPlan, audit
from kills import kill_runs


def plan_of(data: str) -> AuditPlan:
    """Return the plan of an audit against another network."""
    return AuditPlan(data, "stamps:reader", "grad-cam", against="stamps:honest")


def files_in(out: Path) -> int:
    """Return the number of files of which each ends a part of the work."""
    return len([*out.rglob("part-*.parquet"), *out.rglob("removals/*.json"), *out.glob("*.csv")])


def main(out: Path, kills: int, seed: int, data: str) -> int:
    """Start up to ``kills`` runs, kill each at a random moment, and return how many were killed before their end."""
    rng = random.Random(seed)
    steps = (rng.choice([0, 1, 1]) for _ in range(kills))
    return kill_runs(lambda: audit(plan_of(data), out), lambda: files_in(out), rng, steps, 0.3)


if __name__ == "__main__":
    folder, count, seed, data = sys.argv[1:]
    print(main(Path(folder), int(count), int(seed), data))
