"""Measure methods on images; results are stored row by row and never lost."""

from fusioncam.benchmark.api import benchmark, gathered
from fusioncam.benchmark.plan import Plan, as_plan, presets
from fusioncam.benchmark.runner import Outcome, Watch, run

__all__ = ["Outcome", "Plan", "Watch", "as_plan", "benchmark", "gathered", "presets", "run"]
