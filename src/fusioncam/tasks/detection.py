"""Confidence of a detector in a class at a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

from fusioncam.errors import ShapeError
from fusioncam.functional.heatmaps import precise
from fusioncam.tasks.wrapper import Wrapper, as_index, describe_output, two_columns

# keeps the log-odds of a missing detection finite
_FLOOR = 1e-6


class Detection(Wrapper):
    """Confidence of a detector in the class ``label`` at ``box``: two columns, "not found" (0) and "found" (1).

    ``network`` is a torchvision detector (Faster R-CNN, RetinaNet, FCOS, SSD, Mask R-CNN) or a network with the same
    interface: for a list of images it returns a list of dicts with ``boxes`` ``(D, 4)``, ``labels`` ``(D,)`` and
    ``scores`` ``(D,)``. ``box`` is ``(x1, y1, x2, y2)`` in pixels of x, the same for all images of a batch. ``label``
    is a label of the network; in torchvision 0 is the background.

    The probability of "found" is the highest product of score and IoU with the box among the detections of that
    label, and 0 without detections: the similarity of D-RISE (Petsiuk et al. 2021, arXiv 2006.03204) without the
    other classes. Boxes and scores are the detector's output after non-maximum suppression. The gradient is that of
    the score; the IoU is a constant factor, because at the detector's own box it is not differentiable and its slope
    is rounding error.

    - torchvision's detectors normalise and resize their input, so x must be pixels in [0, 1]: use
      ``Preprocessing(size, resize, mean=(0, 0, 0), std=(1, 1, 1))``. The fill "mean" is then black.
    - They drop detections below a threshold, so that the score of masked images jumps to 0: build the network with
      ``box_score_thresh=0`` (RetinaNet, FCOS, SSD: ``score_thresh=0``).
    - They pad images to multiples of 32 pixels after resizing (except SSD). The feature maps then include the
      padding, so use sizes that need none.
    - Use a layer of the backbone, such as ``wrapped.backbone.body.layer4``. The heads run once per pyramid level.

    Raises :class:`ShapeError` for an invalid box or an output of another form, and :class:`TargetError` for an
    invalid label.
    """

    box: Tensor

    def __init__(self, network: nn.Module, box: Sequence[float] | Tensor, label: int) -> None:
        super().__init__(network)
        self._register("box", _box(box))
        self.label = as_index(label, "label")

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 2)``, half the log-odds against and for the detection, for ``x`` ``(N, 3, H, W)``."""
        detections = self.wrapped(list(x))
        if not isinstance(detections, Sequence):
            raise ShapeError(f"expected a list of detections from the network, got {describe_output(detections)}")
        return two_columns(torch.stack([self._log_odds(detected) for detected in detections]))

    def _log_odds(self, detected: object) -> Tensor:
        if not isinstance(detected, Mapping) or not {"boxes", "labels", "scores"} <= set(detected):
            raise ShapeError(f"expected boxes, labels and scores for each image, got {describe_output(detected)}")
        scores, boxes = precise(detected["scores"]), precise(detected["boxes"].detach())
        weights = box_iou(self.box[None].to(boxes), boxes)[0] * (detected["labels"] == self.label)
        best = F.pad(scores * weights, (0, 1)).max()  # without detections: 0, with a gradient of 0
        return torch.logit(_FLOOR + (1 - 2 * _FLOOR) * best)


def _box(box: Sequence[float] | Tensor) -> Tensor:
    try:
        corners = torch.as_tensor(box, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError):
        corners = torch.empty(0)
    if corners.shape != (4,) or not (corners[:2] < corners[2:]).all():
        raise ShapeError(f"box must be (x1, y1, x2, y2) in pixels with x1 < x2 and y1 < y2, got {box!r}")
    return corners
