"""Find the scores in what a network returns: a tensor, or a part of a dict, tuple or Hugging Face's ModelOutput."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

from torch import Tensor

from fusioncam.errors import InputTypeError, ShapeError, shown

_ROUNDING = 1e-2  # of probabilities, also in half precision

# the key, the position, or a function of the part of the output that holds the scores
Read = str | int | Callable[[Any], Tensor] | None


def check_read(read: object) -> None:
    """Raise :class:`InputTypeError` unless ``read`` is a key, a position, a function or None."""
    if read is not None and (isinstance(read, bool) or not (isinstance(read, (str, int)) or callable(read))):
        raise InputTypeError(
            "read must be a key such as 'logits', a position such as 0, or a function from the network's output to "
            f"(N, classes), got {shown(read)}"
        )


def scores_of(output: object, rows: int, read: Read = None) -> Tensor:
    """Return the scores ``(rows, classes)`` in an output.

    ``read`` is the key or position of the part that holds them, or a function of the output. Without it, the output
    is a tensor, or has a part ``logits`` as Hugging Face's outputs have. One number per image is one class, and sides
    of 1 after the classes are left out.

    Raises :class:`ShapeError` for other shapes, with what to write for such an output.
    """
    outputs = part_of(output, read)
    if isinstance(outputs, Tensor) and outputs.shape[:1] == (rows,) and prod(outputs.shape[2:]) == 1:
        # tensors of inference mode cannot be changed, nor saved by autograd
        return (outputs.clone() if outputs.is_inference() else outputs).reshape(rows, -1)
    name = "the network" if read is None else f"read={read!r}" if not callable(read) else "the function read"
    raise ShapeError(
        f"expected {name} to return scores ({rows}, classes), got {_form(outputs)}: {_advice(output, rows)}"
    )


def part_of(output: object, read: Read) -> object:
    """Return the part of an output that ``read`` selects; without it, the part ``logits`` or the only part, if any.

    Raises :class:`ShapeError` if there is no such part.
    """
    if callable(read):
        return read(output)
    if read is None:
        return _obvious_part(output)
    parts = dict(parts_of(output))
    if read in parts:
        return parts[read]
    if isinstance(read, str) and hasattr(output, read):
        return getattr(output, read)
    if isinstance(read, int) and isinstance(output, Mapping) and -len(parts) <= read < len(parts):
        return list(parts.values())[read]
    if isinstance(read, int) and len(parts) > 1 and -len(parts) <= read < 0:
        return parts[read + len(parts)]
    raise ShapeError(f"the network's output has no part {read!r}, it is {_form(output)}: name one of its parts")


def parts_of(output: object) -> Iterator[tuple[str | int, object]]:
    """Yield the parts of a dict by their keys, and those of a tuple or list by their positions."""
    if isinstance(output, Mapping):
        yield from ((str(key), value) for key, value in output.items())
    elif isinstance(output, (tuple, list)):
        yield from enumerate(output)


def _obvious_part(output: object) -> object:
    if isinstance(output, Tensor):
        return output
    parts = dict(parts_of(output))
    logits = getattr(output, "logits", parts.get("logits"))
    if logits is not None:
        return logits
    if len(parts) == 2 and _are_of_one_softmax(*parts.values()):
        return list(parts.values())[1]
    return next(iter(parts.values())) if len(parts) == 1 else output


def _are_of_one_softmax(probabilities: object, logits: object) -> bool:
    """Return whether an output is probabilities beside their logits, as that of ultralytics' classifiers."""
    if not (isinstance(probabilities, Tensor) and isinstance(logits, Tensor)) or logits.is_meta:
        return False
    same = probabilities.dim() == 2 and probabilities.shape == logits.shape and logits.is_floating_point()
    return same and bool((logits.softmax(1) - probabilities).abs().amax() < _ROUNDING)


def _form(output: object) -> str:
    """Return the structure of an output with the shapes of its tensors."""
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    parts = [f"{name!r}: {_form(part)}" for name, part in list(parts_of(output))[:6]]
    return f"{type(output).__name__} of {', '.join(parts)}" if parts else type(output).__name__


def _advice(output: object, rows: int) -> str:
    """Return what to write for an output without obvious scores."""
    parts = [(None, output)] if isinstance(output, Tensor) else list(parts_of(output))
    advice = [
        f"pass read={name!r} to ExplainedModel for its {tuple(part.shape)}"
        for name, part in parts
        if name is not None and isinstance(part, Tensor) and part.shape[:1] == (rows,) and prod(part.shape[2:]) == 1
    ]
    tensors = [part for _, part in parts if isinstance(part, Tensor)]
    if _has_boxes(output) or any(part.dim() == 3 for part in tensors):
        advice.append("wrap a detector in fusioncam.tasks.Detection(network, box, label)")
    if any(part.dim() == 4 for part in tensors):
        advice.append("wrap a segmentation network in fusioncam.tasks.Segmentation(network)")
    advice.append("pass read=lambda output: ... that returns one row of scores per image")
    return ", or ".join(advice)


def _has_boxes(output: object) -> bool:
    if isinstance(output, list) and output:
        return isinstance(output[0], Mapping) and "boxes" in output[0]
    return isinstance(output, Mapping) and any("boxes" in str(key) for key in output)
