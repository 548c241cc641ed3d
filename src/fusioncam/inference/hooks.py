"""Forward hooks, each registered for one ``with`` block and one thread. No other file registers hooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fusioncam.errors import LayerError, suggestion
from fusioncam.inference.capabilities import no_hooks_error
from fusioncam.inference.layer_outputs import FirstTensor, LayerReading, first_tensor
from fusioncam.inference.own_hooks import HookBlock, OwnHook, foreign_hooks

Hook = Callable[[nn.Module, Any, Any], Any]
PreHook = Callable[[nn.Module, Any, Mapping[str, Any]], Any]
# how layers are read that are not read as usual
Readings = Mapping[str, LayerReading]
_AS_USUAL: Readings = {}


def find(network: nn.Module, layer: str) -> nn.Module:
    """Return the module with that dotted name, or raise :class:`LayerError` with the nearest name."""
    found = _module_of(network, layer)
    if found is not None:
        return found
    names = [name for name, _ in network.named_modules(remove_duplicate=False) if name]
    without_hooks = no_hooks_error(network, layer)
    if without_hooks is not None and not names:
        raise without_hooks
    raise LayerError(f"the network has no layer '{layer}'; {suggestion(layer, names)}")


def _module_of(network: nn.Module, layer: str) -> nn.Module | None:
    """Return the module with that dotted name, without a list of all names, or None."""
    module: nn.Module | None = network if layer else None
    for part in layer.split("."):
        module = module._modules[part] if module is not None and part in module._modules else None
    return module


@contextmanager
def _registered(
    hooks: Iterable[tuple[nn.Module, Hook]], pre_hooks: Iterable[tuple[nn.Module, PreHook]] = ()
) -> Iterator[None]:
    """Register the hooks until the block ends."""
    handles: list[RemovableHandle] = []
    block = HookBlock()
    # TorchScript forbids its own method, yet a module that Python calls runs hooks
    register, register_before = nn.Module.register_forward_hook, nn.Module.register_forward_pre_hook
    try:
        handles.extend(register(module, OwnHook(module, hook, block)) for module, hook in hooks)
        for module, before in pre_hooks:
            handles.append(register_before(module, OwnHook(module, before, block), with_kwargs=True))
        yield
    finally:
        block.end()
        for handle in handles:
            handle.remove()


@contextmanager
def capture(
    network: nn.Module, layers: Iterable[str], readings: Readings = _AS_USUAL
) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the outputs of each layer, one tensor per run, ready for ``torch.autograd.grad``.

    The next module gets a copy, so that an in-place operation after a layer changes neither its maps nor their
    gradients. Where no parameter before a layer requires a gradient, its output becomes a leaf, so that its gradient
    is computed all the same. Where a reading cannot be written back, the rest of the network does not depend on it.
    """
    outputs: dict[str, list[Tensor]] = {layer: [] for layer in layers}

    def keep(layer: str) -> Hook:
        reading = readings.get(layer, FirstTensor())

        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            maps, writable = reading.read(output, layer), reading.can_write(output, layer)
            with torch.inference_mode(False), torch.enable_grad():
                maps = maps.clone() if maps.is_inference() else maps
                maps = maps if maps.requires_grad else maps.detach().requires_grad_()
                outputs[layer].append(maps)
                return reading.write(output, maps.clone(), layer) if writable else None

        return hook

    with _registered((find(network, layer), keep(layer)) for layer in outputs):
        yield outputs


@contextmanager
def replace_outputs(
    network: nn.Module, changes: Mapping[str, Callable[[Tensor], Tensor]], readings: Readings = _AS_USUAL
) -> Iterator[None]:
    """Replace the output of each layer by ``changes[layer](output)``, which may have another batch size."""

    def replacing(layer: str, change: Callable[[Tensor], Tensor]) -> Hook:
        reading = readings.get(layer, FirstTensor())
        return lambda module, args, output: reading.write(output, change(reading.read(output, layer)), layer)

    with _registered((find(network, layer), replacing(layer, change)) for layer, change in changes.items()):
        yield


class InputMemory:
    """The input ``x`` of the network's last pass, for programs that run the network themselves.

    Its hook stays until :meth:`remove`, unlike all others.
    """

    def __init__(self, network: nn.Module) -> None:
        self.x: Tensor | None = None
        self._active = True
        self._handle = nn.Module.register_forward_pre_hook(network, self._keep)

    def _keep(self, module: nn.Module, args: Any) -> None:
        if self._active and args and isinstance(args[0], Tensor):
            self.x = args[0].detach()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Ignore the passes inside the block."""
        self._active = False
        try:
            yield
        finally:
            self._active = True

    def remove(self) -> None:
        """Remove the hook, and drop the input."""
        self._handle.remove()
        self.x = None


def has_hooks(network: nn.Module) -> bool:
    """Return whether a forward pass runs hooks: those of a module of the network, or of all modules."""
    everywhere = torch.nn.modules.module
    return bool(everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks) or any(
        foreign_hooks(module) for module in network.modules()
    )


def require_once(network: nn.Module, layer: str, runs: int) -> None:
    """Raise :class:`LayerError` unless the layer ran exactly once in a pass."""
    if runs != 1:
        raise (no_hooks_error(network, layer) if runs == 0 else None) or runs_error(layer, runs)


def runs_error(layer: str, runs: int) -> LayerError:
    """Return the error for a layer that does not run exactly once in a pass."""
    cause = (
        "no pass of this input uses it: name another layer"
        if runs == 0
        else "several views, frames or steps share it, and each run has maps of its own. If the views are inputs of "
        "their own, explain one with the others fixed, ExplainedModel(network, extra={...}, vary='...'); otherwise "
        "write a wrapper that holds the others fixed, or name a layer outside the shared part"
    )
    return LayerError(f"layer '{layer}' ran {runs} times in one pass: {cause}")


def _version(tensor: Tensor) -> int:
    """Return the number of in-place changes of a tensor; those made under ``torch.inference_mode`` count none."""
    return 0 if tensor.is_inference() else int(tensor._version)


@contextmanager
def find_adjacent_modules(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[list[tuple[str, str]]]:
    """Collect the pairs of modules of these kinds where the input of the second is the output of the first.

    Both must run exactly once. Pairs with another module of these kinds between them, or with an in-place change
    between them, are left out.
    """
    pairs: list[tuple[str, str]] = []
    runs: Counter[str] = Counter()
    previous: tuple[str, Tensor | None, int] = ("", None, 0)

    def hook_of(name: str) -> Hook:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal previous
            runs[name] += 1
            before, tensor, version = previous
            if args and tensor is not None and args[0] is tensor and _version(tensor) == version:
                pairs.append((before, name))
            previous = (name, output, _version(output)) if isinstance(output, Tensor) else ("", None, 0)

        return hook

    modules = network.named_modules()
    with _registered((module, hook_of(name)) for name, module in modules if isinstance(module, kinds)):
        yield pairs
    pairs[:] = [pair for pair in pairs if runs[pair[0]] == runs[pair[1]] == 1]


@dataclass(frozen=True)
class TracedTensor:
    """A tensor of a traced pass: its shape and the step at which it was met.

    ``varies`` states for each token of ``(2, T, K)`` whether it differs between the two images by more than rounding.
    """

    shape: torch.Size
    time: int
    varies: Sequence[bool] | None = None


@dataclass(frozen=True)
class ModuleCall:
    """One call of one module, and the shape of its output (None if that is not one tensor).

    ``returns_previous`` means that the output is the unchanged output of the module that ended before. ``before`` and
    ``after`` are the clock's values at the start and the end. ``input`` is the first argument, and ``output`` the
    output or the first part of it; both are None if they are not tensors. ``after_time`` is the step of the end.
    ``varies`` means that the output differs between the two images of the pass, or that this is not known.
    """

    name: str
    module: nn.Module
    shape: torch.Size | None
    returns_previous: bool
    before: int = 0
    after: int = 0
    input: TracedTensor | None = None
    output: TracedTensor | None = None
    after_time: int = 0
    varies: bool = True


def _traced(value: Any, time: int) -> TracedTensor | None:
    """Return the shape of a value's :func:`first_tensor`, and its tokens that depend on the image."""
    value = first_tensor(value)
    if not (isinstance(value, Tensor) and value.dim() and (value.is_quantized or value.is_floating_point())):
        return None
    value = value.dequantize() if value.is_quantized else value
    is_sequence = value.dim() == 3 and len(value) == 2 and value.numel() > 0
    return TracedTensor(value.shape, time, _varying(value) if is_sequence else None)


def _varying(tokens: Tensor) -> list[bool]:
    """Return for each token of ``(2, T, K)`` whether it differs between the two images by more than rounding."""
    differences, sizes = (tokens[0] - tokens[1]).abs().amax(-1), tokens.abs().amax((0, -1))
    tolerance = max(1e-6, 2 * torch.finfo(tokens.dtype).eps)
    varying: list[bool] = (~(differences <= tolerance * sizes)).tolist()  # also where they are NaN
    return varying


def _output_varies(output: Any) -> bool:
    """Return whether an output of two rows differs between these; True for any other output."""
    value = first_tensor(output)
    if not (isinstance(value, Tensor) and value.dim() > 1 and len(value) == 2 and value.is_floating_point()):
        return True
    return any(_varying(value.reshape(2, 1, -1))) if value.numel() else True


@contextmanager
def trace(network: nn.Module, clock: Callable[[], int] = int) -> Iterator[list[ModuleCall]]:
    """Collect a :class:`ModuleCall` for every call of every module, in the order in which they end.

    An in-place change between two modules counts as a change of the output.
    """
    calls: list[ModuleCall] = []
    starts: list[tuple[int, TracedTensor | None]] = []
    steps = count()
    previous: tuple[Tensor | None, int] = (None, 0)

    def start(module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        starts.append((clock(), _traced(args or kwargs, next(steps))))

    def hook_of(name: str) -> Hook:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal previous
            tensor = output if isinstance(output, Tensor) else None
            current = (tensor, 0 if tensor is None else _version(tensor))
            same = tensor is not None and tensor is previous[0] and current[1] == previous[1]
            previous = current
            shape = None if tensor is None else tensor.shape
            before, given = starts.pop()
            step = next(steps)
            traced, varies = _traced(output, step), _output_varies(output)
            calls.append(ModuleCall(name, module, shape, same, before, clock(), given, traced, step, varies))

        return hook

    modules = [(name, module) for name, module in network.named_modules() if name]
    with _registered(
        ((module, hook_of(name)) for name, module in modules), ((module, start) for _, module in modules)
    ):
        yield calls
