"""Small detectors that imitate the outputs of the libraries: one feature map, and a prediction for each location."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fusioncam import ExplainedModel, Preprocessing
from fusioncam.tasks import Detector

STRIDE, CLASSES = 8, 3


class Grid(nn.Module):
    """Predict a box of twice the stride and logits of the classes at each location of the maps of a backbone."""

    def __init__(self, outputs: int = CLASSES) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 6, STRIDE, STRIDE), nn.ReLU(), nn.Conv2d(6, 5, 3, 1, 1), nn.ReLU())
        self.head = nn.Conv2d(5, outputs, 1)

    def grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes ``(N, P, 4)`` as centres and sizes in pixels, and logits ``(N, P, outputs)``."""
        logits = self.head(self.backbone(x))
        rows, columns = logits.shape[2:]
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centres = torch.stack([x, y], -1).reshape(-1, 2) * STRIDE + STRIDE / 2
        boxes = torch.cat([centres, torch.full_like(centres, 2 * STRIDE)], 1).to(logits)
        return boxes.expand(len(logits), -1, -1), logits.flatten(2).mT


class Queries(Grid):
    """Return logits and boxes as shares of the image, as transformers' DETR (with "no object") and RT-DETR do."""

    def __init__(self, no_object: bool) -> None:
        super().__init__(CLASSES + no_object)
        self.config = SimpleNamespace(num_labels=CLASSES, id2label={0: "cat", 1: "dog", 2: "bicycle"})

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Return the output of a batch."""
        boxes, logits = self.grid(x)
        height, width = x.shape[2:]
        return OrderedDict(logits=logits, pred_boxes=boxes / boxes.new_tensor([width, height, width, height]))


class Head(nn.Module):
    """The last module of an ultralytics network, which knows the number of classes."""

    nc = CLASSES
    end2end = False

    def __init__(self, others: int = 0) -> None:
        super().__init__()
        self.scores = nn.Conv2d(5, CLASSES + others, 1)
        self.shape, self.anchors = None, torch.empty(0)

    def forward(self, maps: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return ``(N, 4 + classes + others, P)`` and the raw scores."""
        maps = maps.detach() if self.end2end else maps
        raw = self.scores(maps)
        rows, columns = raw.shape[2:]
        if self.shape != raw.shape:
            y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            self.anchors, self.shape = torch.stack([x, y]).flatten(1).to(raw) + 0.5, raw.shape
        # products of the anchors with values that have a gradient are part of the real heads too
        centres = self.anchors * (1 + 0 * raw.flatten(2)[:, :1])
        boxes = torch.cat([centres, torch.full_like(centres, 2)], 1) * STRIDE
        scores, others = raw.flatten(2).split([CLASSES, raw.shape[1] - CLASSES], 1)
        return self.returned(boxes, scores.sigmoid(), others), {"scores": scores}

    def returned(self, boxes: Tensor, scores: Tensor, others: Tensor) -> Tensor:
        """Return the tensor of predictions, or the best of them with one class each."""
        if not self.end2end:
            return torch.cat([boxes, scores, others], 1)
        best, labels = scores.max(1, keepdim=True)
        corners = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
        return torch.cat([corners, best, labels.to(best)], 1).mT


class Yolo(nn.Module):
    """A network like those of ultralytics: layers in ``model``, of which the last makes the predictions."""

    def __init__(self, others: int = 0, end2end: bool = False) -> None:
        super().__init__()
        self.model = nn.Sequential(*Grid().backbone, Head(others))
        self.model[-1].end2end = end2end
        self.names = {0: "cat", 1: "dog", 2: "bicycle"}

    def forward(self, x: Tensor) -> tuple[object, ...]:
        """Return nested tuples that begin with the predictions."""
        y, raw = self.model(x)
        return ((y, raw), raw) if y.shape[1] > 4 + CLASSES else (y, raw)


NETWORKS = {
    "softmax": lambda: Queries(True),
    "sigmoid": lambda: Queries(False),
    "yolo": Yolo,
    "yolo with masks": lambda: Yolo(others=4),
    "yolo without suppression": lambda: Yolo(end2end=True),
}


def toy(name: str, label: int | None = None) -> tuple[nn.Module, Tensor]:
    """Return a network in float64 and two images of 32 x 48 pixels.

    All maps speak for the ``label`` and against the other classes, so that no heatmap of it is flat.
    """
    torch.manual_seed(0)
    network, x = NETWORKS[name]().double().eval(), torch.rand(2, 3, 32, 48, dtype=torch.float64)
    scores = network.head if isinstance(network, Queries) else network.model[-1].scores
    if label is not None:
        scores.weight.data.abs_()[torch.arange(scores.out_channels) != label] *= -1
        scores.bias.data[label] += 1
    return network, x


def confident() -> tuple[ExplainedModel, Image.Image]:
    """Return the model of a detector of three classes, whose scores differ, and an image of 64 x 96 pixels."""
    torch.manual_seed(0)
    network = Queries(no_object=False).eval()
    network.head.weight.data.abs_().mul_(12)
    network.head.bias.data.sub_(1)
    preprocessing = Preprocessing((32, 48), (32, 48), mean=(0,) * 3, std=(1,) * 3)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return ExplainedModel(Detector(network), preprocessing=preprocessing), Image.fromarray(pixels)


def probabilities(name: str, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return boxes ``(N, P, 4)`` as corners in pixels and class probabilities ``(N, P, classes)``, by hand."""
    if isinstance(network, Queries):
        boxes, logits = network.grid(x)
        exp = logits.exp()
        scores = (exp / exp.sum(2, keepdim=True))[..., :CLASSES] if name == "softmax" else 1 / (1 + (-logits).exp())
    else:
        maps = network.model[:-1](x)
        boxes, _ = Grid().to(x).grid(x)
        scores = 1 / (1 + (-network.model[-1].scores(maps)[:, :CLASSES].flatten(2).mT).exp())
        if network.model[-1].end2end:
            scores = scores * (scores == scores.amax(2, keepdim=True))
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], 2), scores
