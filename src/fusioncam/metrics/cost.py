"""The cost of a method's heatmaps: time, forward passes and memory, measured by computing them again."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import ClassVar

import torch
from torch import Tensor

from fusioncam.errors import require_known
from fusioncam.inference.cache import memoize_pass
from fusioncam.inference.costs import count_passes
from fusioncam.methods.base import Method
from fusioncam.metrics.base import Metric, regenerate, validate_heatmaps
from fusioncam.metrics.passes import MetricPasses
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, Targets, as_targets

QUANTITIES = ("seconds", "passes", "partial passes", "peak memory")


@dataclass(frozen=True)
class Cost(Metric):
    """Cost: what the heatmap of each image takes when it is computed alone.

    ``quantity`` is "seconds" of wall time, whole "passes", "partial passes" (those that start at the layer, see
    :class:`fusioncam.inference.counters.PassCounter`), or "peak memory": the largest number of MiB in use, beyond
    those in use before. On a GPU that is the memory of tensors, and the peak statistics are reset. On a CPU it is the
    resident memory of the whole process, including other threads, to within some MiB; it is measured on Linux only
    and NaN elsewhere.

    Each image is measured once, after one warm-up run. Within :mod:`fusioncam.inference.cache` all quantities of one
    method and batch come from one measurement.
    """

    family: ClassVar[str] = "cost"
    higher_is_better: ClassVar[bool] = False
    needs_method: ClassVar[bool] = True
    cost: ClassVar[MetricPasses] = MetricPasses(methods=1)

    quantity: str = "seconds"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("quantity", self.quantity, QUANTITIES)

    def values(self, model: ExplainedModel, x: Tensor, target: Target, heatmaps: Tensor, method: Method) -> Tensor:
        """Return the quantity for each image ``(N,)``."""
        heatmaps = validate_heatmaps(heatmaps, x)
        return measured(method, model, x, target)[:, QUANTITIES.index(self.quantity)].to(heatmaps)


@memoize_pass
def measured(method: Method, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Return the cost of each image's heatmap ``(N, 4)``, in the order of ``QUANTITIES``."""
    targets = as_targets(target, x)
    regenerate(method, model, x[:1].clone(), targets[:1])  # work that is done only once is not a cost of an image
    return torch.stack([_measure_one(method, model, x[n : n + 1], targets[n : n + 1]) for n in range(len(x))])


def _measure_one(method: Method, model: ExplainedModel, x: Tensor, target: Targets) -> Tensor:
    # the cache identifies tensors by identity: a copy is never found in it
    x = x.clone()
    peak = _start_memory_peak(model.device)
    with count_passes() as counter:
        start = perf_counter()
        regenerate(method, model, x, target)
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        seconds = perf_counter() - start
    return torch.tensor([seconds, counter.passes, counter.partial, peak() / 2**20], dtype=torch.float64)


def _start_memory_peak(device: torch.device) -> Callable[[], float]:
    """Return a function for the largest number of bytes in use from now on, beyond those in use now."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        return lambda: torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu" or not _reset_resident_peak():
        return lambda: torch.nan
    resident = _status("VmRSS")
    return lambda: max(0, _status("VmHWM") - resident)


def _reset_resident_peak() -> bool:
    """Reset the peak of this process's resident memory; return whether Linux and glibc allow it."""
    try:
        # freed memory that the allocator kept would be reused and seem to cost nothing
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError, TypeError):
        return False
    return sys.platform == "linux"


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
