"""Measure peak memory above the loaded network, each contestant in its own process."""

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
AIMS = {"resnet50": 300, "vgg16": 800}  # MiB


@dataclass(frozen=True)
class Memory(Subject):
    """MiB of resident memory at the peak, minus those after loading the network and one plain pass."""

    name: ClassVar[str] = "memory"
    what: ClassVar[str] = "peak resident memory above the loaded network, one image, random weights"

    networks: tuple[str, ...] = ("resnet50",)
    ours_alone: bool = False
    repeats: int = 1
    seed: int = 0
    engine: str = "torch"

    def planned(self):
        """Return the number of rows."""
        return len(self.networks) * self.repeats

    def rows(self):
        """Yield the measurements of each network and repeat."""
        for network in self.networks:
            for repeat in range(self.repeats):
                measured = {}
                for one in (OURS,) if self.ours_alone else (OURS, PEER):
                    say(f"{self.name}: {network} {repeat + 1} of {self.repeats}: {one}")
                    measured[one] = asked(one.split()[0], network, self.seed, self.engine)
                    say(f"    {measured[one]}")
                keys = ("mib", "seconds", "channels")
                numbers = {key: {one: given[key] for one, given in measured.items()} for key in keys}
                yield {"image": f"random, repeat {repeat + 1}", "network": network, **numbers}

    def figures(self, rows):
        """Return the figures of each network."""
        return figures.by_network(rows, of)


def of(rows, network):
    """Return the figures of one network."""
    summary = []
    for name in rows[0]["mib"]:
        what = f"{name}, {network} with {rows[0]['channels'][name]:,} channels: peak memory"
        aims = {"highest": f"<= {AIMS[network]}"} if name == OURS and network in AIMS else None
        summary.append(figures.figure(what, [row["mib"][name] for row in rows], "MiB", aims=aims))
    return summary


def asked(contestant, network, seed, engine):
    """Return what a new process measures of itself."""
    command = [sys.executable, str(WORKER), contestant, network, str(seed), engine]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
