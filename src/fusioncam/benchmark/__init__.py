"""Measure methods on images; results are stored row by row and never lost."""

from fusioncam.benchmark.api import benchmark, gathered
from fusioncam.benchmark.plan import Plan, as_plan, presets
from fusioncam.benchmark.runner import BenchmarkResult, run
from fusioncam.distributed.progress import ProgressListener

__all__ = ["BenchmarkResult", "Plan", "ProgressListener", "as_plan", "benchmark", "gathered", "presets", "run"]
