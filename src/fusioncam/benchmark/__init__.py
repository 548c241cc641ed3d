"""Benchmarks: resumable measurements of methods and metrics on images."""

from fusioncam.benchmark.api import benchmark, collect_results
from fusioncam.benchmark.plan import Plan, as_plan, presets
from fusioncam.benchmark.runner import BenchmarkResult, run
from fusioncam.distributed.progress import ProgressListener

__all__ = ["BenchmarkResult", "Plan", "ProgressListener", "as_plan", "benchmark", "collect_results", "presets", "run"]
