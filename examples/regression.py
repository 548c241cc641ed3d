"""Explain a regression: what increases the output, and what decreases it.

python examples/regression.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from skimage import data
from torchvision.models import resnet18

import fusioncam as fc
from fusioncam.tasks import Regression


def main(folder: str | None = None) -> None:
    """Explain an untrained network with one output, for example an age."""
    torch.manual_seed(1)
    network = resnet18(num_classes=1)

    # use the mean and standard deviation of the training targets
    age = Regression(network, centre=0.0, scale=0.2)
    preprocessing = fc.Preprocessing((96, 128), (96, 128))
    labels = ("younger", "older")
    model = fc.ExplainedModel(age, "wrapped.layer2", preprocessing=preprocessing, labels=labels)
    for side in labels:
        explanation = fc.explain(data.astronaut(), model=model, target=side)
        print(explanation)
        if folder:
            explanation.save(folder, side)


if __name__ == "__main__":
    main(*sys.argv[1:])
