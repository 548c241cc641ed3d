"""Networks in ONNX files, run by ONNX Runtime: their tensors are layers, but nothing has gradients."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from fusioncam.data.preprocessing import Preprocessing
from fusioncam.errors import ShapeError
from fusioncam.inference.hooks import has_hooks
from fusioncam.inference.layer_points import add_layer_point
from fusioncam.zoo.onnx_graph import OnnxGraph


class OnnxNetwork(nn.Module):
    """The first input and the first output of an ONNX file, as a network on the CPU.

    The layers are the tensors of the file that may be feature maps, and have the file's names, such as
    ``/layer4/layer4.1/relu_1/Relu_output_0`` (Netron shows them). They can be read and replaced, and have no
    gradients.

    Raises :class:`WeightsError` for a file that ONNX Runtime cannot load, or whose other inputs have no default.
    """

    is_onnx_file = True

    def __init__(self, file: str | Path) -> None:
        super().__init__()
        self._graph = OnnxGraph(file)
        self._layers = {name: add_layer_point(self, name) for name in self._graph.tensors}
        for name in self._graph.convolved:
            self._layers[name].kind = nn.Conv2d  # or another one with channels first

    @property
    def shape(self) -> tuple[int | str | None, ...]:
        """The shape of the input in the file, with names or None for sides of any length."""
        return self._graph.shape

    def forward(self, x: Tensor) -> Tensor:
        """Return the first output for images ``(N, C, *s)``; a file for single images runs once for each.

        Raises :class:`ShapeError` for images that the file does not take.
        """
        self._require_fitting(x)
        graph, given = self._graph, {self._graph.image: x}
        read = [name for name, layer in self._layers.items() if has_hooks(layer)]
        found = graph.run([graph.scores, *read], given)
        for position, name in enumerate(read, 1):
            replaced = self._layers[name](found[name])
            if not torch.equal(replaced, found[name]):
                given[name] = replaced
                found |= graph.run([graph.scores, *read[position:]], given)
        return found[graph.scores].to(x.device)

    def _require_fitting(self, x: Tensor) -> None:
        sides = zip(self.shape[1:], x.shape[1:], strict=False)
        if len(self.shape) != x.dim() or any(isinstance(side, int) and side != got for side, got in sides):
            raise ShapeError(f"the ONNX file takes {self._graph.image} {self.shape}, got x {tuple(x.shape)}")


def preprocessing_of(network: OnnxNetwork) -> Preprocessing | None:
    """Return the usual preprocessing for the size and the channels that the file states; None if it states none."""
    sides = [side for side in network.shape[1:] if isinstance(side, int) and side > 0]
    if len(network.shape) != 4 or len(sides) != 3:
        return None
    channels, height, width = sides
    usual = Preprocessing.for_channels(channels)
    return Preprocessing((height, width), max(height, width) * 8 // 7, mean=usual.mean, std=usual.std)
