"""Convert a network to a model of OpenVINO."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.errors import EngineError
from fusioncam.inference.engines.openvino_import import openvino
from fusioncam.utils.quiet import ignoring

# from a network and its inputs (B, C, *s) to the logits (B, classes)
Forward = Callable[[nn.Module, Tensor], Tensor]


class _LogitsOnly(nn.Module):
    """A network that returns its logits as one tensor."""

    def __init__(self, traced: nn.Module, run: Forward) -> None:
        super().__init__()
        self.traced, self._run = traced, run
        self.training = False  # of this module alone

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``(B, classes)``."""
        return self._run(self.traced, x)


def convert(network: nn.Module, forward: Forward, example: Tensor) -> Any:
    """Return the ``openvino.Model`` of the network for inputs of exactly the example's shape.

    Its constants share the memory of the parameters. Raises :class:`EngineError` that names the operators without a
    counterpart.
    """
    openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    try:
        with ignoring():
            # about sizes that become constants: they are constant, since inputs always have the example's shape
            record: Any = torch.jit.trace
            traced = record(_LogitsOnly(network, forward), example, check_trace=False, strict=False)
            decoder = TorchScriptPythonDecoder(traced, example_input=(example,))
            frontend = FrontEndManager().load_by_framework("pytorch")
            model = frontend.convert(frontend.load(decoder))
        model.reshape(list(example.shape))
    except Exception as error:  # a foreign module, the tracer or OpenVINO may raise anything
        raise EngineError(f"OpenVINO cannot convert {type(network).__name__}: {conversion_failure(error)}") from None
    return model


def conversion_failure(error: Exception) -> str:
    """Return in one line why a conversion failed: the operators that OpenVINO lacks, or the end of the message."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip(" -")]
    missing = re.search(r"No conversion rule found for operations: ([^\n]+)", str(error))
    failed = re.findall(r"(?:aten|prim|quantized|torchvision|\w+)::\w+ with a message", str(error))
    if missing or failed:
        names = missing.group(1) if missing else ", ".join(one.split()[0] for one in dict.fromkeys(failed))
        return f"it has no counterpart of the operator {names.strip()}"
    return lines[-1] if lines else type(error).__name__
