"""Layers in TorchScript: its interpreter calls no hooks, but it calls an operation of ours after each module."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Set
from functools import partial
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from fusioncam.inference.hooks import has_hooks
from fusioncam.inference.layer_points import JOINS, LayerPoint, OperationNames, add_layer_point, kind_named
from fusioncam.inference.modules import all_modules
from fusioncam.utils.quiet import ignoring

_OPERATION = "fusioncam::layer"
# parts of the names of inlined calls that are not names of modules
_NO_NAMES = {"SELF", "UNKNOWN_INSTANCE"}
# the optimiser would assume which tensors require gradients
_unoptimised: Any = partial(torch.jit.optimized_execution, False)  # type: ignore[attr-defined]
_points: WeakValueDictionary[str, LayerPoint] = WeakValueDictionary()
_numbers = count()

_library: Any = torch.library.Library("fusioncam", "FRAGMENT")  # type: ignore[no-untyped-call]
_library.define("layer(Tensor(a) tensor, str point) -> Tensor(a)")


def _run_point(tensor: Tensor, point: str) -> Tensor:
    layer = _points.get(point)
    return tensor if layer is None else layer(tensor)


_library.impl("layer", _run_point, "CompositeImplicitAutograd")  # autograd sees what the hooks do


class ScriptedNetwork(nn.Module):
    """A network of TorchScript whose layers have the names of its modules.

    A pass without hooks is that of the network itself. A pass with hooks is that of a copy with the same parameters
    and an operation after each module that runs the :class:`LayerPoint` of its name. Sums outside of modules are
    layers too, such as ``add_1``. Frozen networks have no modules; there each operation that may return maps is one.

    Raises RuntimeError for networks that cannot be copied by saving and loading them.
    """

    def __init__(self, network: torch.jit.ScriptModule) -> None:
        super().__init__()
        self._scripted = network
        copy = _copied(network)
        _mark_modules(copy)
        torch._C._jit_pass_inline(copy.graph)
        _add_operations(self, copy, JOINS if _add_modules(self, copy) else None)
        self._copy = (copy,)  # in a tuple, so that it is no module of this one, as it has the same parameters

    def forward(self, *args: Any, **named: Any) -> Any:
        """Return what the network returns."""
        if not has_hooks(self):
            return self._scripted(*args, **named)
        self._share_parameters()
        with _unoptimised():
            return self._copy[0](*args, **named)

    def __deepcopy__(self, memo: Any) -> ScriptedNetwork:
        """Return a network with a copy of the parameters."""
        return ScriptedNetwork(self._scripted.__deepcopy__(memo))

    def _share_parameters(self) -> None:
        for named in ("named_parameters", "named_buffers"):
            own = dict(getattr(self._copy[0], named)())
            for name, tensor in getattr(self._scripted, named)():
                own[name].data = tensor.data


def _copied(network: torch.jit.ScriptModule) -> Any:
    """Return a copy with a program of its own, which can be changed; copies otherwise share the program."""
    file = io.BytesIO()
    with ignoring(message=r"`torch\.jit"):  # which is deprecated
        torch.jit.save(network, file)
        file.seek(0)
        return torch.jit.load(file)  # type: ignore[no-untyped-call]


def _mark_modules(network: Any) -> None:
    """Add our operation, with the name of the module inside its parent, after all calls of modules.

    Modules of one type share a program, so that the names of the parents are only known after inlining.
    """
    for module in all_modules(network):
        for method in module._c._method_names():  # type: ignore[operator, union-attr]
            graph = module._c._get_method(method).graph  # type: ignore[operator, union-attr]
            nodes = list(_nodes(graph))
            if any(node.kind() == _OPERATION for node in nodes):
                continue
            for node in nodes:
                if node.kind() == "prim::CallMethod" and node.s("name") == "forward":
                    name = _attribute_name(next(node.inputs()))
                    if name and _returns_tensor(node):
                        _insert(graph, node, name)


def _add_modules(layers: nn.Module, network: Any) -> bool:
    """Add a layer for each of our operations; return whether there are any."""
    modules = dict(network.named_modules())
    found = [node for node in _nodes(network.graph) if node.kind() == _OPERATION]
    for node in found:
        _, name = node.inputs()
        parents = re.findall(r"([^.()]+)\([^()]*\)", node.getModuleHierarchy())
        path = ".".join([*(part for part in parents if part not in _NO_NAMES), name.node().s("value")])
        point = LayerPoint()  # without a name, where a program is built in another way than known
        if path in modules:
            point = add_layer_point(layers, path)
            point.kind = kind_named(modules[path].original_name)
        _set_point(network.graph, node, point)
    return bool(found)


def _add_operations(layers: nn.Module, network: Any, kinds: Set[str] | None) -> None:
    """Add a layer for each operation outside of modules and branches that may return maps, or for some kinds."""
    names, graph = OperationNames(kinds, [name for name, _ in network.named_modules()]), network.graph
    for node in list(graph.nodes()):
        kind = str(node.kind())
        is_free = kind.startswith("aten::") and _returns_tensor(node) and not node.getModuleHierarchy()
        name = names(kind.removeprefix("aten::")) if is_free else None
        if name is not None:
            point = add_layer_point(layers, name)
            point.kind = kind_named(kind.removeprefix("aten::"))
            _set_point(graph, _insert(graph, node, name), point)


def _nodes(block: Any) -> Iterator[Any]:
    """Yield all nodes, also those in branches and loops."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _attribute_name(value: Any) -> str:
    """Return the dotted name of a module that is read from its parents; empty for other values."""
    names: list[str] = []
    while value.node().kind() == "prim::GetAttr":
        names.insert(0, value.node().s("name"))
        value = next(value.node().inputs())
    return ".".join(names)


def _returns_tensor(node: Any) -> bool:
    return bool(node.outputsSize() == 1 and node.output().type().kind() == "TensorType")


def _insert(graph: Any, node: Any, name: str) -> Any:
    """Insert our operation between a node's output and all that uses it; return its node."""
    own = graph.create(_OPERATION, [node.output(), _text(graph, node, name)], 1)
    own.insertAfter(node)
    own.output().setType(node.output().type())
    node.output().replaceAllUsesAfterNodeWith(own, own.output())
    return own


def _set_point(graph: Any, node: Any, point: LayerPoint) -> None:
    number = str(next(_numbers))
    _points[number] = point
    node.replaceInput(1, _text(graph, node, number))


def _text(graph: Any, before: Any, text: str) -> Any:
    """Insert a constant before a node, and return its value."""
    constant = graph.create("prim::Constant", 1)
    constant.s_("value", text)
    constant.insertBefore(before)
    constant.output().setType(torch._C.StringType.get())
    return constant.output()
