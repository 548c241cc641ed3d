"""Run what torch.compile compiled as it was written: hooks, gradients and batch sizes would compile it again."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, eq=False)
class CompiledPart:
    """A compiled module, the attribute that holds the compiled code, and this code."""

    module: nn.Module
    attribute: str
    code: Any


def is_compiled(module: nn.Module) -> bool:
    """Return whether a module is what ``torch.compile(module)`` returns."""
    # not imported here, because importing PyTorch's compiler takes longer than explaining an image
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(module, compiler.OptimizedModule)


def run_eagerly(modules: Iterable[nn.Module]) -> list[CompiledPart]:
    """Make compiled modules run as they were written, without changing them otherwise; return them."""
    parts = []
    for module in modules:
        if is_compiled(module):
            parts.append(CompiledPart(module, "forward", vars(module)["forward"]))
            vars(module)["forward"] = vars(module)["_modules"]["_orig_mod"].__call__
        elif "_compiled_call_impl" in vars(module):  # by module.compile()
            parts.append(CompiledPart(module, "_compiled_call_impl", vars(module).pop("_compiled_call_impl")))
    return parts


def run_compiled(parts: Iterable[CompiledPart]) -> None:
    """Undo :func:`run_eagerly`."""
    for part in parts:
        vars(part.module)[part.attribute] = part.code
