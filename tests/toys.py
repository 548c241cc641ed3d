"""Small networks: some with outputs that can be computed by hand, others with features that are hard to support."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 3


class Toy(nn.Module):
    """``head(features(x))``, so that a twin can run the two parts separately."""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Fixed(nn.Module):
    """A 1x1 convolution with known weights: channel k is ``sum_c weight[k, c] x[c]``."""

    def __init__(self, weight: list[list[float]]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("kc,nc...->nk...", self.weight.to(x.dtype), x)


class Pool(nn.Module):
    """The mean over all locations."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


class Twice(nn.Module):
    """A network that runs one activation module twice, as older ResNets do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.idle = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.second(self.relu(self.first(x))))
        return self.head(x.flatten(2).mean(2))


class Viewing(nn.Module):
    """A network that flattens with ``view``, which fails with channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, stride=2), nn.Linear(4 * 9, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(x.view(x.shape[0], -1))


class Exploding(nn.Module):
    """A network that raises an error after its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        raise ArithmeticError("the network broke")


def linear() -> Toy:
    """Channels ``A0 = x0``, ``A1 = x1`` and ``A2 = x0 - x1``; logits are weighted sums of their means."""
    head = nn.Linear(3, CLASSES, bias=False, dtype=torch.float64)
    head.weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, -1.0, 3.0]], dtype=torch.float64)
    return Toy(Fixed([[1, 0, 0], [0, 1, 0], [1, -1, 0]]), nn.Sequential(Pool(), head))


def small(inplace: bool = True, channels: int = 6) -> Toy:
    """A network with BatchNorm, Dropout and in-place ReLUs before, at and after its layer."""
    features = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, stride=2),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=inplace),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(inplace=inplace),
    )
    head = nn.Sequential(
        nn.Conv2d(channels, 4, 1), nn.ReLU(inplace=inplace), nn.Dropout(0.5), Pool(), nn.Linear(4, CLASSES)
    )
    return Toy(features, head).double()


def curved() -> Toy:
    """A network whose gradients differ between locations: a convolution and a softplus follow the layer."""
    features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    head = nn.Sequential(nn.Conv2d(5, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 2 * 2, CLASSES))
    return Toy(features, head).double()


def dead() -> Toy:
    """A network with three constant channels of six: two are 0 everywhere and one is 0.5."""
    toy = small(inplace=False)
    last = toy.features[3]
    last.weight.data[[0, 2, 4]] = 0
    last.bias.data[[0, 2, 4]] = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)
    return toy


def signal() -> Toy:
    """A network for 1-D signals."""
    features = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.ReLU())
    return Toy(features, nn.Sequential(Pool(), nn.Linear(4, CLASSES))).double()


def volume() -> Toy:
    """A network for 3-D volumes."""
    features = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU())
    return Toy(features, nn.Sequential(Pool(), nn.Linear(4, CLASSES))).double()


def pyramid() -> Toy:
    """A network with maps of 16, 8 and 4 pixels a side; smooth, so that second derivatives are not 0."""
    features = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1),
        nn.Softplus(),
        nn.Conv2d(3, 4, 3, padding=1, stride=2),
        nn.Softplus(),
        nn.Conv2d(4, 5, 3, padding=1, stride=2),
        nn.Softplus(),
    )
    return Toy(features, nn.Sequential(nn.Conv2d(5, 4, 3), nn.Softplus(), Pool(), nn.Linear(4, CLASSES))).double()


TOYS = {
    "linear": linear,
    "small": small,
    "curved": curved,
    "dead": dead,
    "signal": signal,
    "volume": volume,
    "pyramid": pyramid,
}
SHAPES = {"signal": (2, 12), "volume": (1, 6, 6, 6), "pyramid": (3, 16, 16)}


def problem(name: str, images: int = 2, seed: int = 0) -> tuple[Toy, Tensor, Tensor]:
    """Return a toy in evaluation mode with inputs ``(N, C, *s)`` and targets ``(N,)``, all from one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        toy = TOYS[name]().eval()
        for module in toy.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2)
        x = torch.randn(images, *SHAPES.get(name, (3, 8, 8)), dtype=torch.float64)
        target = torch.randint(CLASSES, (images,))
    return toy, x, target
