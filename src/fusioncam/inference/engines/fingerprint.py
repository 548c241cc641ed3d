"""Hash a network, so that a converted copy is used only for exactly the network that it was made from."""

from __future__ import annotations

import hashlib
import inspect
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, str, bytes, type(None), torch.dtype, torch.Size)


def fingerprint(network: nn.Module) -> str:
    """Return a hash of the modules, their settings and every value of their parameters and buffers.

    Values are read each time, because a write through ``.data`` changes a tensor without a trace.
    """
    digest = hashlib.sha256()
    for name, module in network.named_modules(remove_duplicate=False):
        digest.update(f"{name}: {_class_name(module)} {_settings(module)}\n".encode())
    for name, tensor in _tensors(network):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def file_key(fingerprint: str, network: nn.Module, shape: torch.Size) -> str:
    """Return a name for a file with the converted network: it differs with the code that computes the passes, too."""
    digest = hashlib.sha256(f"{fingerprint} {tuple(shape)} {platform.machine()} {sys.version_info[:2]}\n".encode())
    classes = {kind for module in network.modules() for kind in type(module).__mro__}
    packages = {kind.__module__.partition(".")[0] for kind in classes} - {"builtins", "__main__"}
    for package in sorted(packages | {"torch", "openvino", "fusioncam"}):
        digest.update(f"{package} {_version(package)}\n".encode())
    own = [kind for kind in classes if kind.__module__.partition(".")[0] not in ("torch", "builtins")]
    for module in sorted({kind.__module__ for kind in own if _file(kind.__module__)}):
        digest.update(Path(_file(module)).read_bytes())
    for kind in sorted(own, key=lambda kind: (kind.__module__, kind.__qualname__)):
        if not _file(kind.__module__):
            digest.update(_source(kind).encode())
    return digest.hexdigest()[:40]


def _class_name(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _settings(module: nn.Module) -> list[tuple[str, str]]:
    """Return the attributes of a module: numbers, texts and functions by value, other objects by their type."""
    return sorted((name, repr(_plain(value))) for name, value in vars(module).items() if name != "training")


def _plain(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return [(str(key), _plain(one)) for key, one in value.items()]
    return (type(value).__qualname__, getattr(value, "__qualname__", ""), _instructions(value))


def _instructions(function: Any) -> str:
    """Return the instructions and numbers of a Python function; empty for anything else."""
    code = getattr(function, "__code__", None)
    return (
        "" if code is None else f"{code.co_code.hex()} {[one for one in code.co_consts if isinstance(one, _PLAIN)]}"
    )


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters, the buffers, and the tensors that are plain attributes."""
    yield from network.named_parameters()
    yield from network.named_buffers()
    for name, module in network.named_modules():
        plain = ((key, value) for key, value in vars(module).items() if isinstance(value, Tensor))
        yield from ((f"{name}.{key}", value) for key, value in plain)


def _bytes_of(tensor: Tensor) -> memoryview:
    values: Any = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return memoryview(values)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", ""))


def _file(module: str) -> str:
    """Return the file with the source of a module; empty if there is none, as in a notebook."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return file if file.endswith(".py") and Path(file).is_file() else ""


def _source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # defined without a file
        return "".join(map(_instructions, vars(kind).values()))
