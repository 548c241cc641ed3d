"""Explain networks of several inputs: an image with a table, and two images that are compared.

python examples/several_inputs.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from skimage import data
from torch import Tensor, nn
from torchvision.models import resnet18

import fusioncam as fc
from fusioncam.data.images import open_image


class WithTable(nn.Module):
    """A diagnosis from an image and the age and weight of a patient."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet18(num_classes=16)
        self.head = nn.Linear(16 + 2, 3)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        """Return scores ``(N, 3)``."""
        return self.head(torch.cat([self.backbone(image), table], 1))


class Siamese(nn.Module):
    """Whether two images show the same object, from one backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet18(num_classes=16)
        self.head = nn.Linear(16, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return scores ``(N, 2)``."""
        return self.head((self.backbone(left) - self.backbone(right)).abs())


def main(folder: str | None = None) -> None:
    """Explain two networks with random weights, in place of trained ones."""
    torch.manual_seed(0)
    preprocessing = fc.Preprocessing((96, 96), 96)

    # what goes along with the image, by name; a batch of N images may have N rows
    patient = {"table": torch.tensor([[0.4, 0.7]])}
    model = fc.ExplainedModel(WithTable().eval(), extra=patient, vary="image", preprocessing=preprocessing)
    explanations = [fc.explain(data.chelsea(), model=model, method="grad-cam")]

    # one heatmap for each image of a pair, while the other one stays as it is
    network = Siamese().eval()
    images = {"left": data.chelsea(), "right": data.coffee()}
    pair = {name: preprocessing(open_image(image))[None] for name, image in images.items()}
    for name, other in (("left", "right"), ("right", "left")):
        model = fc.ExplainedModel(network, extra={other: pair[other]}, vary=name, preprocessing=preprocessing)
        explanations.append(fc.explain(images[name], model=model, method="grad-cam"))

    # the same with tensors
    model = fc.ExplainedModel(network, vary=("left", "right"))
    heatmaps = fc.METHODS["grad-cam"](model, pair, target=None)
    assert torch.allclose(heatmaps["right"][0], explanations[-1].heatmap)

    for number, explanation in enumerate(explanations):
        print(explanation)
        if folder:
            explanation.save(folder, f"explanation-{number}")


if __name__ == "__main__":
    main(*sys.argv[1:])
