"""Measure the command line on one image, from the start of the process to its end, with all caches filled."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import figures
from harness import Subject, chosen, in_turn
from meta import say

TORCH = "python -c 'import torch'"
AIMS = {"fusion-cam": 6, "fusion-cam(budget=64)": 3, "grad-cam": None}  # seconds


@dataclass(frozen=True)
class Start(Subject):
    """A row is a repeat: each method explains one image in a process of its own. The first run is not timed."""

    name: ClassVar[str] = "start"
    what: ClassVar[str] = "a second `fusioncam explain IMAGE`, wall time of the whole process"

    images: Path | None = None
    repeats: int = 5
    engine: str = "auto"

    def planned(self):
        """Return the number of rows."""
        return self.repeats

    def rows(self):
        """Yield the measurements of each repeat."""
        (image,) = chosen(self.images, 1)
        with TemporaryDirectory() as folder:
            commands = {TORCH: ["-c", "import torch"]} | {
                named(method): self.command(image, method, Path(folder, str(number)))
                for number, method in enumerate(AIMS)
            }
            contestants = {name: partial(run, words) for name, words in commands.items()}
            in_turn(contestants)
            for repeat in range(self.repeats):
                say(f"{self.name}: {repeat + 1} of {self.repeats}")
                yield {"image": image.name, "seconds": in_turn(contestants, repeat)[0]}

    def command(self, image, method, out):
        """Return the words after the name of the interpreter."""
        words = ["-m", "fusioncam", "explain", str(image), "--method", method, "--out", str(out)]
        return [*words, "--engine", self.engine, "--quiet"]

    def figures(self, rows):
        """Return the figures of each method."""
        summary = [figures.figure(TORCH, seconds(rows, TORCH), "s")]
        for method, aim in AIMS.items():
            aims = aim and {"median": f"<= {aim}"}
            ratios = figures.ratios(rows, named(method), TORCH)
            summary.append(figures.figure(named(method), seconds(rows, named(method)), "s", aims=aims))
            summary.append(figures.figure(f"{named(method)}: times as long as {TORCH}", ratios, "x"))
        return summary


def named(method):
    return f"fusioncam explain IMAGE -m {method}"


def seconds(rows, name):
    return [row["seconds"][name] for row in rows]


def run(words):
    """Run Python with the bytecode of all packages, which the first run writes as an installation does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *words], check=True, env=environment, stdout=subprocess.DEVNULL)
