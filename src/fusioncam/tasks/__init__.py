"""Wrappers that return a row of scores from networks for tasks other than classification.

    model = ExplainedModel(Segmentation(segmenter), "wrapped.backbone.layer4", preprocessing=...)

A wrapper is itself a network, ``(N, C, H, W) -> (N, classes)``. The wrapped network is its attribute ``wrapped``, so
that a layer inside is named ``wrapped.layer4``.

Fusion-CAM and other methods need probabilities, the softmax of the row. If a task has a single logit ``z`` for a yes
or no question, the row is ``(-z / 2, z / 2)``: its softmax is exactly ``(sigmoid(-z), sigmoid(z))``. Target 1
explains the evidence for "yes", and target 0 the evidence for "no". A single column would always have the probability
1.
"""

from fusioncam.tasks.detection import Detection, Detector, FoundBox, find_boxes
from fusioncam.tasks.detector_pass import is_detector
from fusioncam.tasks.embedding import Embedding
from fusioncam.tasks.multi_label import MultiLabel
from fusioncam.tasks.regression import Regression
from fusioncam.tasks.segmentation import Segmentation
from fusioncam.tasks.sliding_window import SlidingWindow
from fusioncam.tasks.text_prompts import TextPrompts

__all__ = [
    "Detection",
    "Detector",
    "Embedding",
    "FoundBox",
    "MultiLabel",
    "Regression",
    "Segmentation",
    "SlidingWindow",
    "TextPrompts",
    "find_boxes",
    "is_detector",
]
