"""Explain every box that a detector finds in an image, and show all of them in one overlay."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from fusioncam.data.labels import find_class
from fusioncam.errors import FusionCamWarning, TargetError
from fusioncam.explanations.class_selection import ImageTarget, index_or_name, requested_top
from fusioncam.explanations.drawing import draw
from fusioncam.explanations.explanation import Explanation, Provenance
from fusioncam.explanations.method_output import MethodOutput
from fusioncam.explanations.opened_items import OpenedItem
from fusioncam.explanations.volumes import explanation_of
from fusioncam.inference.cache import cached_passes
from fusioncam.inference.context import image_names
from fusioncam.methods.base import Method
from fusioncam.model.explained_model import ExplainedModel
from fusioncam.tasks import Detection, Detector, FoundBox, find_boxes, is_detector
from fusioncam.visualization import OverlayStyle

# of a detection that is explained by default
THRESHOLD = 0.25
_MOST = 10


def as_detector(model: ExplainedModel) -> ExplainedModel:
    """Return the model of :class:`fusioncam.tasks.Detector` where the network is a detector of a known library."""
    if not is_detector(model.network):
        return model
    layer = None if model.layer is None else f"wrapped.{model.layer}"
    return _with_network(model, Detector(model.network), layer, model.labels)


def _with_network(
    model: ExplainedModel, network: Detector | Detection, layer: str | None, labels: Sequence[str] | None
) -> ExplainedModel:
    return ExplainedModel(
        network,
        layer,
        grid=model.grid,
        prefix=model.prefix,
        suffix=model.suffix,
        reshape=model.reshape,
        preprocessing=model.preprocessing,
        labels=labels,
        name=model.name,
        speed=model.speed,
    )


def explain_boxes(
    model: ExplainedModel,
    x: Tensor,
    source: str,
    opened: OpenedItem,
    methods: Sequence[tuple[str, Method]],
    target: ImageTarget,
) -> list[Explanation]:
    """Return the explanations of each chosen box in ``x`` ``(1, C, H, W)``, for each method.

    ``model`` is that of a :class:`fusioncam.tasks.Detector`. ``target`` is None for all boxes with a score of at
    least ``THRESHOLD``, "top3" for the three most confident ones, or a class for its boxes.
    """
    boxes = choose_boxes(model, x, target)
    return [_explanation(model, x, source, opened, box, name, method) for box in boxes for name, method in methods]


def choose_boxes(model: ExplainedModel, x: Tensor, target: ImageTarget) -> list[FoundBox]:
    """Return the boxes of a target, the most confident first, and at least one.

    If none has a score of at least ``THRESHOLD``, it is the most confident one, and a :class:`FusionCamWarning` says
    so. Raises :class:`TargetError` for a class that does not exist, and if the network predicts no box at all.
    """
    chosen = None if target is None else index_or_name(target)
    count = requested_top(chosen) if isinstance(chosen, str) else None
    label = None if chosen is None or count else _label(chosen, model)
    detector = model.network
    (found,) = find_boxes(detector, model.runner.validate_input(x), threshold=0, limit=count or _MOST, label=label)
    if not found:
        raise TargetError("the network predicts no box in this image: choose another image or class")
    certain = found if count else [box for box in found if box.score >= THRESHOLD]
    if not certain:
        best = f"the one with the highest score, {found[0].score:.3f}"
        message = f"no box has a score of at least {THRESHOLD}: {best}, is explained"
        warnings.warn(message, FusionCamWarning, stacklevel=2)
    return certain or found[:1]


def _label(target: int | str, model: ExplainedModel) -> int:
    if isinstance(target, int):
        return target
    if model.labels is None:
        raise TargetError(f"'{target}': this network has no class names; use an index, or give names by --labels")
    return find_class(target, model.labels)


def _explanation(
    model: ExplainedModel, x: Tensor, source: str, opened: OpenedItem, box: FoundBox, name: str, method: Method
) -> Explanation:
    assert isinstance(model.network, Detector)
    at_box = _with_network(model, Detection(model.network.wrapped, box.box, box.label), model.layer, None)
    found = torch.tensor([1])
    with cached_passes(), image_names([source]):
        output = MethodOutput.compute(at_box, x, found, method)
        probability = at_box.scores(x, found, "probability").item()
    return explanation_of(
        opened.view,
        source=source,
        method=name,
        model=model.name,
        target=box.label,
        label=model.labels[box.label] if model.labels and box.label < len(model.labels) else None,
        probability=probability,
        preprocessing=model.preprocessing,
        box=box.box,
        whole=opened.original,
        _provenance=Provenance(at_box, x, method, found),
        **output.of_image(0),
    )


def overlay_boxes(
    explanations: Sequence[Explanation], *, view: str = "image", boxes: bool = False, **style: Any
) -> Image.Image:
    """Return the image under the highest of the heatmaps at each pixel, with all detections and their classes.

    The arguments are those of :meth:`Explanation.overlay`; ``boxes`` of the heat would hide the detections.
    """
    first, heatmap = explanations[0], torch.stack([one.heatmap for one in explanations]).amax(0)
    detected = {box: name for one in explanations for box, name in one.named_box.items()}
    return draw(first.image, heatmap, first.whole, OverlayStyle(**style), boxes=detected, view=view)
