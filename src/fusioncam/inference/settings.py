"""Settings of masked passes, and their defaults for the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fusioncam.errors import SettingError, require_count, require_known

PRECISIONS = ("exact", "bfloat16", "float16", "auto")
ENGINES = ("auto", "torch", "openvino")

# batch sizes to try. On a CPU small batches stay in the cache, and a single size keeps memory small and the scores
# identical from call to call: see benchmarks/README.md
_CPU_SIZES, _GPU_SIZES = (4,), (64, 128, 256)
# conservative estimates for a GPU: the share of a pass that compiling saves, and the seconds that compiling takes.
# On a CPU, compiling saves nothing in addition to folding, see benchmarks/README.md
_COMPILING_SAVES, _COMPILING_SECONDS = 0.1, 40.0
# folding takes as long as about four passes, and makes each a sixth shorter. On a GPU it saves nothing with large
# batches, see benchmarks/README.md
_MIN_FOLDING_JOBS = 16
# more threads than this wait for Python's lock instead of computing
_MAX_WORKERS = 16


@dataclass(frozen=True)
class Speed:
    """How masked images are batched. The device decides on settings that are None; results differ by rounding only.

    A converted copy of the network is used only after a check that it returns the same scores.
    ``model.runner.engines.reason`` is why PyTorch runs. With the engine "openvino", a network that cannot be
    converted raises :class:`EngineError` when it runs.

    Args:
        chunk: the batch size.
        workers: the number of batches in parallel, on a CPU each in a thread with its own cores; 1 on a GPU.
        precision: of masked passes. "exact" is the network's own, "bfloat16" and "float16" compute convolutions and
            products in half precision, "auto" uses bfloat16 where the processor supports it;
            ``benchmarks/README.md`` states the loss of accuracy.
        compile: the network for one input shape: True always, "auto" on a GPU if that saves more time than it takes,
            False never.
        fold: every BatchNorm into the convolution before it for many passes on a CPU, if that leaves the scores
            unchanged.
        engine: runs masked passes on a CPU. "torch", or "openvino" for a converted copy of the network, which needs
            the extra ``fusioncam[openvino]``. "auto" converts a float32 network if OpenVINO is installed and the
            passes of this and earlier calls take longer than that, so scores may change by rounding between two
            calls; name an engine for identical ones.

    Raises:
        SettingError: for a value out of range.
        UnknownNameError: for an unknown precision or engine.

    Examples:
        ```python
        model = fc.ExplainedModel(network, speed=fc.Speed(chunk=16, workers=2, engine="torch"))
        heatmaps = fc.METHODS["score-cam"](model, x, target)
        ```
    """

    chunk: int | None = None
    workers: int | None = None
    precision: str = "exact"
    compile: bool | str = "auto"
    fold: bool = True
    engine: str = "auto"

    def __post_init__(self) -> None:
        for name in ("chunk", "workers"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name))
        require_known("precision", self.precision, PRECISIONS)
        require_known("engine", self.engine, ENGINES)
        if self.compile not in (True, False, "auto"):
            raise SettingError(f"compile must be True, False or 'auto', got {self.compile!r}")
        if self.fold not in (True, False):
            raise SettingError(f"fold must be True or False, got {self.fold!r}")

    def batch_sizes(self, device: torch.device) -> Sequence[int]:
        """Return the batch sizes to try."""
        if self.chunk is not None:
            return (self.chunk,)
        return _CPU_SIZES if device.type == "cpu" else _GPU_SIZES

    def worker_count(self, device: torch.device) -> int:
        """Return the number of batches in parallel."""
        if self.workers is not None:
            return self.workers
        return min(torch.get_num_threads(), _MAX_WORKERS) if device.type == "cpu" else 1

    def should_compile(self, device: torch.device, seconds: float) -> bool:
        """Return whether to compile for passes that would take this many seconds."""
        if self.compile != "auto":
            return self.compile is True
        return device.type != "cpu" and seconds * _COMPILING_SAVES > _COMPILING_SECONDS

    def should_fold(self, device: torch.device, jobs: int) -> bool:
        """Return whether to fold BatchNorms for this many passes."""
        return self.fold and device.type == "cpu" and jobs >= _MIN_FOLDING_JOBS

    def dtype(self, device: torch.device) -> torch.dtype | None:
        """Return the reduced precision of masked passes; None is the network's own."""
        if self.precision == "auto":
            return torch.bfloat16 if computes_bfloat16(device) else None
        return {"exact": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.precision]


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the processor itself computes in bfloat16, without conversion to float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
