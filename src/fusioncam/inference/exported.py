"""Layers in networks of torch.export: their graphs have no modules, but know which operation was in which."""

from __future__ import annotations

import copy
from collections.abc import Set
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from fusioncam.inference.layer_points import JOINS, LayerPoint, OperationNames, kind_named

# the modules around an operation, from outside to inside: name, class, and which call of it this is
Scope = tuple[tuple[str, str, str], ...]
# uses of a tensor that read only its shape
_SHAPES = ("sym_", "_guards", "_assert")


def with_layers(exported: fx.GraphModule) -> nn.Module:
    """Return an exported network with the same parameters, whose layers have the names of its modules.

    The output of a module runs through a :class:`LayerPoint` of its name. Modules that return several tensors are
    none. Sums outside of modules are layers too, such as ``add_1``; where the graph names no modules, each operation
    that may return maps is one, such as ``conv2d_1``.
    """
    network = fx.GraphModule(exported, copy.deepcopy(exported.graph))
    _add_modules(network, {node: _scope(node) for node in network.graph.nodes if node.op == "call_function"})
    has_modules = any(isinstance(module, LayerPoint) for module in network.modules())
    _add_operations(network, JOINS if has_modules else None)
    network.recompile()
    rows = _rows(network)
    return network if rows is None else FixedRowsNetwork(network, rows)


class FixedRowsNetwork(nn.Module):
    """A network that was exported for ``rows`` images, for any number of them.

    Other numbers run in parts, in step: each layer has the tensor of all images.
    """

    def __init__(self, network: fx.GraphModule, rows: int) -> None:
        super().__init__()
        self._modules, self._parameters, self._buffers = network._modules, network._parameters, network._buffers
        self._rows = rows
        self._network = (network,)  # in a tuple, so that it is no module of this one, which has the same modules

    def forward(self, x: Tensor) -> Any:
        """Return what the network returns for images ``x``."""
        (whole,) = self._network
        return whole(x) if len(x) == self._rows else _run_in_parts(whole, x, self._rows)


def _run_in_parts(network: fx.GraphModule, x: Tensor, rows: int) -> Any:
    """Run all parts of the input up to each layer; its output may have another number of rows if ``x`` has one."""
    images, graph = len(x), network.graph
    parts = [_Part(network, one) for one in _split(x, rows)]
    for node in graph.nodes:
        values = [part.run_node(node) if not _is_layer(network, node) else part.argument(node) for part in parts]
        if _is_layer(network, node):
            each = len(values[0]) // rows  # rows of the tensor for each image, such as windows
            whole = network.get_submodule(str(node.target))(torch.cat(values)[: images * each])
            if len(whole) != images * each:
                if images != 1:
                    raise RuntimeError(f"a layer of {images} images has {len(whole)} rows")
                images = len(whole) // each
                parts = [parts[0].copy() for _ in range(-(-images // rows))]
            values = _split(whole, rows * each)
        for part, value in zip(parts, values, strict=True):
            part.keep(node, value)
    outputs = [graph.process_outputs(value) for value in values]
    return tree_map(lambda *tensors: torch.cat(tensors)[:images], outputs[0], *outputs[1:])


def _split(tensor: Tensor, rows: int) -> list[Tensor]:
    """Return parts of so many rows; the last row is repeated where they are too few."""
    missing = -len(tensor) % rows
    padded = torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])
    return list(torch.split(padded, rows))


def _is_layer(network: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(network.get_submodule(str(node.target)), LayerPoint)


class _Part(fx.Interpreter):
    """Runs the nodes of a graph for a part of the images, and keeps what later nodes need."""

    def __init__(self, network: fx.GraphModule, x: Tensor | None) -> None:
        super().__init__(network)
        self._network = network
        self.args_iter = iter(() if x is None else network.graph.process_inputs(x))

    def argument(self, node: fx.Node) -> Any:
        return self.fetch_args_kwargs_from_env(node)[0][0]

    def keep(self, node: fx.Node, value: Any) -> None:
        self.env[node] = value
        for used in self.user_to_last_uses.get(node, ()):
            del self.env[used]

    def copy(self) -> _Part:
        part = _Part(self._network, None)
        part.env = dict(self.env)
        return part


def _rows(network: fx.GraphModule) -> int | None:
    """Return the only number of images that a network of one input takes, None for any."""
    inputs = [node for node in network.graph.nodes if node.op == "placeholder"]
    rows = inputs[0].meta["val"].shape[0] if len(inputs) == 1 and _is_tensor(inputs[0]) else None
    return rows if isinstance(rows, int) else None


def _add_modules(network: fx.GraphModule, scopes: dict[fx.Node, Scope]) -> None:
    every = {scope[:depth] for scope in scopes.values() for depth in range(1, len(scope) + 1)}
    for scope in sorted(every):
        outputs = [node for node, own in scopes.items() if _is_output(node, own, scope, scopes)]
        call = _add(network, outputs[0], *scope[-1][:2], scope, scopes) if len(outputs) == 1 else None
        if call is not None:
            scopes[call] = scope[:-1]


def _add_operations(network: fx.GraphModule, kinds: Set[str] | None) -> None:
    """Add a layer for each operation outside of modules that may return maps, or for those of some kinds."""
    names = OperationNames(kinds, [name for name, _ in network.named_modules()])
    for node in list(network.graph.nodes):
        is_free = node.op == "call_function" and _is_tensor(node) and not _scope(node)
        name = names(_operation(node)) if is_free else None
        if name is not None:
            _add(network, node, name, _operation(node))


def _add(
    network: fx.GraphModule,
    node: fx.Node,
    name: str,
    kind: str,
    scope: Scope | None = None,
    scopes: dict[fx.Node, Scope] | None = None,
) -> fx.Node | None:
    """Let all uses of a node outside the scope read it through a layer of that name; return the layer's node."""
    point = _point(network, name)
    if point is None:
        return None
    point.kind = kind_named(kind.rpartition(".")[2])
    with network.graph.inserting_after(node):
        call = network.graph.call_module(name, (node,))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call, lambda user: user is not call and not _within((scopes or {}).get(user), scope))
    return call


def _scope(node: fx.Node) -> Scope:
    stack = node.meta.get("nn_module_stack", {})
    return tuple((name, str(kind), key.partition("@")[2]) for key, (name, kind) in stack.items() if name)


def _within(scope: Scope | None, outer: Scope | None) -> bool:
    return scope is not None and outer is not None and scope[: len(outer)] == outer


def _is_output(node: fx.Node, own: Scope, scope: Scope, scopes: dict[fx.Node, Scope]) -> bool:
    """Return whether a node of the scope is a tensor that is used outside of it, for more than its shape."""
    return (
        _within(own, scope)
        and _is_tensor(node)
        and any(not _within(scopes.get(user), scope) and not user.name.startswith(_SHAPES) for user in node.users)
    )


def _is_tensor(node: fx.Node) -> bool:
    return hasattr(node.meta.get("val"), "shape")


def _operation(node: fx.Node) -> str:
    """Return the name of an operation, such as ``conv2d`` for ``aten.conv2d.default``."""
    return str(node.target).split(".")[1] if "." in str(node.target) else ""


def _point(network: nn.Module, name: str) -> LayerPoint | None:
    """Return the layer of that name, in the place of the module that holds its parameters; None if it is taken."""
    module = network
    *parents, last = name.split(".")
    for part in parents:
        if part not in module._modules:
            if hasattr(module, part):
                return None
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    before = module._modules.get(last)
    if isinstance(before, LayerPoint):
        return before
    if before is None and hasattr(module, last):
        return None
    point = LayerPoint()
    if before is not None:
        point._parameters, point._buffers, point._modules = before._parameters, before._buffers, before._modules
    module._modules[last] = point
    return point
