"""Explain a multi-label network, whose labels have independent probabilities.

python examples/multilabel.py [FOLDER]
"""

from __future__ import annotations

import sys

from skimage import data

import fusioncam as fc
from fusioncam.tasks import MultiLabel


def main(folder: str | None = None) -> None:
    """Explain two labels of one image; the built-in network replaces one that was trained with sigmoids."""
    lite0 = fc.load_model(device="cpu")
    for name, label in (("espresso", 967), ("spatula", 813)):
        present = MultiLabel(lite0.network, label)
        labels = (f"no {name}", name)
        model = fc.ExplainedModel(present, "wrapped.bn2", preprocessing=lite0.preprocessing, labels=labels)
        explanation = fc.explain(data.coffee(), model=model, target=1, method="grad-cam")
        print(explanation)
        if folder:
            explanation.save(folder, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
