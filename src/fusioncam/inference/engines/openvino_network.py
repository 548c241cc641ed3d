"""A network compiled by OpenVINO for single inputs of one shape.

Inputs of a batch run one after the other: that is as fast as batches of two or four or faster, needs less memory for
activations, and a batch of any size runs without padding. See ``benchmarks/README.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fusioncam.inference.engines.openvino_import import core


class OpenVinoNetwork:
    """A compiled copy of a network for inputs (1, C, *s), with several requests that can run at the same time.

    ``dtype`` is that of convolutions and products: float32 or bfloat16. Inputs and outputs are float32.
    """

    def __init__(self, model: Any, requests: int, threads: int, dtype: torch.dtype = torch.float32) -> None:
        compiled = core().compile_model(model, "CPU", properties(requests, threads, dtype))
        self.calls: list[Callable[[Tensor], Tensor]] = [
            _Call(compiled.create_infer_request()) for _ in range(requests)
        ]


def properties(requests: int, threads: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return OpenVINO's settings for this many parallel requests."""
    return {
        # without a hint OpenVINO computes in bfloat16 where the processor can
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
        "NUM_STREAMS": requests,
        "INFERENCE_NUM_THREADS": threads,
        # other processes on this machine would be pinned to the same cores
        "ENABLE_CPU_PINNING": False,
    }


class _Call:
    """Run one request; not for several threads at once."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits ``(B, classes)`` of inputs ``(B, C, *s)``."""
        return torch.cat([self._run(one) for one in torch.split(x.contiguous(), 1)])

    def _run(self, x: Tensor) -> Tensor:
        self._request.infer([x.numpy()], share_inputs=True, share_outputs=True)
        # copied, because the next call overwrites the buffer
        return torch.from_numpy(self._request.get_output_tensor().data).clone()
