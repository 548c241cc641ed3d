"""Explain similar classes: what makes this cat an Egyptian cat and not a tabby or a tiger cat.

python examples/fine_grained.py [FOLDER]
"""

from __future__ import annotations

import sys

from skimage import data

import fusioncam as fc


def main(folder: str | None = None) -> None:
    """Compare the evidence for a class with the evidence that separates it from similar classes."""
    model = fc.load_model(device="cpu")
    methods = ["grad-cam", "finer-cam(references=3, gamma=0.6)", "finer-cam(references=3, gamma=1)"]
    comparison = fc.compare(data.chelsea(), methods, model=model, target="Egyptian cat")
    for explanation in comparison:
        print(explanation)
    if folder:
        comparison.save(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
