"""Measure ROAR on CIFAR-10: the accuracy of networks that are fine-tuned without the pixels that a method highlights.

python roar.py FOLDER [--network cifar_resnet56] [--train 1000] [--test 1000]

Heatmaps and epochs are stored in FOLDER, from which the same call continues. The accuracies are written to
``FOLDER/roar.json``; docs/results.py makes a table of docs/results/retraining/roar-NETWORK.json. It needs the same
files as ``tuned.py``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import networks
from tuned import TRAINING, data

import fusioncam as fc
from fusioncam.metrics.roar import heatmaps_of, roar
from fusioncam.utils.files import write_file

METHODS = ("center", "grad-cam", "layer-cam", "group-cam", "score-cam", "fusion-cam")
SHARES = (0.1, 0.3, 0.5, 0.7)


class Together:
    """A method whose heatmaps of a batch are computed together with those of METHODS, which share their passes."""

    def __init__(self, name, found):
        self.name, self.found = name, found

    def __call__(self, model, x, target):
        """Return the heatmaps ``(N, H, W)``; the first method that gets a batch computes those of all."""
        batch = x.data_ptr(), len(x)
        if batch not in self.found:
            with fc.cached_passes():
                self.found[batch] = {name: fc.METHODS[name](model, x, target) for name in METHODS}
        return self.found[batch][self.name]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", default="cifar_resnet20", choices=("cifar_resnet20", "cifar_resnet56"))
    parser.add_argument("--train", type=int, default=1000, help="number of images to train on")
    parser.add_argument("--test", type=int, default=1000, help="number of images to test on")
    options = parser.parse_args()
    model = getattr(networks, options.network)().with_layer("layer3")
    parts = {"train": data("train", options.train), "test": data("test", options.test)}
    heatmaps = {}
    methods = {"random": "random"} | {name: Together(name, heatmaps) for name in METHODS}
    for name, method in methods.items():
        for part, images in parts.items():
            heatmaps_of(model, method, *images, options.folder / name / part)
    found = {}
    for name, method in methods.items():
        folder = options.folder / name
        result = roar(model, *parts.values(), method, SHARES, restart=False, training=TRAINING, folder=folder)
        found[name] = {f"{share:g}": accuracy for share, accuracy in result.accuracies.items()}
        print(name, found[name], flush=True)
    settings = {"network": model.name, "train": options.train, "test": options.test, "epochs": TRAINING.epochs}
    settings |= {"whole": result.whole, "accuracies": found}
    write_file(options.folder / "roar.json", json.dumps(settings, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
