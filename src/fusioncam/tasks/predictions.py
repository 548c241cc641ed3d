"""The predictions of a detector, read from the form in which its library returns them.

================  ===================================================================================================
torchvision       a list with ``boxes`` ``(D, 4)``, ``labels`` ``(D,)`` and ``scores`` ``(D,)`` for each image
transformers      ``logits`` ``(N, Q, classes)`` and ``pred_boxes`` ``(N, Q, 4)``, centres and sizes as shares of the
                  image; the classes are sigmoids, or a softmax with a last column for "no object"
ultralytics       a tensor, also as the first part of nested tuples: ``(N, 4 + classes + others, P)`` with centres
                  and sizes in pixels, and sigmoids; of networks without non-maximum suppression ``(N, D, 6)`` with
                  corners, score and label; of RT-DETR ``(N, Q, 4 + classes)`` with shares of the image
================  ===================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms, box_convert

from fusioncam.errors import ShapeError, TargetError
from fusioncam.tasks.wrapper import describe_output

_EXPECTED = (
    "expected predictions as torchvision, transformers or ultralytics return them (boxes, labels and scores for each "
    "image; logits and pred_boxes; or a tensor (N, 4 + classes, P))"
)


@dataclass(frozen=True)
class Predictions:
    """The predictions of one image: ``boxes`` ``(P, 4)`` as ``(x1, y1, x2, y2)`` in pixels of the network's input.

    ``scores`` are ``(P, classes)``, or ``(P,)`` where each prediction has one of the ``labels`` ``(P,)`` only.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor | None = None

    def of(self, label: int) -> Tensor:
        """Return the scores ``(P,)`` of a class; raise :class:`TargetError` if the network does not have it."""
        if self.labels is not None:
            return self.scores * (self.labels == label)
        if label >= self.scores.shape[1]:
            raise TargetError(
                f"label must be from 0 to {self.scores.shape[1] - 1}, the network's classes, got {label}"
            )
        return self.scores[:, label]

    def best(self, label: int | None = None) -> tuple[Tensor, Tensor]:
        """Return the highest score ``(P,)`` of each prediction and its label ``(P,)``, or those of one label."""
        if label is not None:
            scores = self.of(label)
            return scores, torch.full_like(scores, label, dtype=torch.long)
        if self.labels is not None:
            return self.scores, self.labels
        scores, labels = self.scores.max(1)
        return scores, labels

    def suppressed(self, threshold: float, overlap: float, limit: int, label: int | None = None) -> list[int]:
        """Return the indices of the most confident predictions that do not overlap others of their label."""
        scores, labels = self.best(label)
        kept = ((scores >= threshold) & (scores > 0) & self._have_area()).nonzero()[:, 0]
        chosen = batched_nms(self.boxes[kept].float(), scores[kept].float(), labels[kept], overlap)
        indices: list[int] = kept[chosen[:limit]].tolist()
        return indices

    def _have_area(self) -> Tensor:
        return (self.boxes[:, 2:] > self.boxes[:, :2]).all(1)


def read_predictions(output: object, network: nn.Module, x: Tensor) -> list[Predictions]:
    """Return the predictions of each image of ``x`` from the output of a detector, with their gradients.

    Raises :class:`ShapeError` for an output of another form.
    """
    if isinstance(output, Sequence) and output and all(isinstance(one, Mapping) for one in output):
        return [_of_torchvision(one) for one in output]
    logits, boxes = (_entry(output, names) for names in (("logits", "pred_logits"), ("pred_boxes",)))
    if isinstance(logits, Tensor) and isinstance(boxes, Tensor):
        return _of_queries(_class_probabilities(logits, network), boxes, x)
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.dim() == 3 and (output.shape[1] > 4 or output.shape[2] == 6):
        return _of_ultralytics(output, network, x)
    raise ShapeError(f"{_EXPECTED}, got {describe_output(output)}")


def detection_head(network: nn.Module) -> nn.Module | None:
    """Return the last module of an ultralytics network, which makes the predictions; None for other networks."""
    layers = getattr(network, "model", None)
    is_ultralytics = isinstance(layers, nn.Sequential) and len(layers) > 0 and hasattr(layers[-1], "nc")
    return layers[-1] if is_ultralytics else None  # type: ignore[index] # a Sequential


def _of_torchvision(detected: Mapping[str, Any]) -> Predictions:
    if not {"boxes", "labels", "scores"} <= set(detected):
        raise ShapeError(f"{_EXPECTED}, got the keys {', '.join(map(str, detected))}")
    return Predictions(detected["boxes"], detected["scores"], detected["labels"])


def _entry(output: object, names: Sequence[str]) -> object:
    """Return the first entry of an output, a mapping or an object with attributes, that has one of the names."""
    values = output if isinstance(output, Mapping) else {name: getattr(output, name, None) for name in names}
    return next((values[name] for name in names if values.get(name) is not None), None)


def _class_probabilities(logits: Tensor, network: nn.Module) -> Tensor:
    """Return the probabilities of the classes without "no object", which the networks with a softmax add."""
    classes = getattr(getattr(network, "config", None), "num_labels", None)
    if classes is None or logits.shape[2] == classes + 1:
        return logits.softmax(2)[..., :-1]
    return logits.sigmoid()


def _of_queries(scores: Tensor, boxes: Tensor, x: Tensor) -> list[Predictions]:
    """Return the predictions of queries, whose boxes are centres and sizes as shares of the image."""
    height, width = x.shape[-2:]
    corners = box_convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([width, height, width, height])
    return [Predictions(*one) for one in zip(corners, scores, strict=True)]


def _of_ultralytics(output: Tensor, network: nn.Module, x: Tensor) -> list[Predictions]:
    head = detection_head(network)
    kind, classes = type(head).__name__, getattr(head, "nc", None)
    if kind.startswith("OBB"):
        raise ShapeError("rotated boxes (OBB) are not supported: explain a network that detects upright boxes")
    if kind == "RTDETRDecoder":
        return _of_queries(output[..., 4:], output[..., :4], x)
    if output.shape[2] == 6:
        return [Predictions(rows[:, :4], rows[:, 4], rows[:, 5].long()) for rows in output]
    rows = output.mT
    scores = rows[..., 4:] if classes is None else rows[..., 4 : 4 + int(classes)]
    corners = box_convert(rows[..., :4], "cxcywh", "xyxy")
    return [Predictions(*one) for one in zip(corners, scores, strict=True)]
