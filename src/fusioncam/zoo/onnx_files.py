"""Networks in ONNX files, run by ONNX Runtime: they have scores, but no layers and no gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import WeightsError
from fusioncam.utils.optional import extra


class OnnxNetwork(nn.Module):
    """The first input and the first output of an ONNX file, as a network of float32 on the CPU.

    Raises :class:`WeightsError` for a file that ONNX Runtime cannot load, or whose other inputs have no default.
    """

    kind_without_hooks = "an ONNX file"

    def __init__(self, file: str | Path) -> None:
        super().__init__()
        runtime = extra("onnx", "onnxruntime", "networks in ONNX files")
        if not Path(file).is_file():
            raise WeightsError(f"{file}: no such file: onnx:FILE names a local file such as model.onnx")
        try:
            self._session: Any = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises many kinds of errors for damaged files
            raise WeightsError(f"{file}: ONNX Runtime cannot load it: {error}") from None
        first, *others = self._session.get_inputs()
        if others or first.type != "tensor(float)":
            names = ", ".join(f"{one.name} {one.type}" for one in (first, *others))
            raise WeightsError(f"{file}: it must have one input of float32, got {names}: export it so")
        self._input, self.shape = first.name, tuple(first.shape)
        self._output = self._session.get_outputs()[0].name

    def forward(self, x: Tensor) -> Tensor:
        """Return the first output for images ``(N, C, *s)``; a file for single images runs once for each."""
        single = self.shape[:1] == (1,)
        rows = [self._run(one) for one in (torch.split(x, 1) if single else [x])]
        return torch.cat(rows).to(x.device)

    def _run(self, x: Tensor) -> Tensor:
        (output,) = self._session.run([self._output], {self._input: x.detach().float().cpu().numpy()})
        return torch.from_numpy(output)


def preprocessing_of(network: OnnxNetwork) -> Preprocessing | None:
    """Return the usual preprocessing for the size and the channels that the file states; None if it states none."""
    sides = network.shape[1:]
    if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        return None
    usual = Preprocessing.for_channels(sides[0])
    return Preprocessing(sides[1:], max(sides[1:]) * 8 // 7, mean=usual.mean, std=usual.std)
