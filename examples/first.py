"""First steps: explain an image, look at the explanation, save it.

python examples/first.py [FOLDER]
"""

from __future__ import annotations

import sys

from skimage import data

import fusioncam as fc


def main(folder: str | None = None) -> None:
    """Explain a cat with the built-in network."""
    explanation = fc.explain(data.chelsea(), method="fusion-cam(budget=32)")  # or the path of an image
    explanation.heatmap  # (H, W) float32 tensor in [0, 1]
    explanation.gains  # what each of the fused maps adds to the class probability
    explanation.facts()  # class, probability, passes, seconds: everything except the pixels
    print(explanation)
    if folder:
        explanation.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
