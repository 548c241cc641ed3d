"""Run small benchmarks, listen to them, and let methods fail in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from fusioncam.benchmark.api import benchmark
from fusioncam.distributed.progress import ProgressListener

BASELINES = ["ones", "center", "random"]


def benchmark_rows(data, out, methods=("grad-cam",), metrics=("average-drop",), **settings):
    """Run a benchmark on the small network, and return its rows."""
    settings = {"models": ["samples:small"], "methods": list(methods), "metrics": list(metrics)} | settings
    return pd.read_parquet(benchmark(data, out=out, **settings))


class Recorder(ProgressListener):
    """A listener that keeps what it receives."""

    def __init__(self):
        self.kinds, self.counts, self.jobs, self.rows, self.notes, self.plans = [], [], [], [], [], []

    def dataset_found(self, data, kind):
        """Keep the kind of the data set."""
        self.kinds.append(kind)

    def started(self, *counts):
        """Keep the counts."""
        self.counts.append(counts)

    def planned(self, plan):
        """Keep the plan, and how many images were started before."""
        self.plans.append((plan(), len(self.jobs)))

    def job_started(self, name):
        """Keep the image."""
        self.jobs.append(name.split(": ")[-1])

    def rows_finished(self, rows):
        """Keep the rows."""
        self.rows += rows

    def note(self, text):
        """Keep the text."""
        self.notes.append(text)


@dataclass(frozen=True)
class Unreliable:
    """A method that returns random heatmaps and fails in some calls, whose numbers a test may set."""

    fails: ClassVar[set[int]] = set()
    calls: ClassVar[list[int]] = []

    def __call__(self, model, x, target):
        """Return random heatmaps, or fail."""
        self.calls.append(len(self.calls))
        if len(self.calls) - 1 in self.fails:
            raise KeyError("weights")
        return torch.rand(len(x), *x.shape[2:])
