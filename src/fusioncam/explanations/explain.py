"""Explain images: open them, batch them, and run methods that share their passes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from fusioncam.data.image_content import ImageContent, contents_of
from fusioncam.data.images import ImageLike, open_with_channels
from fusioncam.errors import (
    FusionCamError,
    FusionCamWarning,
    InputTypeError,
    LayerError,
    MethodError,
    SettingError,
    ShapeError,
    TargetError,
    UnknownNameError,
    require_count,
)
from fusioncam.explanations.class_selection import (
    choose_classes,
    predict_probabilities,
    requested_top,
    require_label_per_class,
)
from fusioncam.explanations.explanation import Explanation, Provenance
from fusioncam.explanations.method_output import MethodOutput
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.inference.context import image_names
from fusioncam.inference.hooks import find
from fusioncam.inference.random_state import kept_random_state
from fusioncam.methods.base import Method, layers_of
from fusioncam.methods.registry import as_method, as_methods
from fusioncam.methods.warm_up import warm_up
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.utils.old_names import old_keywords
from fusioncam.zoo.loading import DEFAULT_MODEL, as_model

OnError = Callable[[ImageLike, Exception], None]

# errors of the request, which every image would raise
_REQUEST_ERRORS = (TargetError, LayerError, MethodError, SettingError, ShapeError, UnknownNameError)


@old_keywords(picture="image")
def explain(
    image: ImageLike,
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    method: str | Method = "fusion-cam",
    target: int | str | None = None,
    device: str | None = None,
    check: bool = False,
    frame: int | None = None,
) -> Explanation:
    """Explain one class of one image.

    ``image`` is a path, a PIL image, an array ``(H, W, C)`` or a tensor ``(C, H, W)``, both of 8 or 16 bits or
    floating-point numbers in [0, 1]. It has as many channels as the model's preprocessing; a network of 1 or 3
    channels takes grey and RGB.
    ``model`` is a name (:func:`load_model`), a network or an :class:`ExplainedModel`; ``layer`` a dotted name, by
    default the last spatial feature map before pooling. ``device`` moves the network there, also a network of yours.
    ``method`` is a SPEC or a callable; ``target`` a class index, a class name or None for the predicted class.
    ``check`` also measures how far the heatmap can be trusted: see :meth:`Explanation.check`. ``frame``, counted from
    1, chooses a page of a TIFF or a frame of an animation.

    Raises a :class:`FusionCamError` for an image that cannot be opened, weights that cannot be loaded, and for an
    unknown model, layer, method or class.
    """
    if isinstance(target, str) and requested_top(target) not in (None, 1):
        raise TargetError(f"'{target}' requests several heatmaps: use explain_each(..., target='{target}')")
    as_method(method)
    explained = as_model(model, layer, device)
    return next(explain_each([image], model=explained, methods=[method], target=target, check=check, frame=frame))


@old_keywords(pictures="images")
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
    on_error: OnError | None = None,
    frame: int | None = None,
) -> Iterator[Explanation]:
    """Explain many images by several methods, which share the passes that they have in common.

    Yields the explanations image by image, for each class, for each method. ``target`` may also be ``"top3"`` (any
    number): the most probable classes. ``check`` also measures how far each heatmap can be trusted.

    Without ``on_error`` the first failure is raised. With it, an image that fails is passed to ``on_error`` with its
    error, and the others are still explained. An invalid layer, class or method is always raised.
    """
    if isinstance(images, (str, Path)):
        raise InputTypeError(f"images must be a list, got {images!r}: use [{images!r}], or explain(...)")
    if isinstance(methods, str):
        raise InputTypeError(f"methods must be a list, got {methods!r}: use [{methods!r}]")
    explained = as_model(model, layer, device)
    found = explain_batches(
        images, explained, methods, target, batch_size, check=check, on_error=on_error, frame=frame
    )
    return chain.from_iterable(found)


def explain_batches(
    images: Iterable[ImageLike],
    model: ExplainedModel,
    methods: Sequence[str | Method],
    target: int | str | None,
    batch_size: int = 1,
    *,
    check: bool = False,
    on_error: OnError | None = None,
    frame: int | None = None,
) -> Iterator[list[Explanation]]:
    """Yield what :func:`explain_each` yields, with the explanations of each image in one list."""
    require_count("batch_size", batch_size)
    named = named_methods(model, methods)
    remaining = iter(images)
    batches = iter(lambda: list(islice(remaining, batch_size)), [])
    return chain.from_iterable(
        _explain_with_retry(model, batch, named, target, check, on_error, frame) for batch in batches
    )


def named_methods(model: ExplainedModel, methods: Sequence[str | Method]) -> list[tuple[str, Method]]:
    """Return the methods with their names, each once; raise :class:`LayerError` if the network lacks their layer."""
    named = dict(chain.from_iterable(map(as_methods, methods)))
    for layer in set().union(*map(layers_of, named.values())):
        if layer is not None:
            find(model.network, layer)
    return list(named.items())


def name_of(image: ImageLike) -> str:
    """Return an image's path, or the name of its type if it does not come from a file."""
    path = image if isinstance(image, (str, Path)) else getattr(image, "filename", None)
    return str(path or type(image).__name__.lower())


def _explain_with_retry(
    model: ExplainedModel,
    batch: list[ImageLike],
    methods: list[tuple[str, Method]],
    target: int | str | None,
    check: bool,
    on_error: OnError | None,
    frame: int | None,
) -> Iterator[list[Explanation]]:
    """Explain a batch; if it fails, explain its images one by one, so that only the faulty ones fail."""
    try:
        explanations = _explain_batch(model, batch, methods, target, frame)
        for explanation in chain.from_iterable(explanations) if check else ():
            explanation.check()
        yield from explanations
    except _REQUEST_ERRORS:
        raise
    except Exception as error:  # a network or method of the user's may raise anything
        if len(batch) > 1:
            for image in batch:
                yield from _explain_with_retry(model, [image], methods, target, check, on_error, frame)
            return
        if isinstance(error, FusionCamError):
            error.add_note(f"image: {name_of(batch[0])}, model: {model.name}")
        if on_error is None:
            raise
        on_error(batch[0], error)


def _explain_batch(
    model: ExplainedModel,
    batch: list[ImageLike],
    methods: list[tuple[str, Method]],
    target: int | str | None,
    frame: int | None,
) -> list[list[Explanation]]:
    """Return the explanations of each image: for each class, for each method."""
    names, channels = [name_of(image) for image in batch], model.preprocessing.channels
    images = [open_with_channels(image, channels, frame=frame) for image in batch]
    views = [model.preprocessing.view(image) for image in images]
    x = torch.stack([model.preprocessing(image) for image in images])
    _warn_about_images(names, contents_of(x, model.preprocessing, [image.size for image in images]))
    x = x.to(model.device)
    with kept_random_state(x.device):
        results = _results(model, x, names, methods, target)
    return [
        [result.explanation(index, name, view) for result in results]
        for index, (name, view) in enumerate(zip(names, views, strict=True))
    ]


def _results(
    model: ExplainedModel, x: Tensor, names: list[str], methods: list[tuple[str, Method]], target: int | str | None
) -> list[_Result]:
    """Return the output for each class, for each method."""
    model.runner.warn_if_random(x[:1])
    warm_up(model, [method for _, method in methods], x)
    layers = set().union(*(layers_of(method) for _, method in methods))
    with cached_passes(), image_names(names), prefetch_layers(x, layers):
        probabilities = predict_probabilities(model, x)
        require_label_per_class(model.labels, probabilities.shape[1])
        return [
            _Result(model, x, probabilities, classes, name, method, MethodOutput.compute(model, x, classes, method))
            for classes in choose_classes(target, probabilities, model.labels)
            for name, method in methods
        ]


def _warn_about_images(names: Iterable[str], contents: Iterable[ImageContent]) -> None:
    """Warn about images that are nearly black or mostly cropped away."""
    for name, content in zip(names, contents, strict=True):
        for problem in content.problems:
            warnings.warn(f"{name}: {problem}", FusionCamWarning, stacklevel=2)


@dataclass(frozen=True)
class _Result:
    """The output of one method for a batch ``x`` and its ``classes`` ``(N,)``."""

    model: ExplainedModel
    x: Tensor
    probabilities: Tensor
    classes: Tensor
    name: str
    method: Method
    output: MethodOutput

    def explanation(self, index: int, source: str, view: Image.Image) -> Explanation:
        """Return the explanation of one image of the batch; ``view`` is the part of it that the network received."""
        target, labels = int(self.classes[index]), self.model.labels
        return Explanation(
            source=source,
            image=view,
            method=self.name,
            model=self.model.name,
            target=target,
            label=labels[target] if labels else None,
            probability=float(self.probabilities[index, target]),
            preprocessing=self.model.preprocessing,
            _provenance=Provenance(self.model, self.x[index : index + 1], self.method),
            **self.output.of_image(index),
        )
