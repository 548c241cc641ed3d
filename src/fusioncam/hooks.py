"""The only code that registers hooks. A hook lives inside one ``with`` and answers to one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .errors import LayerError, suggestion

Hook = Callable[[nn.Module, Any, Any], Any]


def find(network: nn.Module, layer: str) -> nn.Module:
    """Give the module of that dotted name, or raise :class:`LayerError` with the nearest name."""
    modules = dict(network.named_modules(remove_duplicate=False))
    if not layer or layer not in modules:
        names = [name for name in modules if name]
        raise LayerError(f"the network has no layer '{layer}'. {suggestion(layer, names)}")
    found: nn.Module = modules[layer]
    return found


def _mine(hook: Hook) -> Hook:
    """Let the hook answer only to the thread that made it."""
    owner = threading.get_ident()

    def call(module: nn.Module, args: Any, output: Any) -> Any:
        return hook(module, args, output) if threading.get_ident() == owner else None

    return call


@contextmanager
def _hooked(hooks: dict[nn.Module, Hook]) -> Iterator[None]:
    handles: list[RemovableHandle] = []
    try:
        handles += [module.register_forward_hook(_mine(hook)) for module, hook in hooks.items()]
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def capture(network: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Collect what ``layer`` gives, one tensor a run, ready for ``torch.autograd.grad``.

    What goes on through the network is a copy, so that an in-place operation behind the layer changes
    neither the maps nor their gradients. Where no parameter before the layer needs a gradient, the maps
    become a leaf: the gradient is known all the same.
    """
    outputs: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> Tensor:
        if not (isinstance(output, Tensor) and output.is_floating_point()):
            got = f"{output.dtype}" if isinstance(output, Tensor) else type(output).__name__
            raise LayerError(f"layer '{layer}' gives {got}, not one tensor of maps: name a layer inside it")
        with torch.enable_grad():
            maps = output if output.requires_grad else output.detach().requires_grad_()
            outputs.append(maps)
            return maps.clone()

    with _hooked({find(network, layer): keep}):
        yield outputs


@dataclass(frozen=True)
class Ran:
    """One run of one module: what shape it gave (None: not one tensor), and whether it only handed that on."""

    name: str
    module: nn.Module
    shape: torch.Size | None
    handed_on: bool


@contextmanager
def trace(network: nn.Module) -> Iterator[list[Ran]]:
    """Collect a :class:`Ran` for every run of every module, in the order in which they end.

    A module hands on if its output is the tensor of the module that ended before it, not changed in place since.
    """
    ran: list[Ran] = []
    last: list[Any] = [None, None]

    def note(name: str) -> Hook:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = output if isinstance(output, Tensor) else None
            now = [tensor, None if tensor is None else tensor._version]
            handed_on = tensor is not None and tensor is last[0] and now[1] == last[1]
            last[:] = now
            ran.append(Ran(name, module, None if tensor is None else tensor.shape, handed_on))

        return hook

    with _hooked({module: note(name) for name, module in network.named_modules() if name}):
        yield ran
