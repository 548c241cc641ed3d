"""Explain a segmentation network: a class in the whole image, and in a region that you choose.

python examples/segmentation.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from skimage import data
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import fusioncam as fc
from fusioncam.tasks import Segmentation


def main(folder: str | None = None) -> None:
    """Explain an untrained segmentation network; ``weights="DEFAULT"`` loads a trained one."""
    torch.manual_seed(0)
    network = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21)
    preprocessing = fc.Preprocessing((96, 128), (96, 128))
    region = torch.zeros(96, 128, dtype=torch.bool)
    region[30:60, 40:90] = True  # the cat's eyes

    for segmenter in (Segmentation(network), Segmentation(network, region)):
        model = fc.ExplainedModel(segmenter, "wrapped.backbone.6", preprocessing=preprocessing)
        explanation = fc.explain(data.chelsea(), model=model)
        print(explanation)
        if folder:
            explanation.save(folder, "own pixels" if segmenter.region is None else "region")


if __name__ == "__main__":
    main(*sys.argv[1:])
