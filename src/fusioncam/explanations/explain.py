"""Explain images: open them, batch them, and run methods that share their passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fusioncam.data.images import ImageLike
from fusioncam.errors import (
    FusionCamError,
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
    ImageTarget,
    choose_targets,
    described,
    predict_probabilities,
    probability_of,
    requested_top,
    require_label_per_class,
    targets_of_images,
)
from fusioncam.explanations.detections import as_detector, explain_boxes
from fusioncam.explanations.explanation import Explanation, Provenance
from fusioncam.explanations.items import Batch, Item, items_of
from fusioncam.explanations.method_output import MethodOutput
from fusioncam.explanations.opened_items import OpenedItem, open_item, warn_about_images
from fusioncam.explanations.target_choice import TargetChoice
from fusioncam.explanations.volumes import explanation_of, sides_of
from fusioncam.inference.cache import cached_passes, prefetch_layers
from fusioncam.inference.calling import Calling, Extra
from fusioncam.inference.context import image_names
from fusioncam.inference.hooks import find
from fusioncam.inference.random_state import kept_random_state
from fusioncam.methods.base import Method, layers_of
from fusioncam.methods.registry import as_method, as_methods
from fusioncam.methods.warm_up import warm_up
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.model.scores import Targets
from fusioncam.tasks import Detector
from fusioncam.utils.old_names import old_keywords
from fusioncam.zoo.loading import DEFAULT_MODEL, as_model

OnError = Callable[[ImageLike, Exception], None]

# errors of the request, which every image would raise
REQUEST_ERRORS = (TargetError, LayerError, MethodError, SettingError, ShapeError, UnknownNameError)


@old_keywords(picture="image")
def explain(
    image: ImageLike,
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    method: str | Method = "fusion-cam",
    target: ImageTarget = None,
    device: str | None = None,
    check: bool = False,
    frame: int | None = None,
    extra: Extra | None = None,
    vary: str | int | None = None,
) -> Explanation:
    """Explain one class of one image.

    A detector of ultralytics, torchvision or transformers is explained at its most confident box;
    :func:`explain_each` explains all boxes.

    Args:
        image: a path, a PIL image, an array ``(H, W, C)`` or a tensor ``(C, H, W)``, both of 8 or 16 bits or
            floating-point numbers in [0, 1], with as many channels as the model's preprocessing; a network of 1 or 3
            channels takes grey and RGB. A tensor ``(1, C, H, W)`` is the network's input, already preprocessed. For a
            model with a :class:`VolumePreprocessing`: a NIfTI file, a folder with a DICOM series, a TIFF, an array.
        model: a name (:func:`load_model`), a network or an :class:`ExplainedModel`.
        layer: a dotted name; by default the last spatial feature map before pooling.
        method: a SPEC, such as ``"fusion-cam(budget=64)"``, or a callable.
        target: a class index, a class name, or None for the predicted class; weights of all classes, such as
            ``[0, 1.0, -1.0]``, or of some, ``{"cat": 1, "dog": -1}``, for what speaks for one and against the other;
            or a callable from the scores ``(N, classes)`` to any numbers ``(N,)``.
        device: moves the network there, also a network of yours.
        check: also measure how far the heatmap can be trusted, see :meth:`Explanation.check`.
        frame: a page of a TIFF or a frame of an animation, from 1.
        extra: the network's other inputs, see :class:`ExplainedModel`.
        vary: the name or position of the image among the inputs.

    Returns:
        The explanation, with the heatmap ``(H, W)`` in [0, 1]. In a notebook it displays itself.

    Raises:
        FusionCamError: for an image that cannot be opened, weights that cannot be loaded, and for an unknown model,
            layer, method or class.

    Examples:
        ```python
        explanation = fc.explain("cat.jpg", method="grad-cam", target="tabby, tabby cat")
        explanation.heatmap.shape, explanation.probability
        explanation.save("out/")
        ```
    """
    if isinstance(target, str) and requested_top(target) not in (None, 1):
        raise TargetError(f"'{target}' requests several heatmaps: use explain_each(..., target='{target}')")
    as_method(method)
    explained = as_model(model, layer, device)
    batch = sides_of(explained.preprocessing) + 2
    if isinstance(image, np.ndarray | Tensor) and image.ndim == batch and len(image) != 1:
        raise InputTypeError(f"explain takes one image, got a batch {tuple(image.shape)}: use explain_each([batch])")
    if extra is not None or vary is not None:
        explained = explained.called(Calling(extra, vary, explained.runner.calling.read))
    found = explain_each([image], model=explained, methods=[method], target=target, check=check, frame=frame)
    explanation, *_ = found  # of a detector, one for each box
    return explanation


@old_keywords(pictures="images")
def explain_each(
    images: Iterable[ImageLike | Batch],
    *,
    model: str | nn.Module | ExplainedModel = DEFAULT_MODEL,
    layer: str | None = None,
    methods: Sequence[str | Method] = ("fusion-cam",),
    target: ImageTarget | Sequence[ImageTarget] = None,
    device: str | None = None,
    batch_size: int = 1,
    check: bool = False,
    on_error: OnError | None = None,
    frame: int | None = None,
) -> Iterator[Explanation]:
    """Explain many images by several methods, which share the passes that they have in common.

    Args:
        images: images as for :func:`explain`, or a DataLoader: its batches ``(N, C, H, W)``, alone, as
            ``(batch, labels)`` or in a dict, are network inputs, already preprocessed.
        model: as for :func:`explain`.
        layer: as for :func:`explain`.
        methods: SPECs or callables.
        target: as for :func:`explain`, or ``"top3"`` (any number), the most probable classes; a sequence with the
            target of each image; ``"label"``, the label of each image in a batch or the name of its folder; or
            ``"labels.csv"``, a table with the columns path and label. Of a detector, each box is explained, or the
            boxes of the target, a class or ``"top3"``.
        device: as for :func:`explain`.
        batch_size: number of images in a pass.
        check: also measure how far each heatmap can be trusted.
        on_error: is called with an image that fails and its error, and the others are still explained. Without it
            the first failure is raised. An invalid layer, class or method is always raised.
        frame: as for :func:`explain`.

    Returns:
        An iterator over the explanations: image by image, for each class, for each method.

    Examples:
        ```python
        for explanation in fc.explain_each(["cat.jpg"], methods=["grad-cam", "layer-cam"], target="top2"):
            print(explanation)
        ```
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
    images: Iterable[ImageLike | Batch],
    model: ExplainedModel,
    methods: Sequence[str | Method],
    target: ImageTarget | Sequence[ImageTarget],
    batch_size: int = 1,
    *,
    check: bool = False,
    on_error: OnError | None = None,
    frame: int | None = None,
) -> Iterator[list[Explanation]]:
    """Yield what :func:`explain_each` yields, with the explanations of each image in one list."""
    require_count("batch_size", batch_size)
    model = as_detector(model)
    named, choice = named_methods(model, methods), TargetChoice(target, model.labels)
    remaining = choice.counted(items_of(images, sides_of(model.preprocessing)))
    batches = iter(lambda: list(islice(remaining, batch_size)), [])
    return chain.from_iterable(
        _explain_with_retry(model, batch, named, choice, check, on_error, frame) for batch in batches
    )


def named_methods(model: ExplainedModel, methods: Sequence[str | Method]) -> list[tuple[str, Method]]:
    """Return the methods with their names, each once; raise :class:`LayerError` if the network lacks their layer."""
    named = dict(chain.from_iterable(map(as_methods, methods)))
    for layer in set().union(*map(layers_of, named.values())):
        if layer is not None:
            find(model.network, layer)
    return list(named.items())


def _explain_with_retry(
    model: ExplainedModel,
    batch: list[Item],
    methods: list[tuple[str, Method]],
    target: TargetChoice,
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
    except REQUEST_ERRORS:
        raise
    except Exception as error:  # a network or method of the user's may raise anything
        if len(batch) > 1:
            for image in batch:
                yield from _explain_with_retry(model, [image], methods, target, check, on_error, frame)
            return
        if isinstance(error, FusionCamError):
            error.add_note(f"image: {batch[0].name}, model: {model.name}")
        if on_error is None:
            raise
        on_error(batch[0].image, error)


def _explain_batch(
    model: ExplainedModel,
    batch: list[Item],
    methods: list[tuple[str, Method]],
    target: TargetChoice,
    frame: int | None,
) -> list[list[Explanation]]:
    """Return the explanations of each image: for each class, for each method."""
    opened = [open_item(item, model.preprocessing, frame) for item in batch]
    names = [item.name for item in batch]
    warn_about_images(names, opened)
    x = torch.stack([one.x for one in opened]).to(model.device)
    chosen = None if target.is_common else [target.of(item) for item in batch]
    common = target.of(batch[0]) if chosen is None else None
    with kept_random_state(x.device):
        if isinstance(model.network, Detector):
            return [
                explain_boxes(model, x[n : n + 1], item.name, one, methods, target.of(item))
                for n, (item, one) in enumerate(zip(batch, opened, strict=True))
            ]
        results = _results(model, x, names, methods, common, chosen)
    return [
        [result.explanation(index, name, one) for result in results]
        for index, (name, one) in enumerate(zip(names, opened, strict=True))
    ]


def _results(
    model: ExplainedModel,
    x: Tensor,
    names: list[str],
    methods: list[tuple[str, Method]],
    target: ImageTarget,
    each: Sequence[ImageTarget] | None,
) -> list[_Result]:
    """Return the output for each target, for each method; ``each`` are the targets of the images if they differ."""
    model.runner.warn_if_random(x[:1])
    warm_up(model, [method for _, method in methods], x)
    layers = set().union(*(layers_of(method) for _, method in methods))
    with cached_passes(), image_names(names), prefetch_layers(x, layers):
        probabilities = predict_probabilities(model, x)
        require_label_per_class(model.labels, probabilities.shape[1])
        if each is None:
            targets = choose_targets(target, probabilities, model.labels)
        else:
            targets = [targets_of_images(each, probabilities, model.labels)]
        return [
            _Result(model, x, probabilities, one, name, method, MethodOutput.compute(model, x, one, method))
            for one in targets
            for name, method in methods
        ]


@dataclass(frozen=True)
class _Result:
    """The output of one method for a batch ``x`` and its ``targets``."""

    model: ExplainedModel
    x: Tensor
    probabilities: Tensor
    targets: Targets
    name: str
    method: Method
    output: MethodOutput

    def explanation(self, index: int, source: str, opened: OpenedItem) -> Explanation:
        """Return the explanation of one image of the batch."""
        target, label = described(self.targets, index, self.model.labels)
        row = self.targets[index : index + 1]
        return explanation_of(
            opened.view,
            source=source,
            method=self.name,
            model=self.model.name,
            target=target,
            label=label,
            probability=probability_of(self.targets, index, self.probabilities),
            preprocessing=self.model.preprocessing,
            whole=opened.original,
            _provenance=Provenance(self.model, self.x[index : index + 1], self.method, row),
            **self.output.of_image(index),
        )
