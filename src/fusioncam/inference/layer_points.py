"""Modules in a computation without modules of its own: hooks on them read its tensors, or replace them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

from torch import Tensor, nn

# operations whose outputs are rearranged or reduced maps, or no maps
_NO_MAPS = {
    *("view", "reshape", "flatten", "permute", "transpose", "t", "numpy_T", "squeeze", "unsqueeze", "expand"),
    *("slice", "select", "contiguous", "clone", "detach", "to", "size", "mean", "sum", "amax", "max_pool2d"),
    *("avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "dropout", "linear", "addmm", "matmul", "bmm"),
    "softmax",
}
# operations that join maps
JOINS = {"add", "sub", "mul", "cat", "stack", "maximum"}
# the modules that compute an operation
_MODULES: dict[str, type[nn.Module]] = {
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv3d": nn.Conv3d,
    "convolution": nn.Conv2d,
    "batch_norm": nn.BatchNorm2d,
    "instance_norm": nn.InstanceNorm2d,
    "group_norm": nn.GroupNorm,
    "layer_norm": nn.LayerNorm,
}


class LayerPoint(nn.Module):
    """A tensor of a computation as a layer; ``kind`` is the class of the module that computes it, if it is known."""

    kind: type[nn.Module] | None = None

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the tensor."""
        return tensor


def add_layer_point(network: nn.Module, name: str) -> LayerPoint:
    """Return a module of the network with that name; dots separate modules inside each other, which are added.

    Parts of the name that are those of attributes or methods get an underscore.
    """
    module = network
    for part in name.split("."):
        part = part or "_"
        while hasattr(module, part) and part not in module._modules:
            part += "_"
        if part not in module._modules:
            module.add_module(part, LayerPoint())
        module = module.get_submodule(part)
    assert isinstance(module, LayerPoint)
    return module


def kind_of(module: nn.Module) -> type[nn.Module]:
    """Return the class of a module, or the one that a :class:`LayerPoint` stands for."""
    kind = getattr(module, "kind", None) if isinstance(module, LayerPoint) else None
    return kind or type(module)


def kind_named(name: str) -> type[nn.Module] | None:
    """Return PyTorch's module of that name, or the one that computes an operation of that name.

    >>> kind_named("Conv2d"), kind_named("conv2d"), kind_named("Block")
    (<class 'torch.nn.modules.conv.Conv2d'>, <class 'torch.nn.modules.conv.Conv2d'>, None)
    """
    kind = _MODULES.get(name.strip("_")) or getattr(nn, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, nn.Module) else None


class OperationNames:
    """Names for the operations of a graph that belong to no module: ``conv2d``, ``relu``, ``conv2d_1``.

    ``kinds`` are the operations that have names; by default all that may have maps. No name is ``taken``.
    """

    def __init__(self, kinds: Set[str] | None = None, taken: Iterable[str] = ()) -> None:
        self._kinds, self._taken = kinds, set(taken)
        self._counts: Counter[str] = Counter()

    def __call__(self, operation: str) -> str | None:
        """Return the name of the next operation of that kind, such as ``relu_``; None if it has none."""
        kind = operation.strip("_")
        if kind in _NO_MAPS if self._kinds is None else kind not in self._kinds:
            return None
        self._counts[kind] += 1
        before = self._counts[kind] - 1
        name = f"{kind}_{before}" if before else kind
        return f"{name}_" if name in self._taken else name
