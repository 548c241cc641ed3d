"""Import PyTorch, torchvision and timm in half the time, for a command that compiles no network.

Two things take the other half: collections of garbage, of which imports leave little, and PyTorch's compiler
``torch._dynamo``. torchvision, timm and padding use two functions of it, which do nothing in networks that are not
compiled.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_MODULES = (_COMPILER, f"{_COMPILER}.utils")


def import_quickly(name: str) -> ModuleType:
    """Import a module and what it needs, except PyTorch's compiler, which is imported when it is used."""
    if name in sys.modules:
        return sys.modules[name]
    with _without_collections():
        import torch  # noqa: F401 # complete before the compiler, which is a part of it, is deferred

        if not any(module in sys.modules for module in _MODULES):
            sys.modules.update({module: _Deferred(module) for module in _MODULES})
        return import_module(name)


def end_quickly() -> None:
    """Leave out the collection of garbage at the end of the process, whose memory the system frees anyway."""
    atexit.register(gc.freeze)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Collect no garbage while the block runs, and do not look at its objects later: modules stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


class _Deferred(ModuleType):
    """A module of the compiler: all but the names that networks use without compiling are those of the real one."""

    def __getattr__(self, name: str) -> Any:
        if name in _UNCOMPILED:
            return _UNCOMPILED[name]
        # the import system looks for special names; only that of the path, by which submodules are found, matters
        if name.startswith("__") and (name != "__path__" or self.__name__ != _COMPILER):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_real(self.__name__), name, value)


def _real(name: str) -> ModuleType:
    """Return a module of the compiler, which is imported now if it was deferred."""
    for module in _MODULES:
        if isinstance(sys.modules.get(module), _Deferred):
            del sys.modules[module]
    return import_module(name)


def _is_loaded() -> bool:
    return not isinstance(sys.modules.get(_COMPILER), _Deferred)


def _is_compile_supported(device_type: str) -> Any:
    """Return whether a kind of device can run compiled networks, which torchvision asks when it aligns regions."""
    return _real(f"{_COMPILER}.utils").is_compile_supported(device_type)


def _disable(function: Any = None, *arguments: Any, **settings: Any) -> Any:
    """Return a function that is never compiled: itself, as long as the compiler is not loaded."""
    if not isinstance(function, FunctionType) or _is_loaded():
        return _real(_COMPILER).disable(function, *arguments, **settings)

    @wraps(function)
    def call(*words: Any, **named: Any) -> Any:
        if not _is_loaded():
            return function(*words, **named)
        return _real(_COMPILER).disable(function, *arguments, **settings)(*words, **named)

    return call


_UNCOMPILED = {"is_compile_supported": _is_compile_supported, "disable": _disable}
