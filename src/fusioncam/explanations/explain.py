"""From images to explanations: opened, batched, by several methods that share what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, product
from pathlib import Path

import torch
from torch import nn

from fusioncam.data.images import ImageLike, open_image
from fusioncam.errors import (
    FusionCamError,
    ImageError,
    LayerError,
    MethodError,
    NonFiniteError,
    ShapeError,
    TargetError,
    UnknownNameError,
)
from fusioncam.explanations.class_selection import choose, fitting, top
from fusioncam.explanations.explanation import Explanation, Provenance
from fusioncam.explanations.method_output import MethodOutput
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.inference.context import image_names
from fusioncam.inference.hooks import find
from fusioncam.methods.base import Method, layers_of
from fusioncam.methods.registry import as_method, as_methods
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.zoo.loading import DEFAULT_MODEL, as_model

# what is wrong with the request is wrong for every image
_REQUEST = (TargetError, LayerError, MethodError, ShapeError, UnknownNameError)


def explain(
    image: ImageLike,
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    method: str | Method = "fusion-cam",
    target: int | str | None = None,
    device: str | None = None,
    check: bool = False,
) -> Explanation:
    """Explain what a network sees of one class in one image.

    ``image`` is a path, a PIL image or a uint8 array ``(H, W, 3)``. ``model`` is a name (:func:`load_model`), a
    network or an :class:`ExplainedModel`; ``layer`` a dotted name, by default the last spatial map before pooling.
    ``device`` moves the network there, also one that was handed over.
    ``method`` is a SPEC or a callable; ``target`` a class index, a class name or None for the predicted class.
    ``check`` also measures how far the heatmap can be trusted: see :meth:`Explanation.check`.

    Errors are :class:`FusionCamError`: of the image, the model's weights, the layer, the target or a name.
    """
    if isinstance(target, str) and top(target) != 1:
        raise TargetError(f"'{target}' asks for several heatmaps: use explain_each(..., target='{target}')")
    as_method(method)
    explained = as_model(model, layer, device)
    return next(explain_each([image], model=explained, methods=[method], target=target, check=check))


def explain_each(
    images: Iterable[ImageLike],
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    methods: Sequence[str | Method] = ("fusion-cam",),
    target: int | str | None = None,
    device: str | None = None,
    batch_size: int = 1,
    check: bool = False,
    on_error: Callable[[ImageLike, Exception], None] | None = None,
) -> Iterator[Explanation]:
    """Explain many images by several methods, which share all that they have in common.

    Gives the explanations image by image, for each class asked for, for each method. ``target`` may also be
    ``"top3"`` (any number): the most probable classes. ``check`` also measures how far each can be trusted. Without
    ``on_error`` the first failure is raised; with it an image that fails is handed to it and the others go on. A
    wrong request (layer, class, method) is raised.
    """
    if isinstance(images, (str, Path)):
        raise ImageError(f"expected a list of images, got {images!r}: write [{images!r}], or use explain(...)")
    if isinstance(methods, str):
        raise UnknownNameError(f"expected a list of methods, got {methods!r}: write [{methods!r}]")
    explained = as_model(model, layer, device)
    found = explain_batches(images, explained, methods, target, batch_size, check=check, on_error=on_error)
    return chain.from_iterable(found)


def explain_batches(
    images: Iterable[ImageLike],
    model: ExplainedModel,
    methods: Sequence[str | Method],
    target: int | str | None,
    batch_size: int = 1,
    *,
    check: bool = False,
    on_error: Callable[[ImageLike, Exception], None] | None = None,
) -> Iterator[list[Explanation]]:
    """Do what :func:`explain_each` does, with the explanations of each image together."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ShapeError(f"batch_size is a number of images, at least 1, got {batch_size!r}")
    named = named_methods(model, methods)
    remaining = iter(images)
    batches = iter(lambda: list(islice(remaining, batch_size)), [])
    return chain.from_iterable(_tolerant(model, batch, named, target, check, on_error) for batch in batches)


def named_methods(model: ExplainedModel, methods: Sequence[str | Method]) -> list[tuple[str, Method]]:
    """Give the methods with their names, each once; raise an error if a layer that one asks for does not exist."""
    named = dict(chain.from_iterable(map(as_methods, methods)))
    for layer in set().union(*map(layers_of, named.values())):
        if layer is not None:
            find(model.network, layer)
    return list(named.items())


def _tolerant(
    model: ExplainedModel,
    batch: list[ImageLike],
    methods: list[tuple[str, Method]],
    target: int | str | None,
    check: bool,
    on_error: Callable[[ImageLike, Exception], None] | None,
) -> Iterator[list[Explanation]]:
    """Explain a batch; if it fails, each of its images alone, so that one spoils no other."""
    try:
        explanations = _explain_batch(model, batch, methods, target)
        for explanation in chain.from_iterable(explanations) if check else ():
            explanation.check()
        yield from explanations
    except _REQUEST:
        raise
    except Exception as error:  # of the network too: the user's code may raise anything
        if len(batch) > 1:
            for one in batch:
                yield from _tolerant(model, [one], methods, target, check, on_error)
            return
        if isinstance(error, FusionCamError):
            error.add_note(f"image: {name_of(batch[0])}, model: {model.name}")
        if on_error is None:
            raise
        on_error(batch[0], error)


def _explain_batch(
    model: ExplainedModel, batch: list[ImageLike], methods: list[tuple[str, Method]], target: int | str | None
) -> list[list[Explanation]]:
    images = [open_image(one) for one in batch]
    views = [model.preprocessing.view(image) for image in images]
    x = torch.stack([model.preprocessing(image) for image in images]).to(model.device)
    names = [name_of(one) for one in batch]
    layers = set().union(*(layers_of(method) for _, method in methods))
    with cached_passes(), image_names(names), prefetch_layers(x, layers):
        probabilities = model.logits(x).float().softmax(1).cpu()
        if not probabilities.isfinite().all():
            raise NonFiniteError("the network gave NaN or infinity among its scores")
        labels = fitting(model.labels, probabilities.shape[1])
        chosen = product(choose(target, probabilities, labels), methods)
        made = [
            (classes, name, method, MethodOutput.of(model, x, classes, method)) for classes, (name, method) in chosen
        ]
    return [
        [
            Explanation(
                source=source,
                image=view,
                method=name,
                model=model.name,
                target=int(classes[n]),
                label=labels[int(classes[n])] if labels else None,
                probability=float(probabilities[n, classes[n]]),
                preprocessing=model.preprocessing,
                _made_by=Provenance(model, x[n : n + 1], method),
                **outcome.of_image(n),
            )
            for classes, name, method, outcome in made
        ]
        for n, (source, view) in enumerate(zip(names, views, strict=True))
    ]


def name_of(image: ImageLike) -> str:
    """Give an image's path, or what it is where it has none."""
    path = image if isinstance(image, (str, Path)) else getattr(image, "filename", None)
    return str(path or type(image).__name__.lower())
