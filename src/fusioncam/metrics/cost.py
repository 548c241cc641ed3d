"""What a method's heatmaps cost: time, passes, memory, measured by making them once again."""

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

from fusioncam.data.ground_truth import Truth
from fusioncam.errors import require_known
from fusioncam.inference.cache import memoize_pass
from fusioncam.inference.costs import count_passes
from fusioncam.methods.base import Method
from fusioncam.metrics.base import regenerate, require_method, validate_heatmaps
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, as_targets

QUANTITIES = ("seconds", "passes", "partial passes", "peak memory")


@dataclass(frozen=True)
class Cost:
    """What the heatmap of each image costs when it is made alone.

    ``quantity`` is "seconds" of wall time, whole "passes" or "partial passes" (those that start at the layer, see
    :class:`fusioncam.inference.counters.PassCounter`), or "peak memory": the MiB in use at the worst moment beyond those in use before.
    That is what the GPU's tensors take, whose peak statistics are set back for it; on a CPU it is resident memory of
    the whole process, measured on Linux alone and NaN elsewhere. It is known to some MiB, and other threads' memory
    counts too.

    Each image is measured once, behind one that warms up. Within :func:`fusioncam.inference.cache` all quantities of one
    method and batch come of one measurement.
    """

    family: ClassVar[str] = "cost"
    higher_is_better: ClassVar[bool] = False
    paper: ClassVar[str] = ""
    needs_truth: ClassVar[bool] = False
    needs_method: ClassVar[bool] = True
    shares_objective: ClassVar[tuple[str, ...]] = ()
    cost: ClassVar[str] = "M"

    quantity: str = "seconds"

    def __post_init__(self) -> None:
        require_known("quantity", self.quantity, QUANTITIES)

    def __call__(
        self,
        model: ExplainedModel,
        x: Tensor,
        target: Target,
        heatmaps: Tensor,
        truth: Truth | None = None,
        method: Method | None = None,
    ) -> Tensor:
        """Give the quantity for each image ``(N,)``."""
        heatmaps = validate_heatmaps(heatmaps, x)
        spent = measured(require_method(self, method), model, x, target)
        return spent[:, QUANTITIES.index(self.quantity)].to(heatmaps)


@memoize_pass
def measured(method: Method, model: ExplainedModel, x: Tensor, target: Target) -> Tensor:
    """Give what each image's heatmap costs ``(N, 4)``, in the order of ``QUANTITIES``."""
    targets = as_targets(target, x)
    regenerate(method, model, x[:1].clone(), targets[:1])  # whatever is only done once is no cost of an image
    return torch.stack([_spent(method, model, x[n : n + 1], targets[n : n + 1]) for n in range(len(x))])


def _spent(method: Method, model: ExplainedModel, x: Tensor, target: Tensor) -> Tensor:
    # a copy, for answers are remembered by which tensor was asked about
    x = x.clone()
    peak = _watched_memory(model.device)
    with count_passes() as meter:
        begin = perf_counter()
        regenerate(method, model, x, target)
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        seconds = perf_counter() - begin
    return torch.tensor([seconds, meter.passes, meter.partial, peak() / 2**20], dtype=torch.float64)


def _watched_memory(device: torch.device) -> Callable[[], float]:
    """Give what will tell the bytes in use at the worst moment from now, beyond those in use now."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        return lambda: torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu" or not _set_back_peak():
        return lambda: torch.nan
    resident = _status("VmRSS")
    return lambda: max(0, _status("VmHWM") - resident)


def _set_back_peak() -> bool:
    """Begin a new peak of this process's resident memory, if Linux and glibc let us."""
    try:
        # memory that was freed and kept would be used again and seem to cost nothing
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError, TypeError):
        return False
    return sys.platform == "linux"


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
