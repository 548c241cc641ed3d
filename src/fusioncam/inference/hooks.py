"""The only code that registers hooks. A hook lives inside one ``with`` and answers to one thread."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from fusioncam.errors import LayerError, suggestion

Hook = Callable[[nn.Module, Any, Any], Any]
PreHook = Callable[[nn.Module, Any], Any]


def find(network: nn.Module, layer: str) -> nn.Module:
    """Give the module of that dotted name, or raise :class:`LayerError` with the nearest name."""
    modules = dict(network.named_modules(remove_duplicate=False))
    if not layer or layer not in modules:
        names = [name for name in modules if name]
        raise LayerError(f"the network has no layer '{layer}'; {suggestion(layer, names)}")
    found: nn.Module = modules[layer]
    return found


def _mine(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Let the hook answer only to the thread that made it."""
    owner = threading.get_ident()

    def call(*args: Any) -> Any:
        return hook(*args) if threading.get_ident() == owner else None

    return call


@contextmanager
def _hooked(
    hooks: Iterable[tuple[nn.Module, Hook]], first: Iterable[tuple[nn.Module, PreHook]] = ()
) -> Iterator[None]:
    handles: list[RemovableHandle] = []
    try:
        handles += [module.register_forward_hook(_mine(hook)) for module, hook in hooks]
        handles += [module.register_forward_pre_hook(_mine(hook)) for module, hook in first]
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def capture(network: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what each layer gives, one tensor a run, ready for ``torch.autograd.grad``.

    What goes on through the network is a copy, so that an in-place operation behind a layer changes neither
    its maps nor their gradients. Where no parameter before a layer needs a gradient, its maps become a leaf:
    the gradient is known all the same.
    """
    outputs: dict[str, list[Tensor]] = {layer: [] for layer in layers}

    def keep(layer: str) -> Hook:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            maps = _tensor_of(output, layer)
            with torch.enable_grad():
                maps = maps if maps.requires_grad else maps.detach().requires_grad_()
                outputs[layer].append(maps)
                return _with_tensor(output, maps.clone())

        return hook

    with _hooked((find(network, layer), keep(layer)) for layer in outputs):
        yield outputs


@contextmanager
def replace_outputs(network: nn.Module, changes: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Hand ``changes[layer](output)`` on in place of what each layer gave; it may hold more images than came in."""

    def changing(layer: str, change: Callable[[Tensor], Tensor]) -> Hook:
        return lambda module, args, output: _with_tensor(output, change(_tensor_of(output, layer)))

    with _hooked((find(network, layer), changing(layer, change)) for layer, change in changes.items()):
        yield


def require_once(layer: str, runs: int) -> None:
    """Raise :class:`LayerError` unless the layer ran exactly once in a pass."""
    if runs != 1:
        raise LayerError(f"layer '{layer}' ran {runs} times in one pass: name one that runs once")


def _tensor_of(output: Any, layer: str) -> Tensor:
    """Give what a layer gave, of a tuple or a mapping the first: what Hugging Face's layers hand on."""
    tensor = output
    if isinstance(output, (tuple, list, Mapping)) and len(output):
        tensor = next(iter(output.values() if isinstance(output, Mapping) else output))
    if not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
        got = f"{tensor.dtype}" if isinstance(tensor, Tensor) else type(output).__name__
        raise LayerError(f"layer '{layer}' gives {got}, not a tensor of maps: name a layer inside it")
    return tensor


def _with_tensor(output: Any, tensor: Tensor) -> Any:
    """Give the output again with another tensor in that place."""
    if isinstance(output, Tensor):
        return tensor
    if isinstance(output, Mapping):
        changed: Any = copy.copy(output)
        changed[next(iter(output))] = tensor
        return changed
    if hasattr(output, "_fields"):
        return type(output)(tensor, *output[1:])
    return type(output)((tensor, *output[1:]))


@dataclass(frozen=True)
class AttentionOutput:
    """One attention: its ``values`` ``(N, heads, keys, d)`` and its ``output`` ``(N, heads, queries, d)``."""

    values: Tensor
    output: Tensor


class _Attentions(TorchFunctionMode):
    def __init__(self, seen: list[AttentionOutput]) -> None:
        super().__init__()
        self._seen = seen
        # MultiheadAttention computes in a function that a mode sees as one call: here is that function, with the
        # attention inside it replaced
        whole = F.multi_head_attention_forward
        inside = {**whole.__globals__, "scaled_dot_product_attention": self._attend}
        self._multi_head = FunctionType(whole.__code__, inside, whole.__name__, whole.__defaults__)

    def _attend(self, *args: Any, **kwargs: Any) -> Tensor:
        output: Tensor = F.scaled_dot_product_attention(*args, **kwargs)
        self._seen.append(AttentionOutput(args[2] if len(args) > 2 else kwargs["value"], output))
        return output

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        watched: dict[Any, Callable[..., Any]] = {
            F.scaled_dot_product_attention: self._attend,
            F.multi_head_attention_forward: self._multi_head,
        }
        return watched.get(function, function)(*args, **(kwargs or {}))


@contextmanager
def attentions() -> Iterator[list[AttentionOutput]]:
    """Collect every attention of this thread, whatever module it is in: timm's, torchvision's or Hugging Face's."""
    seen: list[AttentionOutput] = []
    with _Attentions(seen):
        yield seen


@contextmanager
def find_adjacent_modules(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[list[tuple[str, str]]]:
    """Collect the pairs of modules of these kinds, each run once, of which one was given just what the other gave.

    Not collected are pairs with another such module between them, or with a change in place.
    """
    pairs: list[tuple[str, str]] = []
    runs: Counter[str] = Counter()
    last: list[Any] = ["", None, None]

    def note(name: str) -> Hook:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            runs[name] += 1
            before, given, version = last
            if args and given is not None and args[0] is given and given._version == version:
                pairs.append((before, name))
            last[:] = [name, output, output._version] if isinstance(output, Tensor) else ["", None, None]

        return hook

    with _hooked((module, note(name)) for name, module in network.named_modules() if isinstance(module, kinds)):
        yield pairs
    pairs[:] = [pair for pair in pairs if runs[pair[0]] == runs[pair[1]] == 1]


@dataclass(frozen=True)
class ModuleCall:
    """One run of one module: what shape it gave (None: not one tensor), and whether it only handed that on.

    ``before`` and ``after`` are what a clock showed when it began and when it ended.
    """

    name: str
    module: nn.Module
    shape: torch.Size | None
    handed_on: bool
    before: int = 0
    after: int = 0


@contextmanager
def trace(network: nn.Module, clock: Callable[[], int] = int) -> Iterator[list[ModuleCall]]:
    """Collect a :class:`ModuleCall` for every run of every module, in the order in which they end.

    A module hands on if its output is the tensor of the module that ended before it, not changed in place since.
    """
    ran: list[ModuleCall] = []
    last: list[Any] = [None, None]
    began: list[int] = []

    def begin(module: nn.Module, args: Any) -> None:
        began.append(clock())

    def note(name: str) -> Hook:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = output if isinstance(output, Tensor) else None
            now = [tensor, None if tensor is None else tensor._version]
            handed_on = tensor is not None and tensor is last[0] and now[1] == last[1]
            last[:] = now
            ran.append(
                ModuleCall(name, module, None if tensor is None else tensor.shape, handed_on, began.pop(), clock())
            )

        return hook

    named = [(name, module) for name, module in network.named_modules() if name]
    with _hooked(((module, note(name)) for name, module in named), ((module, begin) for _, module in named)):
        yield ran
