"""Free photographs, small images, and small networks, most of which fail in one way each.

The functions at the end are factories as users write them: ``--model samples:small``.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from fusioncam import ClipPreprocessing, ExplainedModel, Preprocessing

PHOTOS = Path(data.__file__).parent
CAT, COFFEE, ROCKET = (PHOTOS / name for name in ("chelsea.png", "coffee.png", "rocket.jpg"))
LABELS = ("ash", "birch, white birch", "cedar", "dogwood", "elm")


@functools.cache
def photo(path: Path = CAT, size: tuple[int, int] | None = None) -> Image.Image:
    """Return a photograph, resized to ``size`` (width, height) if that is given."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    return rgb if size is None else rgb.resize(size)


def corners(width: int = 60, height: int = 40) -> Image.Image:
    """Return a blue image whose upper left quarter is red."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:] = (0, 0, 255)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    return Image.fromarray(pixels)


class Small(nn.Module):
    """A convolution, a ReLU, a mean and a linear layer; no channel lowers the score of a class."""

    def __init__(self, classes: int = len(LABELS), channels: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.conv = nn.Conv2d(channels, 6, 3, stride=4)
            self.act = nn.ReLU()
            self.fc = nn.Linear(6, classes)
            self.fc.weight.data.uniform_(0, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        return self.fc(self.act(self.conv(x)).mean((2, 3)))


class Staged(Small):
    """Has feature maps of two sizes: of ``early`` and of ``act``."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(8)
            self.early = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        return super().forward(self.early(x))


class Changed(Small):
    """Multiplies its scores by ``factor`` and adds ``shifts``."""

    def __init__(self, factor: float, shifts: list[float]) -> None:
        super().__init__()
        self.factor = factor
        self.register_buffer("shifts", torch.tensor(shifts))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        return super().forward(x) * self.factor + self.shifts


class Twice(Small):
    """Runs its activation twice."""

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        return self.fc(self.act(self.act(self.conv(x))).mean((2, 3)))


class Slow(Small):
    """Takes 0.2 seconds per pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        time.sleep(0.2)
        return super().forward(x)


class Deadly(Small):
    """Kills its process at black images, as a crashing decoder does."""

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``, or kill the process."""
        if (x.flatten(1).amax(1) < -1.7).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


class Sleepy(Small):
    """Never returns from black images."""

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``, or wait an hour."""
        if (x.flatten(1).amax(1) < -1.7).any():
            time.sleep(3600)
        return super().forward(x)


class Hungry(Small):
    """Allocates memory until its process is killed, at most 6 GiB, once in each folder."""

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        mark, memory = Path("hungry.mark"), []
        if x.abs().sum() > 0 and not mark.exists():
            mark.touch()
            for _ in range(60):
                memory.append(np.ones(100 * 2**20, np.uint8))
                time.sleep(0.1)
        return super().forward(x)


class FixedSize(Small):
    """Takes square images only."""

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, classes)``."""
        assert x.shape[2] == x.shape[3], "the image must be square"
        return super().forward(x)


class Broken(Small):
    """Raises an error as user code may."""

    def forward(self, x: Tensor) -> Tensor:
        """Raise an error."""
        raise KeyError("weights of the attention")


class Channels(nn.Module):
    """A network of ``channels`` input channels and five classes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(channels)
        self.maps, self.head = nn.Sequential(nn.Conv2d(channels, 8, 3, 2), nn.ReLU()), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores ``(N, 5)``."""
        return self.head(self.maps(x).mean((2, 3)))


def with_channels(channels: int) -> ExplainedModel:
    """Wrap such a network, for small inputs."""
    mean = (0.5,) * channels
    return ExplainedModel(Channels(channels), preprocessing=Preprocessing((32, 32), 32, mean=mean, std=mean))


def six_bands() -> ExplainedModel:
    """Return a network of six channels."""
    return with_channels(6)


def explained(network: nn.Module, labels: tuple[str, ...] | None = LABELS, size: int = 32) -> ExplainedModel:
    """Wrap one of these networks, for small inputs."""
    return ExplainedModel(network, preprocessing=Preprocessing((size, size), size), labels=labels, name="sample")


def small() -> ExplainedModel:
    """Return the network that works."""
    return explained(Small())


def staged() -> ExplainedModel:
    """Return the small network with maps of two sizes."""
    return explained(Staged())


def bare() -> nn.Module:
    """Return the bare network that works, without a wrapper."""
    return Small()


def fixed_size() -> ExplainedModel:
    """Return a network that takes square images only."""
    return explained(FixedSize())


def twice() -> ExplainedModel:
    """Return the network whose activation runs twice."""
    return explained(Twice())


def slow() -> ExplainedModel:
    """Return the slow network."""
    return explained(Slow())


def broken() -> ExplainedModel:
    """Return the network that raises an error."""
    return explained(Broken())


def deadly() -> ExplainedModel:
    """Return the network that kills its process."""
    return explained(Deadly())


def sleepy() -> ExplainedModel:
    """Return the network that never returns."""
    return explained(Sleepy())


def hungry() -> ExplainedModel:
    """Return the network that allocates memory."""
    return explained(Hungry())


def nan() -> ExplainedModel:
    """Return a network whose scores are all NaN."""
    return explained(Changed(1, [torch.nan] * 5))


def nan_first() -> ExplainedModel:
    """Return a network whose first score only is NaN."""
    return explained(Changed(1, [torch.nan, 0, 0, 0, 0]))


def flat() -> ExplainedModel:
    """Return a network whose scores are 0 for every image."""
    return explained(Changed(0, [0.0] * 5))


def alike() -> ExplainedModel:
    """Return the network that works, with classes that have the same name."""
    return explained(Small(), ("crane", "crane", "a/b", "a:b", "heron"))


def marked() -> ExplainedModel:
    """Return the network that works, with class names that look like markup."""
    return explained(Small(), tuple(f"[/red] [bold]{n}" for n in range(5)))


def of_clips() -> ExplainedModel:
    """Return a network of clips of four frames."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layers = (nn.Conv3d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))
        preprocessing = ClipPreprocessing((32, 32), (32, 32), frames=4)
        return ExplainedModel(nn.Sequential(*layers), preprocessing=preprocessing)


def fails() -> ExplainedModel:
    """Fail, as a factory without its file does."""
    raise FileNotFoundError("my_weights.pt")


def text() -> str:
    """Return something that is not a network."""
    return "resnet50"


number = 3


def painted(seed, size=(40, 36)):
    """Return a small image of coloured noise, coarse enough that networks distinguish the seeds."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def photos(folder, count=4):
    """Write a folder of ``count`` such images and return its path."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        painted(number).save(folder / f"{number:02}.png")
    return folder
