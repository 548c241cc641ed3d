"""Networks of the plan `retraining`: a ResNet-20 for CIFAR-10 that is fine-tuned on images with missing parts.

``networks.py`` with ``cifar_resnet20`` must be on PYTHONPATH, and the current folder must have ``cifar10.npz`` with
``train_images`` ``(N, 32, 32, 3)`` uint8, ``train_labels`` ``(N,)`` and the same for "test", sorted by class.
"""

import numpy as np
import torch
from networks import cifar_resnet20
from torch import Tensor

import fusioncam as fc
from fusioncam.inference.training import Training
from fusioncam.metrics.finetuning import MissingPatch, MissingPixels, finetune

TRAINING = Training(epochs=2)


def patch() -> fc.ExplainedModel:
    """Return the network for idsds."""
    return finetune(cifar_resnet20(), *data("train"), MissingPatch(), TRAINING, "tuned/patch")


def pixels() -> fc.ExplainedModel:
    """Return the network for f-fidelity."""
    return finetune(cifar_resnet20(), *data("train"), MissingPixels(), TRAINING, "tuned/pixels")


def data(part: str, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the images of "train" or "test" as inputs of the network, and their labels.

    With a count, they are the first of each class, so many in all.
    """
    stored = np.load("cifar10.npz")
    images, labels = stored[f"{part}_images"], stored[f"{part}_labels"]
    if count is not None:
        classes = np.unique(labels)
        chosen = np.concatenate([np.flatnonzero(labels == one)[: count // len(classes)] for one in classes])
        images, labels = images[chosen], labels[chosen]
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    return (x - mean) / std, torch.from_numpy(labels).long()
