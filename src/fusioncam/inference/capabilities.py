"""What kind of network it is: whether hooks run in it, and why its scores may have no gradients."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from fusioncam.errors import LayerError, MethodError, ShapeError

WITHOUT_HOOKS = "use the method rise, which needs only scores, or explain the network as Python modules"
WITHOUT_GRADIENTS = (
    "use a method that needs no gradients: score-cam, recipro-cam, ablation-cam, poly-cam, eigen-cam, kpca-cam, fem, "
    "occlusion, two-sided-occlusion, rise, hsic or sobol"
)
_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized", "torchao.")


def no_hooks_error(network: nn.Module, layer: str | None = None) -> LayerError | None:
    """Return the error for a layer inside a module that runs without calling its parts, or None if hooks run in it.

    Without a ``layer``, any such module of the network is the reason.
    """
    for name, module in network.named_modules():
        kind = _kind_without_hooks(module)
        if kind and (layer is None or not name or layer.startswith(f"{name}.")):
            part = f"module '{name}'" if name else "the network"
            return LayerError(f"hooks do not run in {part}, which is {kind}: {WITHOUT_HOOKS}")
    return None


def inner_network(network: nn.Module) -> nn.Module:
    """Return the network inside ultralytics' ``YOLO`` object, whose own call runs a predictor on files.

    Other networks are returned as they are.
    """
    inner = getattr(network, "model", None)
    is_yolo = any(kind.__module__.startswith("ultralytics.engine.") for kind in type(network).__mro__)
    return inner if is_yolo and isinstance(inner, nn.Module) else network


def fixed_shape_error(error: Exception, x: Tensor) -> ShapeError | None:
    """Return the error for inputs of a shape that an exported network refuses, or None for other errors."""
    # the second wording is that of PyTorch 2.5
    if not str(error).startswith(("Guard failed", "Expected input at *args[0].shape")):
        return None
    return ShapeError(
        f"the network was exported for inputs of one shape and refuses x {tuple(x.shape)} ({error}): give it images "
        "of that shape, or export it with dynamic_shapes"
    )


def no_gradients_error(network: nn.Module) -> MethodError:
    """Return the error for a network whose scores depend on a layer or the input without gradients."""
    return MethodError(
        f"no gradients of the scores reach the layer: {_no_gradients_cause(network)}: {WITHOUT_GRADIENTS}"
    )


def _no_gradients_cause(network: nn.Module) -> str:
    modules = list(network.modules())
    if any(getattr(module, "is_onnx_file", False) is True for module in modules):
        return "the network is an ONNX file, in which none are computed"
    quantised = next((kind for kind in map(type, modules) if kind.__module__.startswith(_QUANTISED)), None)
    if quantised is not None:
        return f"the network is quantised ({quantised.__name__}), and operations on integers have none"
    return "a part of the network runs under torch.no_grad() or torch.inference_mode(), or detaches or rounds tensors"


def _kind_without_hooks(module: nn.Module) -> str | None:
    """Return the kind of a module that runs without calling its parts, or None for other modules."""
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript (torch.jit)"
    if isinstance(module, fx.GraphModule) and "aten" in module.code and "call_module" not in _operations(module):
        return "an exported network (torch.export)"
    return None


def _operations(module: fx.GraphModule) -> set[str]:
    """Return the kinds of operations in the graph, without the checks of shapes that torch.export adds."""
    return {node.op for node in module.graph.nodes if not node.name.startswith("_guards")}
