"""Turn the arguments of a call into those that methods and metrics compute with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fusioncam.errors import FusionCamError, InputTypeError, ShapeError, shown
from fusioncam.functional.heatmaps import expand_like, minmax
from fusioncam.functional.windows import Window, blended, part_of
from fusioncam.inference.cache import cached_passes, memoize_pass, uncached
from fusioncam.inference.calling import Calling
from fusioncam.inference.context import current_context, image_names, without_flat_warnings
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Target, Targets, as_targets
from fusioncam.model.windows import windows_in

F = TypeVar("F", bound=Callable[..., Any])
# one input (N, C, *s), or all inputs of a network in order or by name
Inputs = Tensor | Sequence[Any] | Mapping[str, Any]


def usual_arguments(
    model: ExplainedModel | nn.Module, x: Inputs, target: Target
) -> tuple[ExplainedModel, Tensor, Target]:
    """Return a model for a network, the image ``x`` among several inputs, and the predicted class for None.

    The model is called with the other inputs. A tensor of a subclass becomes a plain one.
    """
    model = as_explained(model)
    if isinstance(x, (tuple, list, Mapping)):
        model, x = with_inputs(model, x, model.vary[0])
    if isinstance(x, Tensor) and type(x) is not Tensor:
        x = without_subclass(x)
    image: Tensor = x  # type: ignore[assignment] # what is no tensor raises an error when it is validated
    return model, image, predicted_classes(model, image) if target is None else target


def explains(function: F) -> F:
    """Decorate the ``__call__`` of a method ``(self, model, x, target)``, so that it takes more than its signature.

    It takes what :func:`usual_arguments` does, and several varied inputs, for which it returns a heatmap each. Inputs
    beside the images with a row for each of them are explained row by row, and a network that sees an input through
    a window is explained window by window. Results are memoised.
    """
    memoised = memoize_pass(function)

    @functools.wraps(function)
    def call(method: Any, model: Any, x: Any, target: Any = None) -> Any:
        if isinstance(model, ExplainedModel) and len(model.vary) > 1 and not isinstance(x, Tensor):
            maps = {name: call(method, *with_inputs(model, x, name), target) for name in model.vary}
            return maps if isinstance(x, Mapping) else tuple(maps.values())
        model, x, target = usual_arguments(model, x, target)
        if len(windows := windows_in(model.network, x)) > 1:
            return by_windows(functools.partial(call, method), model, x, target, windows)
        try:
            rows = [memoised(method, *one) for one in each_row(model, x, target)]
            return joined(rows) if rows else memoised(method, model, x, target)
        except RuntimeError as error:
            if isinstance(error, (FusionCamError, torch.OutOfMemoryError)) or not takes_one_batch_size(model, x):
                raise
            with suppress(RuntimeError, ShapeError):
                return memoised(method, model.with_fixed_rows(len(x)), x, target)
            raise ShapeError(
                f"the network runs on a batch of {len(x)}, as passed, and not on one of {len(x) + 1}, which methods "
                "need: if it adds other inputs itself, make these its arguments and pass them by "
                "ExplainedModel(network, extra={...})"
            ) from error

    return call  # type: ignore[return-value] # the same signature, with wider types


def takes_one_batch_size(model: ExplainedModel, x: Tensor) -> bool:
    """Return whether a network runs on a batch, but not on one with another image."""
    try:
        model.logits(x)
    except Exception:  # a network may raise anything
        return False
    try:
        model.logits(torch.cat([x, x[:1]]))
    except Exception:
        return True
    return False


def each_row(model: ExplainedModel, x: Tensor, target: Target) -> Iterator[tuple[ExplainedModel, Tensor, Targets]]:
    """Yield the arguments of each image if an input beside the images has a row for each of them, else nothing."""
    calling, layers = model.runner.calling, None
    if not isinstance(x, Tensor) or not calling.has_rows(len(x)):
        return
    targets, names = as_targets(target, x), current_context().image_names
    for n in range(len(x)):
        one = model.called(calling.row(n, len(x)), layers)
        layers = one.layers
        with image_names([names[n] if names else f"image {n} of the batch"]):
            yield one, x[n : n + 1], targets[n : n + 1]


def by_windows(
    method: Callable[..., Tensor], model: ExplainedModel, x: Tensor, target: Target, windows: Sequence[Window]
) -> Tensor:
    """Return heatmaps ``(N, *s)`` blended from those of the windows.

    A window counts as much as the probability of the target in it exceeds that in the least probable window. What is
    recorded of a window is not kept for the next.
    """
    parts = [part_of(x, window) for window in windows]
    with uncached():
        probabilities = torch.stack([model.scores(part.contiguous(), target, "probability") for part in parts])
    counts = minmax(probabilities.T).T

    def explained(part: Tensor, count: Tensor) -> Tensor:
        if not count.any():
            return torch.zeros_like(part[:, 0])
        with uncached(), cached_passes():
            return method(model, part.contiguous(), target) * expand_like(count, part[:, 0])

    with without_flat_warnings():
        whole = blended(map(explained, parts, counts), windows, x.shape[2:])
    return minmax(whole)


def joined(rows: Sequence[Any]) -> Any:
    """Return results of single images as one of a batch: tensors, and dataclasses and dicts of tensors."""
    first: Any = rows[0]
    if isinstance(first, Tensor):
        return torch.cat(list(rows))
    if isinstance(first, Mapping):
        return {name: joined([row[name] for row in rows]) for name in first}
    if is_dataclass(first):
        values = {one.name: joined([getattr(row, one.name) for row in rows]) for one in fields(first)}
        return replace(first, **values)  # type: ignore[type-var] # an instance, not a class
    return first


def as_explained(model: ExplainedModel | nn.Module) -> ExplainedModel:
    """Return the model itself, or that of a network; raise :class:`InputTypeError` for anything else."""
    return model if isinstance(model, ExplainedModel) else _of_network(model)


@memoize_pass
def _of_network(network: nn.Module) -> ExplainedModel:
    if not isinstance(network, nn.Module):
        raise InputTypeError(f"expected an ExplainedModel or a network (torch.nn.Module), got {shown(network)}")
    return ExplainedModel(network)


@memoize_pass
def with_inputs(
    model: ExplainedModel, inputs: Sequence[Any] | Mapping[str, Any], vary: str | int | None
) -> tuple[ExplainedModel, Tensor]:
    """Return the image among all inputs of a network, and the model that is called with the others.

    Raises :class:`InputTypeError` if it is not known which input is the image.
    """
    calling = model.runner.calling
    extra: Any = calling.extra
    if isinstance(inputs, Mapping):
        name = _image_name(inputs) if vary is None else str(vary)
        known = dict(extra) if isinstance(extra, Mapping) else {}
        others: Any = {key: value for key, value in (known | dict(inputs)).items() if key != name}
        if name not in inputs:
            raise InputTypeError(f"the inputs {', '.join(map(str, inputs))} lack the image '{name}': add it")
        return model.called(Calling(others, name, calling.read)), inputs[name]
    place = 0 if vary is None else vary
    if not isinstance(place, int) or not 0 <= place < len(inputs) or isinstance(extra, Mapping):
        raise InputTypeError(
            f"got {len(inputs)} inputs without names, but the model's inputs have names, vary={vary!r}: pass a dict"
        )
    others = type(inputs)([*inputs[:place], *inputs[place + 1 :], *(extra or ())])  # type: ignore[call-arg]
    return model.called(Calling(others, place, calling.read)), inputs[place]


def _image_name(inputs: Mapping[str, Any]) -> str:
    """Return the name of the only input that may be an image: a floating-point tensor with sides."""
    names = [
        name for name, one in inputs.items() if isinstance(one, Tensor) and one.dim() > 3 and one.is_floating_point()
    ]
    if len(names) != 1:
        known = ", ".join(map(str, inputs))
        raise InputTypeError(f"which of the inputs {known} is the image? Pass ExplainedModel(network, vary='...')")
    return names[0]


@memoize_pass
def predicted_classes(model: ExplainedModel, x: Tensor) -> Tensor:
    """Return the class ``(N,)`` with the highest score of each image."""
    return model.logits(x).argmax(1)


@memoize_pass
def without_subclass(x: Tensor) -> Tensor:
    """Return the tensor as a plain one, as for MONAI's ``MetaTensor``, whose operations keep track of other data."""
    return x.as_subclass(Tensor)
