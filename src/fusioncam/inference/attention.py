"""Collect the attentions of a forward pass, in any module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class AttentionOutput:
    """One attention: ``queries`` and ``output`` ``(N, heads, Q, d)``, ``keys``, ``values`` ``(N, heads, K, d)``.

    ``settings`` are the further arguments, such as a mask or a scale.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    output: Tensor
    settings: Mapping[str, Any] = field(default_factory=dict)

    def weights(self) -> Tensor:
        """Return the attention weights ``(N, heads, Q, K)``: its output for values that are the identity matrix."""
        tokens = self.keys.shape[-2]
        identity = torch.eye(tokens).to(self.values).expand(*self.keys.shape[:-1], tokens)
        return F.scaled_dot_product_attention(self.queries, self.keys, identity, **self.settings)


# the parameters of scaled_dot_product_attention that may be passed by position
_PARAMETERS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")


class _AttentionMode(TorchFunctionMode):
    """Append what every attention reads and returns to a list."""

    def __init__(self, found: list[AttentionOutput]) -> None:
        super().__init__()
        self._found = found
        # a mode intercepts MultiheadAttention as one call of this function: run a copy of the function in which the
        # attention inside is replaced
        whole = F.multi_head_attention_forward
        names = {**whole.__globals__, "scaled_dot_product_attention": self._attend}
        self._multi_head = FunctionType(whole.__code__, names, whole.__name__, whole.__defaults__)

    def _attend(self, *args: Any, **kwargs: Any) -> Tensor:
        output: Tensor = F.scaled_dot_product_attention(*args, **kwargs)
        named = kwargs | dict(zip(_PARAMETERS, args, strict=False))
        queries, keys, values = (named.pop(name) for name in _PARAMETERS[:3])
        self._found.append(AttentionOutput(queries, keys, values, output, named))
        return output

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        replacements: dict[Any, Callable[..., Any]] = {
            F.scaled_dot_product_attention: self._attend,
            F.multi_head_attention_forward: self._multi_head,
        }
        return replacements.get(function, function)(*args, **(kwargs or {}))


@contextmanager
def attentions() -> Iterator[list[AttentionOutput]]:
    """Collect every attention of this thread, in any module: timm's, torchvision's or Hugging Face's."""
    found: list[AttentionOutput] = []
    with _AttentionMode(found):
        yield found
