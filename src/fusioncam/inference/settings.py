"""How the many passes of a region method are made: settings, and what this machine does where nobody sets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fusioncam.errors import require_count, require_known

PRECISIONS = ("exact", "bfloat16", "float16", "auto")

# images a pass that are tried. On a CPU small chunks stay in the cache, and one size for all keeps memory small and
# scores the same at every call: see benchmarks/README.md
_CPU_CHUNKS, _GPU_CHUNKS = (4,), (64, 128, 256)
# by what share compiling shortens a pass on a GPU, and how many seconds it takes: guesses on the safe side. On a CPU
# it was measured to save nothing beyond folding, see benchmarks/README.md
_COMPILED_SAVES, _COMPILING_TAKES = 0.1, 40.0
# folding takes as long as some four passes, and shortens each by a sixth. On a GPU it was measured to save nothing
# where a chunk is large, see benchmarks/README.md
_WORTH_FOLDING = 16
# more threads than this wait for Python's lock rather than compute
_MOST_WORKERS = 16


@dataclass(frozen=True)
class Speed:
    """How masked images go through the network. What is None is found out; nothing but rounding depends on it.

    ``chunk`` is how many go at once, ``workers`` how many chunks side by side (each in a thread with processor
    cores of its own; 1 on a GPU). ``precision`` is that of masked passes: "exact" is the network's own,
    "bfloat16" and "float16" compute convolutions and products in half of it, "auto" takes bfloat16 where the
    processor computes with it; what that costs in accuracy tells ``benchmarks/README.md``. ``compile`` has torch
    compile the network for one shape: True at once, "auto" on a GPU when the time that it saves is longer than that
    it takes, False never. ``fold`` puts every BatchNorm into the convolution before it where many passes come on a
    CPU, if that was seen to leave the scores alone.
    """

    chunk: int | None = None
    workers: int | None = None
    precision: str = "exact"
    compile: bool | str = "auto"
    fold: bool = True

    def __post_init__(self) -> None:
        for name in ("chunk", "workers"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name))
        require_known("precision", self.precision, PRECISIONS)
        require_known("choice of compile", self.compile, (True, False, "auto"))
        require_known("choice of fold", self.fold, (True, False))

    def sizes(self, device: torch.device) -> Sequence[int]:
        """Give the chunk, or those worth trying."""
        if self.chunk is not None:
            return (self.chunk,)
        return _CPU_CHUNKS if device.type == "cpu" else _GPU_CHUNKS

    def side_by_side(self, device: torch.device) -> int:
        """Give how many chunks go at once."""
        if self.workers is not None:
            return self.workers
        return min(torch.get_num_threads(), _MOST_WORKERS) if device.type == "cpu" else 1

    def compiles(self, device: torch.device, seconds: float) -> bool:
        """Say whether to compile for passes that would take so many seconds."""
        if self.compile != "auto":
            return self.compile is True
        return device.type != "cpu" and seconds * _COMPILED_SAVES > _COMPILING_TAKES

    def folds(self, device: torch.device, jobs: int) -> bool:
        """Say whether so many passes are worth folding for."""
        return self.fold and device.type == "cpu" and jobs >= _WORTH_FOLDING

    def dtype(self, device: torch.device) -> torch.dtype | None:
        """Give the reduced precision of masked passes; None is the network's own."""
        if self.precision == "auto":
            return torch.bfloat16 if computes_bfloat16(device) else None
        return {"exact": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.precision]


def computes_bfloat16(device: torch.device) -> bool:
    """Say whether the processor itself computes with bfloat16, rather than by way of float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
