"""Confidence of a detector in a class at a box, or anywhere, and the boxes that it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from fusioncam.errors import SettingError, ShapeError
from fusioncam.functional.heatmaps import precise
from fusioncam.inference.capabilities import inner_network
from fusioncam.inference.eval_mode import exclusive_eval
from fusioncam.tasks.detector_pass import DetectorPass, class_names, head_names
from fusioncam.tasks.predictions import Predictions
from fusioncam.tasks.wrapper import Wrapper, as_index, two_columns

# keeps the log-odds of a missing detection finite
_FLOOR = 1e-6


@dataclass(frozen=True)
class FoundBox:
    """A detection.

    Attributes:
        box: ``(x1, y1, x2, y2)`` in pixels of the network's input.
        label: the class index.
        score: of the class, in [0, 1].

    Examples:
        ```python
        found = fc.tasks.find_boxes(detector, x)[0][0]
        x1, y1, x2, y2 = found.box
        ```
    """

    box: tuple[float, float, float, float]
    label: int
    score: float


class _DetectorWrapper(Wrapper):
    """Base class of the wrappers of detectors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(inner_network(network))
        self.predict = DetectorPass(self.wrapped)

    @property
    def prediction_modules(self) -> tuple[str, ...]:
        """The names of the modules that make the predictions: the default layer is none of them."""
        return tuple(f"wrapped.{name}" for name in head_names(self.wrapped))

    def predictions(self, x: Tensor) -> list[Predictions]:
        """Return the predictions of each image, without gradients; the network is left as it was."""
        with exclusive_eval(self.wrapped, grad=False):
            return self.predict(self.wrapped, x)


class Detection(_DetectorWrapper):
    """Confidence of a detector in the class ``label`` at ``box``: two columns, "not found" (0) and "found" (1).

    The probability of "found" is the highest product of the label's score and the IoU with the box among all
    predictions, and 0 without any: the similarity of D-RISE (Petsiuk et al. 2021, arXiv 2006.03204) without the other
    classes. A masked image in which the box moves still counts, as far as it overlaps. torchvision's predictions are
    those after non-maximum suppression. The gradient is that of the score; the IoU is a constant factor, because at
    the detector's own box it is not differentiable and its slope is rounding error.

    - The default layer is the last one before the head that influences the score: of several scales, that of the box.
    - torchvision's detectors normalise and resize their input, so x must be pixels in [0, 1]: use
      ``Preprocessing(size, resize, mean=(0, 0, 0), std=(1, 1, 1))``. The fill "mean" is then black. The same holds
      for ultralytics, whose sides must be multiples of 32.
    - torchvision's detectors drop detections below a threshold, so that the score of masked images jumps to 0: build
      the network with ``box_score_thresh=0`` (RetinaNet, FCOS, SSD: ``score_thresh=0``).
    - They pad images to multiples of 32 pixels after resizing (except SSD). The feature maps then include the
      padding, so use sizes that need none.

    Args:
        network: a detector of ultralytics (YOLO of the versions 8 to 12, also those that segment, and RT-DETR),
            torchvision (Faster, Mask and Keypoint R-CNN, RetinaNet, FCOS, SSD) or transformers (DETR, RT-DETR, YOLOS
            and others with ``logits`` and ``pred_boxes``), or a network that returns predictions in one of these
            forms, see :mod:`fusioncam.tasks.predictions`.
        box: ``(x1, y1, x2, y2)`` in pixels of x, the same for all images of a batch. :func:`find_boxes` returns the
            boxes and labels that the network detects.
        label: of the network; in torchvision 0 is the background.
        classes: the class probabilities of the explained detection. They replace the score of the label by the
            similarity of D-RISE, see :meth:`matching`.

    Raises:
        ShapeError: for an invalid box or an output of another form.
        TargetError: for an invalid label.

    Examples:
        ```python
        found = fc.tasks.find_boxes(detector, x[:1])[0][0]  # the most confident detection
        model = fc.ExplainedModel(fc.tasks.Detection(detector, found.box, found.label))
        heatmaps = fc.METHODS["grad-cam"](model, x[:1], [1])  # class 1 is "found"
        ```
    """

    box: Tensor
    classes: Tensor | None

    def __init__(
        self, network: nn.Module, box: Sequence[float] | Tensor, label: int, classes: Tensor | None = None
    ) -> None:
        super().__init__(network)
        self._register("box", _box(box))
        self.label = as_index(label, "label")
        self._register("classes", classes)  # type: ignore[arg-type] # a buffer may be None

    @property
    def row_labels(self) -> tuple[str, str] | None:
        """The names of the columns, from the name of the label if the network has names."""
        names = class_names(self.wrapped)
        return None if names is None or self.label >= len(names) else (f"no {names[self.label]}", names[self.label])

    def matching(self, x: Tensor) -> Detection:
        """Return the wrapper that also compares class probabilities, with those of the box in ``x`` ``(1, 3, H, W)``.

        They are those of the prediction with the highest product of score and IoU. Where the network returns labels
        only, or nothing overlaps the box, there is nothing to compare, and this wrapper is returned.
        """
        (predictions,) = self.predictions(x)
        scores = precise(predictions.of(self.label)) * self._overlaps(predictions)
        if predictions.labels is not None or not (scores > 0).any():
            return self
        classes = predictions.scores[scores.argmax()].detach()
        return Detection(self.wrapped, self.box, self.label, classes).to(self.box.device)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)``, half the log-odds against and for the detection, for ``x`` ``(N, 3, H, W)``."""
        best = torch.stack([self._best(predictions) for predictions in self.predict(self.wrapped, x)])
        return two_columns(_log_odds(best))

    def _best(self, predictions: Predictions) -> Tensor:
        return _highest(self._scores(predictions) * self._overlaps(predictions))

    def _scores(self, predictions: Predictions) -> Tensor:
        if self.classes is None or predictions.labels is not None:
            return precise(predictions.of(self.label))
        scores = precise(predictions.scores)
        return F.cosine_similarity(scores, self.classes[None].to(scores), dim=1) * scores.amax(1)

    def _overlaps(self, predictions: Predictions) -> Tensor:
        boxes = precise(predictions.boxes.detach())
        overlaps: Tensor = box_iou(self.box[None].to(boxes), boxes)[0]
        return overlaps.nan_to_num(0)  # two empty boxes overlap by 0 / 0


class Detector(_DetectorWrapper):
    """Confidence of a detector in each class anywhere in the image: a row of log-odds ``(N, classes)``.

    The score of a class is the highest one among all predictions.

    Args:
        network: as for :class:`Detection`.
        classes: their number where the predictions have labels only, as in torchvision.

    Examples:
        ```python
        model = fc.ExplainedModel(fc.tasks.Detector(detector))
        heatmaps = fc.METHODS["grad-cam"](model, x, target)
        ```
    """

    def __init__(self, network: nn.Module, classes: int | None = None) -> None:
        super().__init__(network)
        self.classes = classes

    @property
    def row_labels(self) -> tuple[str, ...] | None:
        """The names of the network's classes, if it has names."""
        return class_names(self.wrapped)

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-odds of each class ``(N, classes)`` for ``x`` ``(N, 3, H, W)``."""
        return torch.stack([self._row(predictions) for predictions in self.predict(self.wrapped, x)])

    def _row(self, predictions: Predictions) -> Tensor:
        count = self.classes if predictions.labels is not None else predictions.scores.shape[1]
        if count is None:
            raise SettingError(
                "the output has labels only: set the number of classes, Detector(network, classes=...)"
            )
        scores = precise(predictions.scores)
        best = scores.max(0).values if predictions.labels is None else None
        best = torch.stack([_highest(precise(predictions.of(c))) for c in range(count)]) if best is None else best
        return _log_odds(best)


def find_boxes(
    network: nn.Module,
    x: Tensor,
    *,
    threshold: float = 0.25,
    overlap: float = 0.7,
    limit: int = 20,
    label: int | None = None,
) -> list[list[FoundBox]]:
    """Return what a detector finds in each image of ``x`` ``(N, 3, H, W)``, the most confident first.

    Args:
        network: as for :class:`Detection`.
        x: ``(N, 3, H, W)``.
        threshold: predictions with a lower score are left out.
        overlap: predictions are left out if they overlap a more confident one of the same label by a higher IoU.
        limit: the greatest number of boxes of an image.
        label: only its scores count. Without it each prediction has the label of its highest score.

    Returns:
        For each image a list of its detections.

    Raises:
        ShapeError: for an output of a form that is not known.

    Examples:
        ```python
        for found in fc.tasks.find_boxes(detector, x, threshold=0.5)[0]:
            print(found.label, found.score, found.box)
        ```
    """
    wrapper = network if isinstance(network, _DetectorWrapper) else _DetectorWrapper(network)
    return [_found(one, label, one.suppressed(threshold, overlap, limit, label)) for one in wrapper.predictions(x)]


def _found(predictions: Predictions, label: int | None, chosen: Sequence[int]) -> list[FoundBox]:
    scores, labels = predictions.best(label)
    boxes = [tuple(predictions.boxes[index].tolist()) for index in chosen]
    return [FoundBox(box, int(labels[index]), float(scores[index])) for box, index in zip(boxes, chosen, strict=True)]


def _highest(scores: Tensor) -> Tensor:
    """Return the highest score; without any 0, with a gradient of 0."""
    return F.pad(scores, (0, 1)).max()


def _log_odds(probabilities: Tensor) -> Tensor:
    return torch.logit(_FLOOR + (1 - 2 * _FLOOR) * probabilities)


def _box(box: Sequence[float] | Tensor) -> Tensor:
    try:
        corners = torch.as_tensor(box, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError):
        corners = torch.empty(0)
    if corners.shape != (4,) or not (corners[:2] < corners[2:]).all():
        raise ShapeError(f"box must be (x1, y1, x2, y2) in pixels with x1 < x2 and y1 < y2, got {box!r}")
    return corners
