"""Explain a similarity: the built-in network without its classifier, as an embedding.

python examples/embedding.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from PIL import Image
from skimage import data

import fusioncam as fc
from fusioncam.tasks import Embedding


def main(folder: str | None = None) -> None:
    """Explain which part of a cat image is similar to a crop of the same cat, and not to coffee."""
    lite0 = fc.load_model(device="cpu")
    lite0.network.reset_classifier(0)  # the output is now 1,280 features
    images = [Image.fromarray(one) for one in (data.chelsea()[30:270, 80:320], data.coffee())]
    x = torch.stack([lite0.preprocessing(one) for one in images])

    alike = Embedding.of_images(lite0.network, x)
    labels = ("like the cat", "like the coffee", "like neither")
    model = fc.ExplainedModel(alike, "wrapped.bn2", preprocessing=lite0.preprocessing, labels=labels)
    explanation = fc.explain(data.chelsea(), model=model, target="like the cat", method="grad-cam")
    print(explanation)
    if folder:
        explanation.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
