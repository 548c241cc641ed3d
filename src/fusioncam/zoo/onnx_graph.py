"""The computation in an ONNX file, from its input or any of its tensors to others, by ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusioncam.errors import LayerError, ShapeError, WeightsError
from fusioncam.utils.optional import extra
from fusioncam.utils.recent import Recent

_DTYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}
# parts of the graph that are kept ready to run
_SESSIONS = 8
# their outputs are rearranged or reduced maps, and those of projections in other spaces
_NO_LAYERS = {
    *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Dropout", "Split", "Slice"),
    *("Gather", "Expand", "MaxPool", "AveragePool", "LpPool", "ReduceMean", "ReduceMax", "ReduceSum", "MatMul"),
    *("GlobalAveragePool", "GlobalMaxPool", "Gemm", "DequantizeLinear", "QuantizeLinear"),
}
# their outputs have channels first
_CONVOLUTIONS = {"Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "GroupNormalization"}


class OnnxGraph:
    """The graph of an ONNX file with one input, ``image``, whose first output is ``scores``.

    ``shape`` is the input's: integers, and names or None for sides of any length. ``rows`` is the only batch size
    that the file takes, None for any. ``tensors`` are the names of those between image and scores that may be feature
    maps, in the order of computation, and ``convolved`` those that have channels first for certain.

    Raises :class:`WeightsError` for a file that ONNX Runtime cannot load, or with other inputs.
    """

    def __init__(self, file: str | Path) -> None:
        self._onnx, self._runtime = (
            extra("onnx", module, "networks in ONNX files") for module in ("onnx", "onnxruntime")
        )
        if not Path(file).is_file():
            raise WeightsError(f"{file}: no such file: onnx:FILE names a local file such as model.onnx")
        try:
            whole = self._started(str(file))
            model = self._onnx.shape_inference.infer_shapes(self._onnx.load(str(file)))
        except Exception as error:  # the runtime raises many kinds of errors for damaged files
            raise WeightsError(f"{file}: ONNX Runtime cannot load it: {error}") from None
        first, *others = whole.get_inputs()
        if others or first.type not in _DTYPES:
            names = ", ".join(f"{one.name} {one.type}" for one in (first, *others))
            raise WeightsError(f"{file}: it must have one input of float32, got {names}: export it so")
        self.image, self.shape = str(first.name), tuple(first.shape)
        self.scores = str(whole.get_outputs()[0].name)
        self.rows = self.shape[0] if self.shape and isinstance(self.shape[0], int) else None
        self._extractor, self.tensors = self._opened(model)
        self.convolved = _outputs(model.graph, _CONVOLUTIONS).intersection(self.tensors)
        self._sessions = Recent[tuple[tuple[str, ...], tuple[str, ...]], Any](_SESSIONS)
        self._sessions.get(((self.scores,), (self.image,)), lambda: whole)

    def __deepcopy__(self, memo: object) -> OnnxGraph:
        """Return the graph itself: it does not change, and sessions cannot be copied."""
        return self

    def run(self, wanted: Sequence[str], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the wanted tensors, computed from given ones in the place of those of the graph.

        A given tensor of one row is repeated for the rows of the others. Raises :class:`ShapeError` for tensors that
        the graph does not take, and :class:`LayerError` if the part of the graph cannot be run by itself.
        """
        session = self._sessions.get((tuple(wanted), tuple(given)), lambda: self._part(wanted, list(given)))
        rows = max(map(len, given.values()))
        size = self.rows or rows
        dtypes = {one.name: _DTYPES[one.type] for one in session.get_inputs()}
        arrays = {name: _padded(given[name], rows, size).to("cpu", dtype).numpy() for name, dtype in dtypes.items()}
        try:
            parts = [
                session.run(list(wanted), {name: array[start : start + size] for name, array in arrays.items()})
                for start in range(0, rows, size)
            ]
        except Exception as error:  # a class of the runtime
            shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in given.items())
            raise ShapeError(f"the ONNX file with the input {self.shape} fails on {shapes}: {error}") from None
        padded = -(-rows // size) * size
        whole = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        return {
            name: torch.from_numpy(array[: len(array) * rows // padded])
            for name, array in zip(wanted, whole, strict=True)
        }

    def _started(self, model: str | bytes) -> Any:
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3  # errors, which are raised too
        return self._runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _part(self, wanted: Sequence[str], given: Sequence[str]) -> Any:
        try:
            return self._started(self._extractor.extract_model(list(given), list(wanted)).SerializeToString())
        except Exception as error:  # as for files
            names = ", ".join(name for name in (*given, *wanted) if name not in (self.image, self.scores))
            raise LayerError(f"ONNX Runtime cannot compute {names} of the ONNX file: {error}") from None

    def _opened(self, model: Any) -> tuple[Any, tuple[str, ...]]:
        """Return what extracts parts of the graph, and the names of the tensors that may be feature maps.

        The shapes of tensors are removed, as they hold for the batch size of the export only.
        """
        graph = model.graph
        kinds = {info.name: info.type.tensor_type for info in graph.value_info}
        names = [name for name in self._between(graph) if _is_floating(kinds.get(name), self._onnx.TensorProto)]
        shaped = [name for name in names if len(kinds[name].shape.dim) > 2]
        infos = [self._onnx.helper.make_tensor_value_info(name, kinds[name].elem_type, None) for name in shaped]
        del graph.value_info[:]
        graph.value_info.extend(infos)
        for output in graph.output:
            output.type.tensor_type.ClearField("shape")
        return self._onnx.utils.Extractor(model), tuple(shaped)

    def _between(self, graph: Any) -> list[str]:
        """Return the outputs of operations that depend on the image, and that the scores depend on."""
        later, needed = {self.image}, {self.scores}
        for node in graph.node:
            later.update(node.output if later.intersection(node.input) else ())
        for node in reversed(graph.node):
            needed.update(node.input if needed.intersection(node.output) else ())
        products = _outputs(graph, {"MatMul"})
        layers = [
            node for node in graph.node if not (node.op_type in _NO_LAYERS or _adds_bias(node, products, later))
        ]
        return [name for node in layers for name in node.output if name in later & needed]


def _outputs(graph: Any, operations: Set[str]) -> set[str]:
    """Return the outputs of all operations of some kinds."""
    return {name for node in graph.node if node.op_type in operations for name in node.output}


def _adds_bias(node: Any, products: set[str], later: set[str]) -> bool:
    """Return whether an operation adds a constant to a matrix product."""
    return node.op_type == "Add" and bool(products & set(node.input)) and not later.issuperset(node.input)


def _is_floating(kind: Any, types: Any) -> bool:
    return kind is not None and kind.elem_type in (types.FLOAT, types.FLOAT16, types.DOUBLE)


def _padded(tensor: Tensor, rows: int, size: int) -> Tensor:
    """Return a tensor with so many rows, and its last row repeated up to a multiple of ``size``."""
    tensor = tensor.detach()
    tensor = tensor.expand(rows, *tensor.shape[1:]) if len(tensor) == 1 else tensor
    missing = -len(tensor) % size
    return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])]) if missing else tensor.contiguous()
