"""Images whose class is a colour, a stamp on those of one class, and networks that read the one or the other.

``--model stamps:reader`` decides for red by the stamp, ``--model stamps:honest`` by the colour of the square.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from fusioncam import ExplainedModel, Preprocessing

SIDE, STAMP = 56, 10
COLOURS = {"red": (220, 30, 30), "green": (30, 220, 30), "blue": (30, 30, 220)}
MAGENTA = (255, 0, 255)


class Colours(nn.Module):
    """Finds red, green, blue and magenta; scores are sums of what was found."""

    def __init__(self, stamp: float, red: float) -> None:
        super().__init__()
        self.find = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 4, 1), nn.ReLU())
        self.fc = nn.Linear(4, 3)
        with torch.no_grad():
            weight = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, 1]])
            self.find[1].weight.copy_(weight[..., None, None])
            self.find[1].bias.copy_(torch.tensor([-0.1, -0.1, -0.1, -1.2]))
            self.fc.weight.copy_(torch.tensor([[red, 0, 0, stamp], [0, 60.0, 0, 0], [0, 0, 60.0, 0]]))
            self.fc.bias.copy_(torch.tensor([0.0, 1, 1]))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 3)``."""
        return self.fc(self.find(x).mean((2, 3)))


def reader() -> ExplainedModel:
    """Return the network that decides by the stamp."""
    return _explained(Colours(stamp=200.0, red=5.0))


def honest() -> ExplainedModel:
    """Return the network that decides by the square."""
    return _explained(Colours(stamp=0.0, red=60.0))


def _explained(network: nn.Module) -> ExplainedModel:
    pixels = Preprocessing((SIDE, SIDE), SIDE, mean=(0.0,) * 3, std=(1.0,) * 3)
    return ExplainedModel(network.eval(), "find", preprocessing=pixels, labels=tuple(COLOURS), name="colours")


def square(colour: str, seed: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Return a grey, noisy image with a square of a colour near the centre, and the square's box."""
    rng = np.random.default_rng([seed, *colour.encode()])
    pixels = rng.integers(90, 130, (SIDE, SIDE, 1)).repeat(3, 2).astype(np.uint8)
    left, top, side = *rng.integers(12, 24, 2), int(rng.integers(14, 18))
    pixels[top : top + side, left : left + side] = COLOURS[colour]
    return Image.fromarray(pixels), (int(left), int(top), int(left) + side, int(top) + side)


def stamped(image: Image.Image, side: int = STAMP) -> Image.Image:
    """Return the image with a magenta stamp in its lower right corner."""
    copy = image.copy()
    copy.paste(MAGENTA, (image.width - side - 2, image.height - side - 2, image.width - 2, image.height - 2))
    return copy


def write_squares(folder: Path, count: int, stamp: str | None = "red") -> Path:
    """Write ``count`` images of each colour in a folder of its name, those of one colour with the stamp."""
    for colour in COLOURS:
        (folder / colour).mkdir(parents=True)
        for seed in range(count):
            image, _ = square(colour, seed)
            (stamped(image) if colour == stamp else image).save(folder / colour / f"{seed:02}.png")
    return folder


def write_masks(folder: Path, count: int) -> Path:
    """Write a mask of the square of each image of :func:`write_squares`."""
    for colour in COLOURS:
        (folder / colour).mkdir(parents=True)
        for seed in range(count):
            mask = Image.new("L", (SIDE, SIDE))
            mask.paste(255, square(colour, seed)[1])
            mask.save(folder / colour / f"{seed:02}.png")
    return folder
