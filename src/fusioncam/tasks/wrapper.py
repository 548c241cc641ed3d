"""The base class of the wrappers, and what they share: columns of a row, and checks of settings and outputs."""

from __future__ import annotations

import operator

import torch
from torch import Tensor, nn

from fusioncam.errors import InputTypeError, SettingError, ShapeError, TargetError
from fusioncam.inference.output_reading import OutputReader


class Wrapper(nn.Module):
    """Base class of the wrappers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise InputTypeError(f"expected a network (an instance of torch.nn.Module), got {network!r}")
        self.wrapped = network
        self.reader = OutputReader(warns=False)

    @property
    def row_labels(self) -> tuple[str, ...] | None:
        """The names of the columns of the row, None if they are unknown."""
        return None

    def _register(self, name: str, values: Tensor) -> None:
        """Register a buffer that moves with the network but is not part of its state dict."""
        self.register_buffer(name, values, persistent=False)


def two_columns(z: Tensor) -> Tensor:
    """Stack ``(-z / 2, z / 2)`` along dimension 1; their softmax is ``sigmoid(-z)``, ``sigmoid(z)``."""
    return torch.stack([-z, z], dim=1) / 2


def as_rows(output: object, images: int) -> Tensor:
    """Return an output ``(N, outputs)`` or ``(N,)`` as ``(N, outputs)``."""
    if not isinstance(output, Tensor) or output.dim() not in (1, 2) or len(output) != images:
        raise ShapeError(
            f"expected ({images}, outputs) or ({images},) from the network, got {describe_output(output)}"
        )
    return output.reshape(images, -1)


def column(rows: Tensor, index: int) -> Tensor:
    """Return one output of all images; raise :class:`TargetError` if it does not exist."""
    if index >= rows.shape[1]:
        raise TargetError(f"index must be from 0 to {rows.shape[1] - 1}, the last output of the network, got {index}")
    return rows[:, index]


def as_index(value: object, name: str) -> int:
    """Convert an integer of Python, numpy or torch; raise :class:`TargetError` for others and negative ones."""
    try:
        index = -1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type] # TypeError is caught
    except TypeError:
        index = -1
    if index < 0:
        raise TargetError(f"{name} must be an index of at least 0, got {value!r}")
    return index


def as_positive(value: float, name: str) -> float:
    """Return the number; raise :class:`SettingError` unless it is positive and finite."""
    if not 0 < value < float("inf"):
        raise SettingError(f"{name} must be a positive number, got {value!r}")
    return value


def describe_output(output: object) -> str:
    """Return the shape of a tensor, or the name of another type."""
    return str(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__
