"""Peak memory above the loaded network, each contestant in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import figures
from harness import Subject
from meta import say

WORKER = Path(__file__).parents[1] / "peak.py"
OURS, PEER = "fusioncam fusion-cam", "pytorch-grad-cam score-cam"


@dataclass(frozen=True)
class Memory(Subject):
    """MiB of resident memory at the worst moment, less those after loading the network and one plain pass."""

    name: ClassVar[str] = "memory"
    what: ClassVar[str] = "peak resident memory above the loaded network, one image, random weights"

    network: str = "resnet50"
    repeats: int = 1
    seed: int = 0

    def planned(self):
        """Count the rows to come."""
        return self.repeats

    def rows(self):
        """Measure again and again."""
        for repeat in range(self.repeats):
            told = {}
            for one in (OURS, PEER):
                say(f"{self.name} {repeat + 1} of {self.repeats}: {one}")
                told[one] = asked(one.split()[0], self.network, self.seed)
                say(f"    {told[one]}")
            keys = ("mib", "seconds", "channels")
            numbers = {key: {one: given[key] for one, given in told.items()} for key in keys}
            yield {"image": f"random, repeat {repeat + 1}", **numbers}

    def figures(self, rows):
        """Sum up."""
        channels = rows[0]["channels"][OURS] if rows else 0
        told = []
        for name in (OURS, PEER):
            what = f"{name}, {self.network} with {channels:,} channels: peak memory"
            aims = {"highest": "<= 400"} if name == OURS else None
            told.append(figures.figure(what, [row["mib"][name] for row in rows], "MiB", aims=aims))
        return told


def asked(contestant, network, seed):
    """Have a fresh process measure itself."""
    command = [sys.executable, str(WORKER), contestant, network, str(seed)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
