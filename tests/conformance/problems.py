"""Networks, images and targets on which methods and peers are compared."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn
from torchvision.models import VisionTransformer

import toys
from fusioncam import ExplainedModel, load_model
from fusioncam.functional.heatmaps import minmax, relu_above_rounding, upsample

PEERS = ("grad-cam", "torchcam", "captum", "official", "xplaincam")
SHARED = Path(__file__).parents[3] / "shared" / "oracles"
REFERENCES = (
    "012_blocks.6",
    "066_blocks.6",
    "207_blocks.6",
    "281_bn2",
    "340_blocks.6",
    "404_blocks.6",
    "555_blocks.6",
    "817_blocks.6",
)


@dataclass(eq=False)
class Problem:
    """A network, a layer, images and targets; ``stored`` holds the reference maps of peers that are not run."""

    name: str
    network: nn.Module
    layer: str
    x: Tensor
    target: Tensor
    stored: dict[str, Tensor] = field(default_factory=dict)
    model: ExplainedModel | None = None

    @functools.cached_property
    def explained(self) -> ExplainedModel:
        """Return the network as a model for our methods."""
        return self.model.with_layer(self.layer) if self.model else ExplainedModel(self.network, self.layer)

    @property
    def module(self) -> nn.Module:
        """Return the layer as a module for the peers."""
        return self.network.get_submodule(self.layer)

    def maps(self) -> tuple[Tensor, Tensor]:
        """Return the layer's activations and gradients."""
        record = self.explained.record(self.x, self.target)
        return record.activations, record.gradients


class Rows(nn.Module):
    """A network whose maps are means of ``pool`` pixels; its logits are weighted sums of the channels' totals."""

    def __init__(self, weights: list[list[float]], pool: int) -> None:
        super().__init__()
        self.features = nn.AvgPool2d((1, pool))
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, classes)``."""
        return self.features(x).flatten(2).sum(2) @ self.weights.T


def row(channels: list[list[float]], weights: list[float], pool: int = 1) -> Problem:
    """Return the smallest kind of problem: an image of one row and one class."""
    x = torch.tensor(channels, dtype=torch.float64)[None, :, None].requires_grad_()
    return Problem("row", Rows([weights], pool), "features", x, torch.tensor([0]))


def full() -> toys.Toy:
    """Return a network whose maps have the size of the input, so that all ways of upsampling agree."""
    features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
    return toys.Toy(features, nn.Sequential(toys.Pool(), nn.Linear(5, toys.CLASSES))).double()


def coarse() -> toys.Toy:
    """Return a network for volumes whose maps are smaller than the input."""
    features = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2))
    return toys.Toy(features, nn.Sequential(toys.Pool(), nn.Linear(4, toys.CLASSES))).double()


def negative() -> toys.Toy:
    """Return a network with maps of both signs, like those of a layer without an activation function."""
    features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, stride=2))
    head = nn.Sequential(nn.Conv2d(5, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 2 * 2, toys.CLASSES))
    return toys.Toy(features, head).double()


def overwritten() -> toys.Toy:
    """Return a network whose maps are overwritten by an in-place activation function."""
    toy = negative()
    toy.head.insert(0, nn.ReLU(inplace=True))
    return toy


EXTRA = {"full": full, "coarse": coarse, "negative": negative, "overwritten": overwritten}
SIZES = {"coarse": (1, 6, 8, 6)}


@functools.cache
def problem_of(name: str) -> Problem:
    """Return a problem by name: a toy's, ``vit``, ``default`` (the default model) or a reference file's."""
    if name in REFERENCES:
        return reference(name)
    if name.startswith("default"):
        return default(*name.split(":")[1:])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "vit":
            return vit()
        if name in EXTRA:
            toy, x = EXTRA[name]().eval(), torch.randn(2, *SIZES.get(name, (3, 8, 8)), dtype=torch.float64)
            return Problem(name, toy, "features", x, torch.tensor([0, 2]))
        toy, x, target = toys.problem(name)
        return Problem(name, toy, "features", x, target)


def vit() -> Problem:
    """Return a vision transformer of torchvision with two blocks, 4 x 4 patches and random weights."""
    network = VisionTransformer(8, 2, 2, 2, 8, 16, num_classes=toys.CLASSES).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    return Problem("vit", network, "encoder.layers.encoder_layer_1", x, torch.tensor([0, 2]))


@functools.cache
def lite0() -> ExplainedModel:
    """Return the default model; its weights require gradients, which some peers need."""
    model = load_model(device="cpu")
    trained = copy.deepcopy(model.network).requires_grad_(True)
    return ExplainedModel(trained, model.layer, preprocessing=model.preprocessing, labels=model.labels)


def default(layer: str = "blocks.6") -> Problem:
    """Return the default model with scikit-image's cat and the predicted class."""
    model = lite0()
    x = model.preprocessing(Image.fromarray(data.chelsea()))
    x = x if x.dim() == 4 else x[None]
    return Problem("default", model.network, layer, x, model.logits(x).argmax(1), model=model)


def reference(file: str) -> Problem:
    """Return the default model with the image, layer, class and maps of a reference file."""
    stored = np.load(SHARED / f"{file}.npz")
    pixels = torch.from_numpy(stored["image_u8"]).permute(2, 0, 1)[None].float() / 255
    maps = {key: torch.from_numpy(stored[key]).squeeze()[None] for key in stored if key.startswith(PEERS[3:])}
    target = torch.tensor([int(stored["target"])])
    layer = str(stored["layer"])
    return Problem(file, lite0().network, layer, (pixels - 0.498) / 0.502, target, maps, model=lite0())


Compute = Callable[[Problem], Tensor]


def heat(cam: Tensor, problem: Problem) -> Tensor:
    """Turn a cam into a heatmap as our methods do."""
    return minmax(upsample(relu_above_rounding(cam), problem.x.shape[2:]))


def signed_heat(cam: Tensor, problem: Problem) -> Tensor:
    """Turn a cam into a heatmap without a ReLU."""
    return minmax(upsample(cam[:, 0] if cam.dim() == problem.x.dim() else cam, problem.x.shape[2:]))
