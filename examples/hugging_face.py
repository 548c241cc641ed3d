"""Explain a classifier of Hugging Face's transformers, with the preprocessing of its image processor.

python examples/hugging_face.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from skimage import data
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

import fusioncam as fc


def main(folder: str | None = None) -> None:
    """Explain a small vision transformer with random weights; ``from_pretrained(NAME)`` loads trained ones."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=96, patch_size=16, hidden_size=48, num_hidden_layers=3, num_attention_heads=3, intermediate_size=96
    )
    network = ViTForImageClassification(config).eval()
    processor = ViTImageProcessor(size={"height": 96, "width": 96})

    model = fc.ExplainedModel(network, preprocessing=fc.Preprocessing.of(processor))
    for method in ("grad-cam", "legrad"):  # the layer is found automatically, and its tokens are arranged as maps
        explanation = fc.explain(data.chelsea(), model=model, method=method)
        print(explanation)
        if folder:
            explanation.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
