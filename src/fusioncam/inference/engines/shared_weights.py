"""Take the network's weights out of a converted model, and put them in again without a copy.

A stored conversion therefore needs some kilobytes instead of the size of the network, and one that is loaded occupies
no memory in addition to the network's own. The name of the stored conversion contains a hash of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from fusioncam.inference.engines.openvino_import import openvino


def without_weights(model: Any, network: nn.Module) -> Any:
    """Return a copy of an ``openvino.Model`` with an input, of its name, in place of each tensor of the network.

    Constants that do not share their memory with a tensor of the network stay.
    """
    model = model.clone()
    names = {_place(tensor.detach().numpy()): name for name, tensor in _tensors(network)}
    inputs: dict[str, Any] = {}
    for constant in [node for node in model.get_ops() if node.get_type_name() == "Constant"]:
        name = names.get(_place(constant.data))
        if name is not None:
            if name not in inputs:
                inputs[name] = _input(name, constant)
            constant.output(0).replace(inputs[name].output(0))
    model.add_parameters(list(inputs.values()))
    return model


def with_weights(model: Any, network: nn.Module) -> Any:
    """Fill the inputs that :func:`without_weights` made with the network's tensors, in place, and return the model.

    Raises ``ValueError`` if the network has no such tensor.
    """
    tensors, operators = dict(_tensors(network)), openvino().op
    for one in model.get_parameters()[1:]:  # the first one is the image
        tensor = tensors.get(one.get_friendly_name())
        if tensor is None or list(tensor.shape) != list(one.get_output_shape(0)):
            raise ValueError(f"the network has no tensor {one.get_friendly_name()} of this shape")
        constant = operators.Constant(tensor.detach().numpy(), shared_memory=True)
        if constant.get_element_type() != one.get_element_type():
            raise ValueError(f"{one.get_friendly_name()} has another dtype")
        one.output(0).replace(constant.output(0))
        model.remove_parameter(one)
    model.validate_nodes_and_infer_types()
    return model


def _input(name: str, constant: Any) -> Any:
    parameter = openvino().op.Parameter(constant.get_element_type(), constant.get_output_partial_shape(0))
    parameter.set_friendly_name(name)
    return parameter


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers whose memory a model can share."""
    for named in (network.named_parameters(), network.named_buffers()):
        yield from ((name, one) for name, one in named if one.is_contiguous() and one.numel())


def _place(values: Any) -> tuple[int, tuple[int, ...], str]:
    """Return where an array lies, its shape, and its dtype."""
    return values.ctypes.data, tuple(values.shape), str(values.dtype)
