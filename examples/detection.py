"""Explain the most confident detection of a detector.

python examples/detection.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from PIL import Image
from skimage import data
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

import fusioncam as fc
from fusioncam.tasks import Detection, find_boxes


def main(folder: str | None = None) -> None:
    """Explain an untrained detector; ``weights="DEFAULT"`` loads a trained one."""
    torch.manual_seed(0)
    network = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=96, max_size=128, box_score_thresh=0
    )
    # the detector normalises its input itself, so x holds pixels from 0 to 1
    preprocessing = fc.Preprocessing((96, 128), (96, 128), mean=(0, 0, 0), std=(1, 1, 1))
    x = preprocessing(Image.fromarray(data.chelsea()))

    ((found, *_),) = find_boxes(network, x[None], threshold=0)
    detection = Detection(network, found.box, found.label)
    model = fc.ExplainedModel(detection, preprocessing=preprocessing)
    explanation = fc.explain(data.chelsea(), model=model, target=1, method="grad-cam")
    print(explanation)
    if folder:
        explanation.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
