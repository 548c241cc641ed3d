"""Targets under the names of pytorch-grad-cam: callables from the output of one image to the score to explain.

Outputs may have further dimensions in front, as ``(N, classes)``; the score is then an array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_iou


class ClassifierOutputTarget:
    """The score of a class, as the network returns it."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the score."""
        return model_output[self.category] if model_output.dim() == 1 else model_output[:, self.category]


class ClassifierOutputSoftmaxTarget(ClassifierOutputTarget):
    """The probability of a class, the softmax of the network's outputs."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the probability."""
        return super().__call__(model_output.softmax(-1))


class ClassifierOutputReST(ClassifierOutputTarget):
    """The score of a class plus the logarithm of its probability (ShapleyCAM, arXiv 2501.06261)."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the residual softmax utility."""
        return super().__call__(model_output + model_output.log_softmax(-1))


class BinaryClassifierOutputTarget:
    """The only output of a yes or no classifier for category 1, and its negative for 0."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the output or its negative."""
        return model_output if self.category == 1 else -model_output


class SoftmaxOutputTarget:
    """The softmax of the whole output."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the probabilities."""
        return model_output.softmax(-1)


class RawScoresOutputTarget:
    """The whole output."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the output."""
        return model_output


class SemanticSegmentationTarget:
    """The sum of a class's scores ``(classes, H, W)`` over the pixels of a mask ``(H, W)``."""

    def __init__(self, category: int, mask: Any) -> None:
        self.category = category
        self.mask = torch.as_tensor(mask)

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the sum."""
        return (model_output[self.category] * self.mask.to(model_output.device)).sum()


class FasterRCNNBoxScoreTarget:
    """How well detections match boxes: the sum of IoU and score of each box's best detection, if of its label.

    A box whose best IoU is not above ``iou_threshold``, or whose best detection has another label, adds 0.
    """

    def __init__(self, labels: Sequence[Any], bounding_boxes: Any, iou_threshold: float = 0.5) -> None:
        self.labels = labels
        self.bounding_boxes = bounding_boxes
        self.iou_threshold = iou_threshold

    def __call__(self, model_outputs: Mapping[str, Tensor]) -> Tensor:
        """Return the sum for the detections of one image: ``boxes``, ``labels`` and ``scores``."""
        boxes, scores = model_outputs["boxes"], model_outputs["scores"]
        total = scores.new_zeros(())
        for box, label in zip(self.bounding_boxes if len(boxes) else (), self.labels, strict=False):
            overlaps = box_iou(torch.as_tensor(box).to(boxes)[None], boxes)[0]
            best = int(overlaps.argmax())
            if overlaps[best] > self.iou_threshold and int(model_outputs["labels"][best]) == int(label):
                total = total + overlaps[best] + scores[best]
        return total


class FinerWeightedTarget:
    """The score of a class minus ``alpha`` times those of others, weighted by the probabilities of the others."""

    def __init__(self, main_category: int, comparison_categories: Sequence[int], alpha: float) -> None:
        self.main_category = main_category
        self.comparison_categories = list(comparison_categories)
        self.alpha = alpha

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the weighted difference."""
        others = model_output[..., self.comparison_categories]
        weights = model_output.softmax(-1)[..., self.comparison_categories]
        differences = model_output[..., self.main_category, None] - self.alpha * others
        return (weights * differences).sum(-1) / (weights.sum(-1) + 1e-9)
