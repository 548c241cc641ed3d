"""Find out whether one recorded graph represents a network: whether it computes the same for every input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


def watched_pass(network: nn.Module, forward: Callable[[], Tensor]) -> tuple[Tensor, str | None]:
    """Run one pass of the network by ``forward``; return its result, and why a recorded graph could differ from it.

    A graph contains neither Python's decisions on values of tensors, nor random numbers, nor changes of the network's
    own tensors. None if there is no such reason.
    """
    tensors = [*network.parameters(), *network.buffers()]
    versions = [tensor._version for tensor in tensors]
    with _Watch() as watch:
        result = forward()
    if [tensor._version for tensor in tensors] != versions:
        return result, "a pass changes its parameters or buffers"
    return result, watch.reason


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Run operators as they are, and note the first one that no recorded graph can represent."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reason: str | None = None

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reason = self.reason or _reason_against(function, args, kwargs or {})
        return function(*args, **(kwargs or {}))


def _reason_against(function: Any, args: Any, kwargs: Any) -> str | None:
    tags, name = function.tags, function._schema.name
    if torch.Tag.data_dependent_output in tags:
        return f"it depends on the values of a tensor in Python ({name})"
    if torch.Tag.dynamic_output_shape in tags and _has_dynamic_shape(name, args):
        return f"the shape of a tensor depends on values ({name})"
    if torch.Tag.nondeterministic_seeded in tags and _draws(function, args, kwargs):
        return f"it draws random numbers ({name})"
    return None


def _has_dynamic_shape(name: str, args: Any) -> bool:
    """Return whether the shape of the result depends on values; an indexed tensor's does only for a mask."""
    return name != "aten::index" or any(
        index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
    )


def _draws(function: Any, args: Any, kwargs: Any) -> bool:
    """Return whether the operator draws random numbers: attention does only if it drops some of its weights."""
    names = [argument.name for argument in function._schema.arguments]
    if "dropout_p" not in names:
        return True
    given = dict(zip(names, args, strict=False)) | kwargs
    return bool(given.get("dropout_p", 0.0) > 0)
