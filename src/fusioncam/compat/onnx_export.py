"""A network and its heatmaps as one ONNX file, for programs without PyTorch: outputs ``scores`` and ``heatmaps``."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.errors import EngineError, MethodError, SettingError, ShapeError
from fusioncam.functional.heatmaps import minmax, precise, upsample
from fusioncam.inference import hooks
from fusioncam.methods.ablation import ReciproCAM, SingleLocation
from fusioncam.methods.base import Method
from fusioncam.methods.gradient import CAM
from fusioncam.methods.registry import as_method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.layouts import Layout
from fusioncam.model.parameters import class_weights
from fusioncam.model.recording import Record
from fusioncam.utils.files import write_file
from fusioncam.utils.optional import extra

# largest difference of the file's outputs from those of PyTorch, for heatmaps in [0, 1] and relative to the scores
TOLERANCE = 1e-4


def export_onnx(
    model: ExplainedModel, x: Tensor, path: str | Path, method: str | Method = "cam", *, opset: int = 18
) -> Path:
    """Write an ONNX file that explains the predicted class of one image like ``x`` ``(1, C, H, W)``.

    Its input is ``image``, normalised as ``x`` is, and its outputs are ``scores`` ``(1, classes)`` and ``heatmaps``
    ``(1, H, W)`` in [0, 1]. ``method`` is "cam", for networks with a linear layer after the average of the maps, or
    "recipro-cam", whose passes start at the layer: the part of the network before it runs once. ONNX Runtime runs the
    file for ``x`` and for its mirror image, and the outputs must be those of PyTorch.

    Raises :class:`MethodError` for other methods and for networks that the method does not support,
    :class:`ShapeError` for several images, :class:`SettingError` for a file name without .onnx, and
    :class:`EngineError` for a network that cannot be exported.
    """
    if len(x) != 1:
        raise ShapeError(f"expected one image x (1, C, H, W), got {tuple(x.shape)}")
    if Path(path).suffix.lower() != ".onnx":
        raise SettingError(f"expected the name of a file that ends in .onnx, got '{Path(path).name}'")
    chosen = as_method(method)[1]
    if not isinstance(chosen, (CAM, ReciproCAM)):
        raise MethodError(f"an ONNX file can hold cam and recipro-cam, which need one pass, got {chosen!r}")
    _, runtime = (extra("onnx", module, "ONNX files") for module in ("onnx", "onnxruntime"))
    graph = _Graph(model, x, chosen)
    with model.runner.exclusive_eval(grad=False):
        written = _exported(graph, model.runner.validate_input(x), opset)
    session = runtime.InferenceSession(written, providers=["CPUExecutionProvider"])
    for image in (x, x.flip(-1)):
        _require_equal(session, model, chosen, image)
    write_file(Path(path), written)
    return Path(path)


class _Graph(nn.Module):
    """The network with the scores and the heatmap of the predicted class as outputs."""

    def __init__(self, model: ExplainedModel, x: Tensor, method: CAM | ReciproCAM) -> None:
        super().__init__()
        layer = method.layer or model.layers.default(x)
        record = model.record(x, model.logits(x).argmax(1), layer)
        self.network, self._model, self._layer, self._method = model.network, model, layer, method
        self._layout = self._layout_for(x)
        self._weights = class_weights(model, record) if isinstance(method, CAM) else None
        self._alone = self._changes(record)

    def _layout_for(self, x: Tensor) -> Layout:
        model, layer = self._model, self._layer
        with hooks.capture(model.network, [layer], model.layers.readings) as outputs:
            model.logits(x)
        return model.layers.layout(layer, outputs[layer][0].shape, model.runner.validate_input(x))

    def _changes(self, record: Record) -> SingleLocation | None:
        if not isinstance(self._method, ReciproCAM):
            return None
        return SingleLocation(record.activations, spread=self._method.spread == "gaussian")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``scores`` ``(1, classes)`` and ``heatmaps`` ``(1, *s)``."""
        kept: list[Tensor] = []

        def change(output: Tensor) -> Tensor:
            kept.append(self._layout.maps(output))
            if self._alone is None:
                return output
            which = torch.arange(self._alone.shape[0])
            return torch.cat([output, self._layout.output(self._alone(kept[0][0], which), output)])

        rows = 1 + (0 if self._alone is None else self._alone.shape[0])
        with hooks.replace_outputs(self.network, {self._layer: change}, self._model.layers.readings):
            logits = precise(self._model.runner(image, counted=False, rows=rows))
        cam = self._cam(precise(kept[0]), logits)
        return logits[:1], minmax(upsample(cam, image.shape[2:]))

    def _cam(self, maps: Tensor, logits: Tensor) -> Tensor:
        predicted = logits[:1].argmax(1)
        if self._weights is not None:
            weights = self._weights.index_select(0, predicted)
            return (maps * weights.reshape(1, -1, *[1] * (maps.dim() - 2))).sum(1)
        readout = self._method.readout if isinstance(self._method, ReciproCAM) else "logit"
        values = logits[1:].softmax(1) if readout == "probability" else logits[1:]
        return values.index_select(1, predicted).reshape(1, *maps.shape[2:])


def _exported(graph: nn.Module, x: Tensor, opset: int) -> bytes:
    """Return the ONNX file of a module; raise :class:`EngineError` if it cannot be exported."""
    buffer, fast = io.BytesIO(), torch.backends.mha.get_fastpath_enabled()
    names: Any = {"input_names": ["image"], "output_names": ["scores", "heatmaps"]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own
            torch.backends.mha.set_fastpath_enabled(False)  # ONNX has no such operation
            options: Any = {"opset_version": opset, "dynamo": False}
            torch.onnx.export(graph, (x,), buffer, **options, **names)  # type: ignore[arg-type] # a file is allowed too
    except Exception as error:  # the exporter may raise anything
        raise EngineError(f"the network cannot be exported to ONNX: {error}") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return buffer.getvalue()


def _require_equal(session: Any, model: ExplainedModel, method: Method, x: Tensor) -> None:
    """Raise :class:`EngineError` unless the file's outputs for an image are those of PyTorch."""
    scores, heatmaps = session.run(["scores", "heatmaps"], {"image": x.float().cpu().numpy()})
    logits = model.logits(x).float().cpu()
    expected = method(model, x, logits.argmax(1)).float().cpu()
    differences = (
        (torch.from_numpy(scores) - logits).abs().max() / logits.abs().max().clamp_min(1),
        (torch.from_numpy(heatmaps) - expected).abs().max(),
    )
    if not all(difference <= TOLERANCE for difference in differences):
        raise EngineError("the ONNX file returns other scores or heatmaps than PyTorch: the network was not followed")
