"""Measure what it takes to convert a network to OpenVINO, with nothing stored and with a stored copy (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import ClassVar
from unittest.mock import patch

import torch

import figures
from harness import Source, Subject, timed
from meta import say

JOBS = 512  # passes that are planned when the network is converted
EMPTY, FILLED = "convert, nothing is stored", "load the stored conversion"


@dataclass(frozen=True)
class Conversion(Subject):
    """A row is a repeat: the seconds until passes can run, with nothing stored and then with the stored copy."""

    name: ClassVar[str] = "conversion"
    what: ClassVar[str] = "seconds until passes can run in OpenVINO, float32"

    model: str = "efficientnet_lite0"
    layer: str = "bn2"
    repeats: int = 3
    engine: str = "openvino"

    def planned(self):
        """Return the number of rows."""
        return self.repeats

    def rows(self):
        """Yield the measurements of each repeat."""
        for repeat in range(self.repeats):
            with TemporaryDirectory() as folder, patch.dict(os.environ, XDG_CACHE_HOME=folder):
                seconds = {name: self.converted() for name in (EMPTY, FILLED)}
            say(f"{self.name}: {repeat + 1} of {self.repeats}: {seconds}")
            yield {"image": f"random, repeat {repeat + 1}", "seconds": seconds}

    def converted(self):
        """Return the seconds of a network that was just loaded."""
        model = Source(self.model, self.layer, engine=self.engine).load()
        x = torch.rand(1, 3, *model.preprocessing.size)
        model.logits(x)

        def ready():
            with model.runner.exclusive_replicas(x, JOBS):
                pass

        return timed(ready)[0]

    def figures(self, rows):
        """Return the figures."""
        return [figures.figure(name, [row["seconds"][name] for row in rows], "s") for name in (EMPTY, FILLED)]
