"""How a network is called: which of its inputs is the image, what goes along with it, and which output is read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fusioncam.errors import InputTypeError, ShapeError, shown
from fusioncam.inference.hooks import has_hooks
from fusioncam.inference.outputs import Read, check_read, scores_of

# the inputs beside the image: by name, or in order
Extra = Mapping[str, Any] | Sequence[Any]


@dataclass(frozen=True, eq=False)
class Calling:
    """The calling convention of a network.

    ``extra`` are its inputs beside the image, by name or in order, and ``vary`` is the name or the position of the
    image; by default it is the first argument. A network that takes one dict, tuple or list gets all inputs in one.
    Tensors and lists of one row are repeated for each image of a batch. A callable input is called with the number of
    rows, for what must not be repeated. ``read`` selects the scores: see :func:`scores_of`.
    """

    extra: Extra | None = None
    vary: str | int | None = None
    read: Read = None

    def __post_init__(self) -> None:
        check_read(self.read)
        by_name = isinstance(self.extra, Mapping)
        if self.extra is not None and not (by_name or isinstance(self.extra, (tuple, list))):
            raise InputTypeError(
                f"extra must be a dict of inputs by name, or a tuple of inputs in order, got {shown(self.extra)}"
            )
        kinds: dict[type, bool] = {str: by_name or self.extra is None, int: not by_name}
        if self.vary is not None and not kinds.get(type(self.vary), False):
            form = "a name, as the inputs in extra have names" if by_name else "a name or a position"
            raise InputTypeError(f"vary must be {form}, got {self.vary!r}")
        if isinstance(self.vary, int) and not 0 <= self.vary <= len(self.extra or ()):
            raise InputTypeError(f"vary must be a position from 0 to {len(self.extra or ())}, got {self.vary}")
        if by_name and self.vary in (self.extra or {}):
            raise InputTypeError(f"extra has an input '{self.vary}', which is the image: leave it out")

    @property
    def engine_key(self) -> str | None:
        """What a converted copy of the network depends on beside its inputs; None if it cannot be converted."""
        if self.extra is not None or callable(self.read):
            return None
        return "" if self.read is None and self.vary is None else repr((self.vary, self.read))

    def outputs(self, network: Callable[..., Any], x: Tensor, rows: int) -> Tensor:
        """Return the outputs ``(rows, classes)`` of the network, or of a copy of it, for images ``(B, C, *s)``."""
        return scores_of(self(network, x), rows, self.read)

    def __call__(self, network: Callable[..., Any], x: Tensor) -> object:
        """Return what the network returns for images ``x`` ``(B, C, *s)``.

        Raises :class:`ShapeError` if the network fails on inputs whose number of rows is not that of the images.
        """
        network = _running_hooks(network)
        if self.extra is None and self.vary is None:
            return network(x)
        args, named = self._arguments(network, x)
        try:
            return network(*args, **named)
        except (RuntimeError, IndexError, ValueError) as error:
            other = self._of_other_length(len(x))
            if not other or isinstance(error, torch.OutOfMemoryError):
                raise
            raise ShapeError(
                f"the network fails on {len(x)} images with {other}: give one row for each image, or one row for all"
            ) from error

    def row(self, image: int, images: int) -> Calling:
        """Return the convention for one of so many images: with its row of every input that has a row for each."""
        return replace(self, extra=_each(self.extra, lambda value: _row(value, image, images)))

    def has_rows(self, images: int) -> bool:
        """Return whether an input has a row for each of several images."""
        return images > 1 and any(_length(value) == images for value in _values(self.extra))

    def _arguments(self, network: Callable[..., Any], x: Tensor) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the positional and the named arguments of a call."""
        extra = _each(self.extra, lambda value: _repeated(value, x))
        if isinstance(extra, Mapping):
            if self.vary is None:
                return (x,), extra
            inputs = {str(self.vary): x, **extra}
            return ((inputs,), {}) if _takes_one_dict(network, inputs) else ((), inputs)
        if isinstance(self.vary, str):
            return (), {self.vary: x}
        place, others = self.vary or 0, list(extra or ())
        ordered = [*others[:place], x, *others[place:]]
        if _takes_one_sequence(network, len(ordered)):
            return ((tuple(ordered) if isinstance(self.extra, tuple) else ordered),), {}
        return ordered, {}

    def _of_other_length(self, rows: int) -> str:
        """Return the inputs with another number of rows than 1 and ``rows``, as text."""
        named = self.extra.items() if isinstance(self.extra, Mapping) else enumerate(self.extra or ())
        lengths = {name: _length(value) for name, value in named}
        wrong = {name: length for name, length in lengths.items() if length not in (None, 1, rows)}
        return ", ".join(f"{length} rows of the input {name!r}" for name, length in wrong.items())


def _running_hooks(network: Callable[..., Any]) -> Callable[..., Any]:
    """Return the network inside DataParallel for a pass with hooks: they do not run in its copies on several GPUs."""
    return network.module if isinstance(network, nn.DataParallel) and has_hooks(network) else network


def _each(extra: Any, change: Callable[[Any], Any]) -> Any:
    """Return a value of the same structure whose leaves are changed."""
    if isinstance(extra, Mapping):
        return {name: _each(value, change) for name, value in extra.items()}
    if isinstance(extra, (tuple, list)) and not _is_text(extra):
        return type(extra)(_each(value, change) for value in extra) if type(extra) in (tuple, list) else extra
    return change(extra)


def _values(extra: Any) -> Iterator[Any]:
    """Yield the leaves of nested inputs."""
    if isinstance(extra, Mapping):
        extra = list(extra.values())
    if isinstance(extra, (tuple, list)) and not _is_text(extra):
        for value in extra:
            yield from _values(value)
    elif extra is not None:
        yield extra


def _is_text(value: Sequence[Any]) -> bool:
    return bool(value) and all(isinstance(one, str) for one in value)


def _length(value: Any) -> int | None:
    """Return the number of rows of a tensor or a list of texts, None for other values."""
    if isinstance(value, Tensor):
        return len(value) if value.dim() else None
    return len(value) if isinstance(value, (tuple, list)) and _is_text(value) else None


def _row(value: Any, image: int, images: int) -> Any:
    return value[image : image + 1] if _length(value) == images else value


def _repeated(value: Any, x: Tensor) -> Any:
    """Return a value for so many images, on the device of these and in their precision if it is floating-point."""
    if isinstance(value, Tensor):
        value = value.detach().to(x.device, x.dtype if value.is_floating_point() else None)
        return value.expand(len(x), *value.shape[1:]) if value.dim() and len(value) == 1 else value
    if _length(value) == 1:
        return type(value)(list(value) * len(x))
    return value(len(x)) if callable(value) else value


def _takes_one_dict(network: Callable[..., Any], inputs: Mapping[str, Any]) -> bool:
    """Return whether a network takes one dict: it has one required argument, and lacks some of the names."""
    parameters = _parameters(network)
    kinds = {parameter.kind for parameter in parameters}
    known = {parameter.name for parameter in parameters}
    return inspect.Parameter.VAR_KEYWORD not in kinds and not set(inputs) <= known and _required(parameters) == 1


def _takes_one_sequence(network: Callable[..., Any], inputs: int) -> bool:
    """Return whether a network takes its inputs in one sequence: it has one required argument and no more."""
    parameters = _parameters(network)
    positional = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    several = any(parameter.kind == inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    return inputs > 1 and not several and _required(parameters) == 1 and len(positional) < inputs


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _required(parameters: Sequence[inspect.Parameter]) -> int:
    return sum(one.default is inspect.Parameter.empty and one.kind in _POSITIONAL for one in parameters)


def _parameters(network: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of the forward method, also inside torch.compile and DataParallel."""
    inner: Any = network
    while isinstance(inner, nn.Module):
        wrapped = getattr(inner, "_orig_mod", None)
        if wrapped is None and isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel):
            wrapped = inner.module
        if wrapped is None:
            break
        inner = wrapped
    try:
        return list(inspect.signature(getattr(inner, "forward", inner)).parameters.values())
    except (TypeError, ValueError):  # TorchScript's methods have no signature
        return []
