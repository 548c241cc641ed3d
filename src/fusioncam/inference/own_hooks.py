"""Hooks that belong to one module, one thread and one block: copies of the module do not run them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import nn


class HookBlock:
    """The hooks of one ``with`` block. They run in the thread that began it, until it ends."""

    def __init__(self) -> None:
        self._owner, self._ended = threading.get_ident(), False

    @property
    def runs_here(self) -> bool:
        """Whether hooks run in this thread at this moment."""
        return not self._ended and threading.get_ident() == self._owner

    def end(self) -> None:
        """Run no hook of the block from now on."""
        self._ended = True


class OwnHook:
    """A hook of one module. A copy of the module, also a pickled one, has an :class:`EmptyHook` in its place."""

    def __init__(self, module: nn.Module, hook: Callable[..., Any], block: HookBlock) -> None:
        self._module, self._hook, self._block = module, hook, block

    def __call__(self, module: nn.Module, *args: Any) -> Any:
        """Run the hook of this module."""
        # a shallow copy of the module shares its hooks
        return self._hook(module, *args) if module is self._module and self._block.runs_here else None

    def __deepcopy__(self, memo: object) -> EmptyHook:
        return EmptyHook()

    def __reduce__(self) -> tuple[Any, ...]:
        return EmptyHook, ()


class EmptyHook:
    """A hook that does nothing, and removes itself when its module is called."""

    def __call__(self, module: nn.Module, *args: Any) -> None:
        """Remove this hook."""
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if hook is self]:
                del hooks[key]


def foreign_hooks(module: nn.Module) -> bool:
    """Return whether a module has hooks that do something."""
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    return any(not isinstance(hook, EmptyHook) for hook in hooks)
