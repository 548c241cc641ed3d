"""Comparison of each method with its peers for the same network, layer, image and target.

A :class:`Case` compares one method with one peer. If they differ, ``rule`` is our method with the peer's rule instead
of ours, and its result must equal the peer's: otherwise the difference is not explained. The tests run the cases, and
`docs/conformance.py` writes them to a page.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import captum.attr
import cv2
import numpy as np
import pytorch_grad_cam as gradcam
import torch
import torch.nn.functional as F
import torchcam.methods as torchcam
from PIL import Image
from pytorch_grad_cam import sobel_cam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget
from scipy.ndimage import zoom
from skimage import data
from torch import Tensor, nn
from torchvision.models import VisionTransformer

import toys
from fusioncam import METHODS, ExplainedModel, load_model
from fusioncam.errors import FlatHeatmapWarning
from fusioncam.functional.heatmaps import expand_like, minmax, relu_above_rounding, upsample, weighted_sum
from fusioncam.functional.masks import ChannelMasks
from fusioncam.methods.base import noise
from fusioncam.methods.gradient import GradCAM, LayerCAM, ShapleyCAM
from fusioncam.methods.multi_layer import MultiLayer, RefineCAM
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM
from fusioncam.methods.smoothing import Augmented
from fusioncam.model.parameters import channel_biases
from fusioncam.model.pixel_gradients import input_gradients

PEERS = ("grad-cam", "torchcam", "captum", "official", "xplaincam")
SHARED = Path(__file__).parents[2] / "shared" / "oracles"
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


# -- the networks and images ---------------------------------------------------------------------------------


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


# -- the peers -------------------------------------------------------------------------------------------------

Compute = Callable[[Problem], Tensor]


def of_gradcam(
    peer: type, target: type = ClassifierOutputTarget, layers: tuple[str, ...] = (), batch: int = 3, **settings
) -> Compute:
    """Compute heatmaps with grad-cam, in float32 at the size of the input."""

    def compute(problem: Problem) -> Tensor:
        chosen = [problem.network.get_submodule(name) for name in layers or (problem.layer,)]
        cam = peer(problem.network, [] if peer is gradcam.FullGrad else chosen)
        if peer in (gradcam.AblationCAM, gradcam.ScoreCAM):
            cam.batch_size = batch
        try:
            return torch.from_numpy(cam(problem.x.clone(), [target(int(c)) for c in problem.target], **settings))
        finally:
            problem.network.zero_grad()
            for base in getattr(cam, "base_cam_per_layer", [cam]):
                base.activations_and_grads.release()

    return compute


def finer_of_gradcam(problem: Problem) -> Tensor:
    """Compute grad-cam's Finer-CAM image by image, because it accepts a single class for all images."""
    with gradcam.FinerCAM(problem.network, [problem.module]) as cam:
        maps = [cam(x[None].clone(), None, target_idx=int(c)) for x, c in zip(problem.x, problem.target, strict=True)]
    problem.network.zero_grad()
    return torch.from_numpy(np.concatenate(maps))


def smoothed_by_gradcam(problem: Problem) -> Tensor:
    """Compute grad-cam's Grad-CAM with smoothing over augmented images."""
    return of_gradcam(gradcam.GradCAM, aug_smooth=True)(problem)


def random_of_gradcam(problem: Problem) -> Tensor:
    """Compute grad-cam's random map with NumPy's seed 0."""
    np.random.seed(0)
    return of_gradcam(gradcam.RandomCAM)(problem)


def edges_of_gradcam(problem: Problem) -> Tensor:
    """Compute grad-cam's Sobel image of an 8-bit image."""
    return minmax(torch.from_numpy(np.stack([sobel_cam.sobel_cam(image) for image in bytes_of(problem)])).double())


def bytes_of(problem: Problem) -> list[np.ndarray]:
    """Return the images with 8 bits and channels last."""
    return [(image * 255).round().byte().permute(1, 2, 0).numpy() for image in minmax(problem.x)]


def of_torchcam(peer: type, *args, layers: tuple[str, ...] = (), **settings) -> Compute:
    """Compute heatmaps with torchcam, and upsample them from the size of the layer to that of the input."""

    def compute(problem: Problem) -> Tensor:
        with peer(problem.network, list(layers) or problem.layer, *args, **settings) as extractor:
            logits = problem.network(problem.x.clone())
            cams = extractor(problem.target.tolist(), logits)[0].detach()
        return minmax(upsample(cams, problem.x.shape[2:]))

    return compute


def torchcam_with_noise(peer: type, draw: Callable[[Problem], list[Tensor]], **settings) -> Compute:
    """Compute heatmaps with torchcam and our noise instead of its own."""

    class Ours:
        def __init__(self, draws: list[Tensor]) -> None:
            self.draws = iter(draws)

        def sample(self, size: torch.Size) -> Tensor:
            return next(self.draws).expand(size)

    def compute(problem: Problem) -> Tensor:
        def with_our_noise(*args, **kwargs):
            extractor = peer(*args, **kwargs)
            extractor._distrib = Ours(draw(problem))
            return extractor

        return of_torchcam(with_our_noise, **settings)(problem)

    return compute


def fused_by_torchcam(layers: tuple[str, ...]) -> Compute:
    """Fuse Grad-CAM's maps of several layers with torchcam, at the size of the input."""

    def compute(problem: Problem) -> Tensor:
        with torchcam.GradCAM(problem.network, list(layers)) as extractor:
            cams = extractor(problem.target.tolist(), problem.network(problem.x.clone()))
            return minmax(extractor.fuse_cams([cam.detach() for cam in cams], tuple(problem.x.shape[2:])))

    return compute


def of_captum(peer: type, finish: Callable[[Tensor, Problem], Tensor], layer: bool = True, **settings) -> Compute:
    """Compute attributions with captum, and turn them into heatmaps with ``finish``."""

    def compute(problem: Problem) -> Tensor:
        attribution = peer(problem.network, problem.module) if layer else peer(problem.network)
        attributions = attribution.attribute(problem.x.clone(), target=problem.target, **settings).detach()
        return finish(attributions, problem)

    return compute


def nearest(attributions: Tensor, problem: Problem) -> Tensor:
    """Upsample attributions with captum's own function."""
    return minmax(captum.attr.LayerAttribution.interpolate(attributions, problem.x.shape[2:])[:, 0])


def ablated_by_captum(problem: Problem) -> Tensor:
    """Weight the channels by the drop in score without them, as captum computes it."""
    activations = problem.maps()[0]
    channels = torch.arange(activations.shape[1]).reshape(1, -1, *[1] * (activations.dim() - 2))
    ablation = captum.attr.LayerFeatureAblation(problem.network, problem.module)
    mask = channels.expand_as(activations[:1])
    drop = ablation.attribute(problem.x.clone(), target=problem.target, layer_mask=mask).detach()
    return heat(weighted_sum(activations, drop.flatten(2)[..., 0]), problem)


def stored(key: str) -> Compute:
    """Return a function that looks up a reference map."""
    return lambda problem: problem.stored[key]


# -- ours with a peer's rule -----------------------------------------------------------------------------------


def heat(cam: Tensor, problem: Problem) -> Tensor:
    """Turn a cam into a heatmap as our methods do."""
    return minmax(upsample(relu_above_rounding(cam), problem.x.shape[2:]))


def signed_heat(cam: Tensor, problem: Problem) -> Tensor:
    """Turn a cam into a heatmap without a ReLU."""
    return minmax(upsample(cam[:, 0] if cam.dim() == problem.x.dim() else cam, problem.x.shape[2:]))


def from_maps(cam: Callable[[Tensor, Tensor], Tensor]) -> Compute:
    """Return the rule of a function of activations and gradients."""
    return lambda problem: heat(cam(*problem.maps()), problem)


def plus_plus(epsilon: float, *, each: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    """Return Grad-CAM++ with ``epsilon`` in the denominator; ``each`` multiplies by the gradients inside the sum."""

    def cam(activations: Tensor, gradients: Tensor) -> Tensor:
        maps, g = activations.double(), gradients.double()
        total = (maps * g**3).flatten(2).sum(2) if each else maps.flatten(2).sum(2)
        third = expand_like(total, g) if each else expand_like(total, g) * g**3
        alpha = torch.where(g != 0, g**2 / (2 * g**2 + third + epsilon), 0)
        return weighted_sum(maps, (alpha * g.relu()).flatten(2).sum(2))

    return cam


def lost_division(activations: Tensor, gradients: Tensor) -> Tensor:
    """Compute Grad-CAM++ with an alpha that is not divided."""
    return weighted_sum(activations, (gradients**2 * gradients.relu()).flatten(2).sum(2))


def no_denominator(activations: Tensor, gradients: Tensor) -> Tensor:
    """Compute XGrad-CAM with weights that are not divided by the sum of the activations."""
    return weighted_sum(activations, (activations * gradients).flatten(2).sum(2))


def centred(maps: Tensor) -> Tensor:
    """Project on the first component after subtracting the mean of each channel."""
    flat = maps.flatten(2).mT.double()
    flat = flat - flat.mean(1, keepdim=True)
    vector = torch.linalg.svd(flat, full_matrices=False).Vh[:, 0]
    return torch.einsum("npk,nk->np", flat, vector).reshape(len(maps), *maps.shape[2:])


def either_sign(maps: Callable[[Tensor, Tensor], Tensor]) -> Compute:
    """Return both signs of the centred component, because the sign of the decomposition is arbitrary."""

    def rule(problem: Problem) -> Tensor:
        cam = centred(maps(*problem.maps()))
        return torch.stack([heat(cam, problem), heat(-cam, problem)])

    return rule


def channel_by_channel(problem: Problem) -> Tensor:
    """Compute FullGrad with each channel rescaled separately, for layers of exactly two classes."""
    classes = (nn.Conv2d, nn.BatchNorm2d)
    size = problem.x.shape[2:]
    biases = channel_biases(problem.explained, problem.x)
    layers = [name for name in biases if type(problem.network.get_submodule(name)) in classes]
    records = problem.explained.records(problem.x, problem.target, layers) if layers else []
    terms = [problem.x * input_gradients(problem.explained, problem.x, problem.target)]
    terms += [record.gradients * biases[record.layer].to(record.gradients) for record in records]
    total = torch.zeros_like(problem.x[:, 0])
    for term in terms:
        flat = term.abs().flatten(0, 1)
        flat = flat - expand_like(flat.flatten(1).amin(1), flat)
        flat = flat / expand_like(flat.flatten(1).amax(1) + 1e-7, flat)
        total = total + upsample(flat, size).reshape(*term.shape[:2], *size).sum(1)
    return minmax(total)


def weighted_references(problem: Problem) -> Tensor:
    """Compute Finer-CAM with gamma 1 and references weighted by probabilities, including their gradient."""
    logits = problem.explained.logits(problem.x).detach().requires_grad_()
    contrast = torch.zeros(())
    for y, c in zip(logits, problem.target.tolist(), strict=True):
        distances = (y - y[c]).abs().detach()
        distances[c] = -1
        others = distances.argsort()[1:4]
        p = y.softmax(0)[others]
        contrast = contrast + (p * (y[c] - y[others])).sum() / (p.sum() + 1e-9)
    (weights,) = torch.autograd.grad(contrast, logits)
    record = problem.explained.record(problem.x, weights)
    return heat(weighted_sum(record.activations, record.gradients.flatten(2).mean(2)), problem)


def aligned(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Upsample with aligned corners."""
    return F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=True)[:, 0]


def early_relu(activations: Tensor, weights: Tensor, x: Tensor, method: object) -> Tensor:
    """Return heatmaps of weighted channels with the ReLU before upsampling."""
    return minmax(upsample(relu_above_rounding(weighted_sum(activations, weights)), x.shape[2:]))


def aligned_corners(problem: Problem) -> Tensor:
    """Compute Score-CAM with masks upsampled with aligned corners and the ReLU before upsampling."""
    with (
        mock.patch("fusioncam.functional.masks.upsample", aligned),
        mock.patch("fusioncam.methods.score_cam.from_channels", early_relu),
    ):
        return ours(METHODS["score-cam"])(problem)


def rescaled_before(method: ISCAM | ScoreCAM | SSCAM) -> Compute:
    """Return the method with masks rescaled before upsampling, and the ReLU before upsampling."""

    def rule(problem: Problem) -> Tensor:
        before = functools.partial(ChannelMasks, normalise="before")
        with (
            mock.patch("fusioncam.methods.score_cam.ChannelMasks", lambda maps, size, *_: before(maps, size)),
            mock.patch("fusioncam.methods.score_cam.from_channels", early_relu),
        ):
            return ours(method)(problem)

    return rule


class Lowered:
    """Changes that lower each channel to a value, as grad-cam's ablation does if the lowest value is not 0."""

    def __init__(self, activations: Tensor, values: Tensor) -> None:
        images, channels = activations.shape[:2]
        self.shape, self.active = (channels, images), torch.ones(channels, images, dtype=torch.bool)
        self.values = values

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        """Return copies ``(B, K, *s)``, each with one channel lowered."""
        copies = maps.expand(len(which), *maps.shape).clone()
        for copied, channel in zip(copies, which.tolist(), strict=True):
            copied[channel] = self.values[channel]
        return copies


def lowered(batch: int) -> Compute:
    """Return Ablation-CAM divided by the logit, with 1e7 less than the lowest value so far instead of 0."""

    def values(maps: Tensor) -> Tensor:
        lowered_to = []
        for channel in range(len(maps)):
            lowest = maps.min() if channel % batch == 0 else torch.minimum(maps.min(), lowered_to[-1])
            lowered_to.append(torch.where(lowest == 0, lowest, lowest - 1e7))
        return torch.stack(lowered_to)

    def rule(problem: Problem) -> Tensor:
        cams = []
        for x, c in zip(problem.x.split(1), problem.target.split(1), strict=True):
            record = problem.explained.record(x, c)
            changes = Lowered(record.activations, values(record.activations[0]))
            y = problem.explained.scores(x, c, "logit")[:, None]
            ablated = problem.explained.ablated_scores(x, changes, c, readout="logit").T
            cams.append(weighted_sum(record.activations, (y - ablated) / y))
        return heat(torch.cat(cams), problem)

    return rule


def last_noisy(problem: Problem) -> Tensor:
    """Compute Smooth Grad-CAM++ with the last noisy image, and the third derivative in the sum of alpha."""
    draws = 0.3 * noise(problem.x, 4, 0)
    noisy = [problem.explained.record(problem.x + draw, problem.target) for draw in draws]
    second = torch.stack([record.gradients**2 for record in noisy]).mean(0)
    third = torch.stack([record.gradients**3 for record in noisy]).mean(0)
    total = expand_like((third * problem.maps()[0]).flatten(2).sum(2), third)
    alpha = second / (2 * second + total + 1e-8)
    weights = (alpha * noisy[-1].gradients.relu()).flatten(2).sum(2)
    return heat(weighted_sum(noisy[-1].activations, weights), problem)


def maps_at_layers(problem: Problem, layers: tuple[str, ...], epsilon: float) -> Tensor:
    """Return Grad-CAM's maps at each of the layers ``(L, N, *s)``, rescaled before upsampling."""
    maps = []
    for record in problem.explained.records(problem.x, problem.target, layers):
        cam = weighted_sum(record.activations, record.gradients.flatten(2).mean(2)).relu()
        cam = cam - expand_like(cam.flatten(1).amin(1), cam)
        maps.append(upsample(cam / expand_like(cam.flatten(1).amax(1) + epsilon, cam), problem.x.shape[2:]))
    return torch.stack(maps)


def small_product(layers: tuple[str, ...]) -> Compute:
    """Return RefineCAM of LayerCAM with the product at the size of the largest layer."""

    def rule(problem: Problem) -> Tensor:
        records = problem.explained.records(problem.x, problem.target, layers)
        cams = [minmax((record.gradients.relu() * record.activations).sum(1).relu()) for record in records]
        size = max((cam.shape[1:] for cam in cams), key=lambda side: side[0])
        product = torch.stack([upsample(cam, size) for cam in cams]).prod(0)
        return minmax(upsample(product, problem.x.shape[2:]))

    return rule


def averaged_brightness(problem: Problem) -> Tensor:
    """Average Grad-CAM over the image and its mirror image, each at three contrasts, without rescaling the mean."""
    total = torch.zeros_like(problem.x[:, 0])
    for factor in (0.9, 1, 1.1):
        for flip in (False, True):
            x = problem.x.flip(-1) if flip else problem.x
            heatmaps = ours(GradCAM())(replace(problem, x=x * factor))
            total += heatmaps.flip(-1) if flip else heatmaps
    return total / 6


def random_channels(problem: Problem) -> Tensor:
    """Weight the channels at random."""
    activations = problem.maps()[0]
    np.random.seed(0)
    weights = torch.from_numpy(np.random.uniform(-1, 1, activations.shape[:2]))
    return heat(weighted_sum(activations, weights.to(activations)), problem)


def byte_derivatives(problem: Problem) -> Tensor:
    """Return the mean of the absolute values of both derivatives, in 8 bits, of an image with mirrored borders."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in bytes_of(problem)]
    maps = F.pad(torch.from_numpy(np.stack(grey)).double()[:, None], (1, 1, 1, 1), mode="reflect")
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64)
    derivatives = [F.conv2d(maps, sobel[None, None])[:, 0].abs().clamp(max=255) for sobel in (kernel, kernel.T)]
    # OpenCV rounds halves to even, as torch does
    return minmax((sum(derivatives) / 2).round())


def cubic(problem: Problem) -> Tensor:
    """Upsample Grad-CAM to the size of a volume by cubic splines with aligned corners."""
    activations, gradients = problem.maps()
    cam = minmax(relu_above_rounding(weighted_sum(activations, gradients.flatten(2).mean(2)))).float()
    sides = [large / small for large, small in zip(problem.x.shape[2:], cam.shape[1:], strict=True)]
    return minmax(torch.from_numpy(np.stack([zoom(volume.numpy(), sides) for volume in cam])).clamp(min=0))


def nearest_ours(problem: Problem) -> Tensor:
    """Upsample Grad-CAM by nearest neighbours."""
    activations, gradients = problem.maps()
    cam = relu_above_rounding(weighted_sum(activations, gradients.flatten(2).mean(2)))
    return minmax(F.interpolate(cam[:, None], problem.x.shape[2:])[:, 0])


def gauss_legendre(problem: Problem) -> Tensor:
    """Compute integrated gradients by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(50)
    total = torch.zeros_like(problem.x)
    for node, weight in zip(nodes, weights, strict=True):
        total += weight / 2 * input_gradients(problem.explained, (1 + node) / 2 * problem.x, problem.target)
    return minmax((problem.x * total).sum(1).abs())


def of_overwritten_maps(problem: Problem, *, after: bool) -> Tensor:
    """Compute Grad-CAM of maps that an in-place activation function after the layer has overwritten."""
    activations, gradients = problem.maps()
    if after:  # the gradient with respect to the overwritten maps
        toy = problem.network
        relu = activations.relu().detach().requires_grad_()
        logits = toy.head[1:](relu)
        (gradients,) = torch.autograd.grad(logits.gather(1, problem.target[:, None]).sum(), relu)
    return heat(weighted_sum(activations.relu(), gradients.flatten(2).mean(2)), problem)


def ours(method: Callable[..., Tensor]) -> Compute:
    """Compute heatmaps with one of our methods, without warnings about flat ones."""

    def compute(problem: Problem) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FlatHeatmapWarning)
            return method(problem.explained, problem.x, problem.target)

    return compute


# -- the cases -------------------------------------------------------------------------------------------------

PLAIN = ("linear", "small", "curved", "dead", "pyramid", "negative")
CURVED = ("curved", "pyramid", "negative")
ALL = (*PLAIN, "signal", "volume")
LAYERS = ("features.3", "features")


@dataclass(frozen=True, eq=False)
class Example:
    """The smallest problem that shows a difference, and its heatmaps to two decimals.

    ``theirs`` has several entries if the peer's result is one of several.
    """

    text: str
    problem: Problem
    mine: list[float]
    theirs: tuple[list[float], ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A comparison of one method with one peer, on the problems ``on``; the toys precede the default model.

    ``mine`` is our method, by default that of METHODS; ``note`` states the settings. Without a ``rule``, both agree
    within ``tolerance``. With a ``rule``, they differ by at least ``least`` on some problem, ``rule`` reproduces the
    peer, ``why`` describes what the peer does differently, and ``right`` which of both is right and by which source.
    """

    method: str
    peer: str
    theirs: Compute
    on: tuple[str, ...]
    mine: Callable[..., Tensor] | None = None
    note: str = ""
    rule: Compute | None = None
    why: str = ""
    right: str = ""
    example: Example | None = None
    tolerance: float = 1e-5
    least: float = 1e-3
    slow: tuple[str, ...] = ()
    loose: float = 0

    def allowed(self, name: str) -> float:
        """Return the tolerance on a problem; ``loose``, if set, is that of the default model."""
        return self.loose if self.loose and name == "default" else self.tolerance

    @property
    def verdict(self) -> str:
        """Return "agrees" or "differs"."""
        return "differs" if self.rule else "agrees"

    @property
    def name(self) -> str:
        """Return the name for test ids and headings."""
        return f"{self.method}, {self.peer}" + (f", {self.note}" if self.note else "")

    def difference(self, name: str) -> float:
        """Return the largest difference of our heatmaps from the peer's on a problem."""
        problem = problem_of(name)
        return max_difference(ours(self.mine or METHODS[self.method])(problem), result_of(self.theirs, problem))

    def unexplained(self, name: str) -> float:
        """Return the largest difference of the peer's heatmaps from ours with the peer's rule."""
        assert self.rule is not None
        problem = problem_of(name)
        return max_difference(self.rule(problem), result_of(self.theirs, problem))


@functools.cache
def result_of(peer: Compute, problem: Problem) -> Tensor:
    """Return the result of a peer, computed once although it is compared twice."""
    return peer(problem)


def max_difference(mine: Tensor, theirs: Tensor) -> float:
    """Return the largest absolute difference; of several candidates, the nearest one of each image counts."""
    candidates = mine if mine.dim() > theirs.dim() else mine[None]
    return float((candidates.double() - theirs.double()).abs().flatten(2).amax(2).amin(0).max())


NOT_READ = "The paper's full text was not available; "
CASES = [
    # -- grad-cam
    Case("grad-cam", "grad-cam", of_gradcam(gradcam.GradCAM), (*PLAIN, "volume", "default")),
    Case(
        "grad-cam",
        "grad-cam",
        of_gradcam(gradcam.GradCAM),
        ("coarse",),
        note="maps of volumes smaller than the volume",
        rule=cubic,
        why="It upsamples the maps of volumes with `scipy.ndimage.zoom`, whose default is a cubic spline with "
        "aligned corners. Its maps of images, and all of ours, are interpolated linearly with aligned pixel centres.",
        right="The paper does not define it for volumes; it uses bilinear upsampling for images. Ours treats volumes "
        "as both treat images. A spline also overshoots the values that it interpolates.",
        tolerance=1e-5,
    ),
    Case(
        "grad-cam",
        "grad-cam",
        of_gradcam(gradcam.GradCAM),
        ("overwritten",),
        note="a layer followed by an in-place activation",
        rule=functools.partial(of_overwritten_maps, after=False),
        why="On the CPU it stores the layer's output without copying it, so that a `ReLU(inplace=True)` after the "
        "layer overwrites the activations before they are used. The gradients are those of the layer.",
        right="Ours: eq. 2 of arXiv 1610.02391 weights the activations of the selected layer. It matters if an "
        "in-place activation directly follows the layer, as after the BatchNorms of torchvision's VGGs.",
    ),
    Case(
        "grad-cam++",
        "grad-cam",
        of_gradcam(gradcam.GradCAMPlusPlus),
        (*PLAIN, "default"),
        rule=from_maps(plus_plus(1e-6)),
        why="It adds 1e-6 to the denominator of alpha. Squared gradients are often of that size or smaller.",
        right="Ours: the definition of alpha in arXiv 1710.11063 (eq. 19 according to grad-cam's comment) adds "
        "nothing. Where the denominator is 0, ours is 0.",
    ),
    Case("xgrad-cam", "grad-cam", of_gradcam(gradcam.XGradCAM), (*PLAIN, "default")),
    Case("layer-cam", "grad-cam", of_gradcam(gradcam.LayerCAM), (*PLAIN, "volume", "default")),
    Case("hires-cam", "grad-cam", of_gradcam(gradcam.HiResCAM), (*PLAIN, "volume", "default")),
    Case("elementwise-grad-cam", "grad-cam", of_gradcam(gradcam.GradCAMElementWise), (*PLAIN, "volume", "default")),
    Case(
        "eigen-cam",
        "grad-cam",
        of_gradcam(gradcam.EigenCAM),
        (*PLAIN, "default"),
        rule=either_sign(lambda activations, gradients: activations),
        why="It subtracts each channel's mean before the decomposition, which makes it a principal component "
        "analysis. The sign is that of the decomposition and therefore arbitrary, so that a map may be inverted.",
        right="Ours: arXiv 2008.00299 decomposes the activations without centring. " + NOT_READ + "this follows the "
        "definition in secondary sources, map = O v1 with O = U S V'. That definition leaves the sign open; with "
        "ours the sum of the map is positive.",
        example=Example("One channel [2, 1, 0].", row([[2, 1, 0]], [1]), [1, 0.5, 0], ([1, 0, 0], [0, 0, 1])),
    ),
    Case(
        "eigen-grad-cam",
        "grad-cam",
        of_gradcam(gradcam.EigenGradCAM),
        (*PLAIN, "default"),
        rule=either_sign(lambda activations, gradients: activations * gradients),
        why="As for eigen-cam: the channels are centred and the sign is arbitrary.",
        right="There is no paper; grad-cam introduced the method, so that ours is the one that deviates. Ours "
        "follows the definition of EigenCAM, from which the method has its name.",
    ),
    Case(
        "fullgrad",
        "grad-cam",
        of_gradcam(gradcam.FullGrad),
        (*PLAIN, "default"),
        rule=channel_by_channel,
        why="It rescales every channel to [0, 1] separately, ours every layer as a whole. It also recognises only "
        "layers whose class is exactly `Conv2d` or `BatchNorm2d`: the layers of the default model are of derived "
        "classes, so that no bias is included and its map is that of the pixels alone.",
        right="Ours follows the authors' public code. "
        + NOT_READ
        + "its psi allows both readings. For derived classes "
        "ours is right: the method is defined as the sum over all biases.",
    ),
    Case(
        "shapley-cam",
        "grad-cam",
        of_gradcam(gradcam.ShapleyCAM, ClassifierOutputReST),
        (*PLAIN[1:], "default"),
        note="the utility `ClassifierOutputReST`",
    ),
    Case(
        "shapley-cam",
        "grad-cam",
        of_gradcam(gradcam.ShapleyCAM),
        (*PLAIN[1:], "default"),
        mine=ShapleyCAM(utility="logit"),
        note="its default target, our `utility=logit`",
    ),
    Case(
        "finer-cam",
        "grad-cam",
        finer_of_gradcam,
        (*PLAIN, "default"),
        rule=weighted_references,
        why="Gamma is 1 instead of 0.6, and the reference classes are weighted by their probabilities, which also "
        "receive a gradient; ours uses their mean.",
        right=NOT_READ + "the authors' public code has both forms. Ours is its configuration named aggregate, which "
        "torchcam uses as well; its score is linear in the logits.",
    ),
    Case(
        "refine-cam",
        "grad-cam",
        of_gradcam(functools.partial(gradcam.RefineCAM, base_method=gradcam.LayerCAM), layers=LAYERS),
        ("pyramid",),
        mine=RefineCAM(LayerCAM(), LAYERS),
        note="of LayerCAM, at two layers",
    ),
    Case(
        "multi-layer",
        "grad-cam",
        of_gradcam(gradcam.GradCAM, layers=LAYERS),
        ("pyramid",),
        mine=MultiLayer(GradCAM(), LAYERS),
        note="the mean over two layers",
        rule=lambda problem: minmax(maps_at_layers(problem, LAYERS, 1e-7).mean(0)),
        why="A map is rescaled to [0, 1] before it is upsampled and not again afterwards: a map with a narrow peak "
        "has less weight.",
        right="Neither: no paper defines it. Ours combines the final heatmaps.",
    ),
    Case(
        "augmented",
        "grad-cam",
        smoothed_by_gradcam,
        CURVED,
        mine=Augmented(samples=0),
        note="its `aug_smooth`",
        rule=averaged_brightness,
        why="It averages over mirror images at three contrasts (times 0.9, 1 and 1.1) and does not rescale the mean; "
        "ours averages over mirror images and noise, and rescales.",
        right="Neither: no paper defines it. Ours is similar, but not the same.",
    ),
    Case(
        "random",
        "grad-cam",
        random_of_gradcam,
        CURVED,
        rule=random_channels,
        why="It weights the layer's channels at random, so that its map is as smooth as others of that layer; ours "
        "draws every pixel.",
        right="Neither: these are two baselines with the same name. Theirs depends on the layer, ours does not "
        "depend on the network.",
    ),
    Case(
        "edges",
        "grad-cam",
        edges_of_gradcam,
        ("curved",),
        note="its `sobel_cam`",
        rule=byte_derivatives,
        why="It converts an 8-bit image to grey by perceived brightness, mirrors the borders and returns the mean of "
        "the absolute values of both derivatives, rounded and clipped at 255; ours is the gradient magnitude of the "
        "mean over channels, for any input.",
        right="Neither: no paper defines it.",
    ),
    Case(
        "score-cam",
        "grad-cam",
        of_gradcam(gradcam.ScoreCAM),
        ("curved", "dead", "negative"),
        rule=aligned_corners,
        why="It upsamples the masks, but not the map, with aligned corners (`UpsamplingBilinear2d`): a mask is "
        "shifted by up to half a cell from the location that it masks. For layers with negative values it also "
        "applies the ReLU before upsampling, ours after.",
        right="Ours in both: the authors' public code upsamples masks and map without aligned corners and applies "
        "the ReLU last; the paper's equations leave it open. Without upsampling both agree.",
        example=Example(
            "Maps [2, 0, 0] and [0, 2, 0] of an image with channels [2, 2, 0, 0, 0, 0] and [0, 0, 2, 2, 0, 0]; the "
            "logit is their sum.",
            row([[2, 2, 0, 0, 0, 0], [0, 0, 2, 2, 0, 0]], [1, 1], 2),
            [0.77, 0.85, 1, 0.81, 0.27, 0],
            ([0.57, 0.71, 1, 0.86, 0.29, 0],),
        ),
    ),
    Case("score-cam", "grad-cam", of_gradcam(gradcam.ScoreCAM), ("full",), note="at full size"),
    Case(
        "ablation-cam",
        "grad-cam",
        of_gradcam(gradcam.AblationCAM),
        ("small", "curved", "negative", "default"),
        rule=lowered(3),
        why="It sets a channel to 0 only if the layer's lowest value is exactly 0. Otherwise it sets it to 1e7 below "
        "the lowest value, the next channel of the same batch to another 1e7 below that, and so on: the weights then "
        "measure that number. It divides by the logit, as the paper does, which inverts the map where the logit is "
        "negative.",
        right="Ours sets a channel to 0, as the paper does (a comment in grad-cam says that it deviates). By the "
        "paper's slope (y - y_k) / y, the division of grad-cam is right. We omit it on purpose, because it is the "
        "same factor for the whole map, and with a negative logit it presents evidence for the class as evidence "
        "against it.",
        example=Example(
            "Channels [1, 0, 0] and [0, 1, 0]; the logit is the first minus three times the second, so that the "
            "evidence for the class is at the first location.",
            row([[1, 0, 0], [0, 1, 0]], [1, -3]),
            [1, 0, 0],
            ([0, 1, 0],),
        ),
        slow=("default",),
        tolerance=1e-4,
    ),
    # -- torchcam
    Case("cam", "torchcam", of_torchcam(torchcam.CAM, "head.1"), ("linear", "volume", "signal", "full")),
    Case(
        "cam",
        "torchcam",
        of_torchcam(torchcam.CAM, "classifier"),
        ("default:bn2",),
        note="at `bn2`",
    ),
    Case("grad-cam", "torchcam", of_torchcam(torchcam.GradCAM), (*ALL, "coarse", "default")),
    Case(
        "grad-cam",
        "torchcam",
        of_torchcam(torchcam.GradCAM),
        ("overwritten",),
        note="a layer followed by an in-place activation",
        rule=functools.partial(of_overwritten_maps, after=True),
        why="It stores the layer's output without copying it: both activations and gradients are those after the "
        "in-place activation.",
        right="Ours: eq. 2 of arXiv 1610.02391 weights the activations of the selected layer.",
    ),
    Case(
        "grad-cam++",
        "torchcam",
        of_torchcam(torchcam.GradCAMpp),
        (*ALL, "default"),
        rule=from_maps(lost_division),
        why="The division of alpha is applied to a copy (`alpha[idx][mask].div_(...)`) and lost, so that alpha is "
        "the squared gradient and the weight of a channel is the sum of its cubed gradients.",
        right="Ours, by the definition of alpha in arXiv 1710.11063, which torchcam's docstring states as well.",
        example=Example(
            "Channels [1, 0, 0] and [0, 1, 0] with gradients of 1 and 2 everywhere.",
            row([[1, 0, 0], [0, 1, 0]], [1, 2]),
            [0.67, 1, 0],
            ([0.12, 1, 0],),
        ),
    ),
    Case(
        "smooth-grad-cam++",
        "torchcam",
        torchcam_with_noise(torchcam.SmoothGradCAMpp, lambda problem: list(0.3 * noise(problem.x, 4, 0)[:, None])),
        (*CURVED, "small", "default"),
        note="with our noise",
        rule=last_noisy,
        why="The weighted gradients and the summed activations are those of the last noisy image, and the sum in "
        "alpha's denominator multiplies activations and third derivatives at each location.",
        right="Ours, by the definition in arXiv 1908.01224 as torchcam's docstring states it: the activations are "
        "those of the image, all derivatives are means over the noise, and the sum is over the activations. In both "
        "the numerator of alpha is the second derivative, where the paper is said to print the first.",
    ),
    Case("xgrad-cam", "torchcam", of_torchcam(torchcam.XGradCAM), (*ALL, "default")),
    Case("layer-cam", "torchcam", of_torchcam(torchcam.LayerCAM), (*ALL, "default")),
    Case("finer-cam", "torchcam", of_torchcam(torchcam.FinerCAM), (*ALL, "default")),
    Case(
        "refine-cam",
        "torchcam",
        of_torchcam(functools.partial(torchcam.RefineCAM, base_method=torchcam.LayerCAM), layers=LAYERS),
        ("pyramid",),
        mine=RefineCAM(LayerCAM(), LAYERS),
        note="of LayerCAM, at two layers",
        rule=small_product(LAYERS),
        why="It multiplies the maps at the size of the largest layer, ours at the size of the image.",
        right=NOT_READ + "grad-cam, whose RefineCAM agrees with ours, also multiplies at the size of the image.",
    ),
    Case(
        "multi-layer",
        "torchcam",
        fused_by_torchcam(LAYERS),
        ("pyramid",),
        mine=MultiLayer(GradCAM(), LAYERS, rule="max"),
        note="`fuse_cams`, the maximum of two layers",
        rule=lambda problem: minmax(maps_at_layers(problem, LAYERS, 1e-8).amax(0)),
        why="As in grad-cam: a map is rescaled before it is upsampled, and not again afterwards.",
        right="Neither: no paper defines it.",
    ),
    Case(
        "legrad",
        "torchcam",
        of_torchcam(torchcam.LeGrad, layers=tuple(f"encoder.layers.encoder_layer_{block}" for block in (0, 1))),
        ("vit",),
    ),
    Case(
        "score-cam",
        "torchcam",
        of_torchcam(torchcam.ScoreCAM, batch_size=4),
        ("curved", "dead", "negative", "coarse"),
        rule=rescaled_before(ScoreCAM()),
        why="It rescales a mask to [0, 1] before it upsamples it, so that the mask may not reach 0 and 1. For layers "
        "with negative values it also applies the ReLU before upsampling, ours after.",
        right="Ours: arXiv 1910.01279 normalises the upsampled activation, H = s(Up(A)) (eq. 4 and 5), as torchcam's "
        "docstring also states. `score-cam(normalise=before)` has torchcam's masks. The authors' public code applies "
        "the ReLU last.",
        example=Example(
            "Maps [0, 3, 0] and [4, 0, 0] of an image with channels [0, 0, 3, 3, 0, 0] and [4, 4, 0, 0, 0, 0]; the "
            "logit is their sum.",
            row([[0, 0, 3, 3, 0, 0], [4, 4, 0, 0, 0, 0]], [1, 1], 2),
            [1, 0.9, 0.71, 0.46, 0.15, 0],
            ([1, 0.81, 0.43, 0.18, 0.06, 0],),
        ),
    ),
    Case(
        "score-cam",
        "torchcam",
        of_torchcam(torchcam.ScoreCAM, batch_size=4),
        ("full",),
        note="at full size",
    ),
    Case(
        "ss-cam",
        "torchcam",
        torchcam_with_noise(torchcam.SSCAM, lambda problem: list(2 * noise(problem.x[:, 0], 35, 0)[:, None, None])),
        ("curved", "dead", "negative"),
        note="with our noise",
        rule=rescaled_before(SSCAM()),
        why="As for score-cam: masks are rescaled before they are upsampled, and the ReLU precedes the upsampling of "
        "the map. By default it also draws new noise for every channel and sample; ours uses the same draws for all "
        "channels.",
        right="Ours in the first, as for score-cam. The second is a choice: the expectation is the same, and with "
        "the same draws the channels are compared under the same noise.",
    ),
    Case(
        "ss-cam",
        "torchcam",
        torchcam_with_noise(torchcam.SSCAM, lambda problem: list(2 * noise(problem.x[:, 0], 35, 0)[:, None, None])),
        ("full",),
        note="with our noise, at full size",
    ),
    Case(
        "is-cam",
        "torchcam",
        of_torchcam(torchcam.ISCAM, batch_size=4),
        ("curved", "dead", "negative"),
        rule=rescaled_before(ISCAM()),
        why="As for score-cam: masks are rescaled before they are upsampled, and the ReLU precedes the upsampling of "
        "the map.",
        right="Ours, as for score-cam. In both the factor of the mask grows to 5.5, which exceeds the range of the "
        "image: so does the paper's algorithm according to both peers; `is-cam(path=even)` stays within the range.",
    ),
    Case("is-cam", "torchcam", of_torchcam(torchcam.ISCAM, batch_size=4), ("full",), note="at full size"),
    # -- captum
    Case(
        "grad-cam",
        "captum",
        of_captum(captum.attr.LayerGradCam, signed_heat, relu_attributions=True),
        (*ALL, "coarse", "default"),
        note="with `relu_attributions=True`, its map upsampled linearly",
    ),
    Case(
        "grad-cam",
        "captum",
        of_captum(captum.attr.LayerGradCam, nearest, relu_attributions=True),
        (*CURVED, "default"),
        note="with its `interpolate`",
        rule=nearest_ours,
        why="`LayerAttribution.interpolate` uses nearest neighbours by default, and `LayerGradCam` keeps negative "
        "values unless `relu_attributions=True`.",
        right="Ours: eq. 2 of arXiv 1610.02391 has the ReLU, and its heatmaps are upsampled bilinearly. Captum's "
        "documentation attributes the ReLU to the original paper.",
    ),
    Case(
        "hires-cam",
        "captum",
        of_captum(
            captum.attr.LayerGradientXActivation, lambda attributions, problem: heat(attributions.sum(1), problem)
        ),
        (*ALL, "default"),
        note="`LayerGradientXActivation`, its channels summed",
    ),
    Case(
        "elementwise-grad-cam",
        "captum",
        of_captum(
            captum.attr.LayerGradientXActivation,
            lambda attributions, problem: heat(attributions.relu().sum(1), problem),
        ),
        (*ALL, "default"),
        note="`LayerGradientXActivation`, its positive part summed",
    ),
    Case(
        "ablation-cam",
        "captum",
        ablated_by_captum,
        (*PLAIN, "volume"),
        note="weights by `LayerFeatureAblation`",
    ),
    Case(
        "integrated-gradients",
        "captum",
        of_captum(
            captum.attr.IntegratedGradients,
            lambda attributions, problem: minmax(attributions.sum(1).abs()),
            layer=False,
            method="riemann_middle",
            n_steps=50,
        ),
        (*ALL, "default"),
        note='with `method="riemann_middle"`',
        slow=("default",),
        loose=2e-3,
    ),
    Case(
        "integrated-gradients",
        "captum",
        of_captum(
            captum.attr.IntegratedGradients,
            lambda attributions, problem: minmax(attributions.sum(1).abs()),
            layer=False,
            n_steps=50,
        ),
        (*ALL, "default"),
        note="with its defaults",
        rule=gauss_legendre,
        why="It integrates by Gauss-Legendre quadrature, ours by the midpoints of 50 equal steps.",
        right="Both approximate the same integral (arXiv 1703.01365, eq. 1). The midpoints are closer to the paper's "
        "sum over equal steps (eq. 3). Where the gradient is discontinuous, as after ReLUs, the higher order of the "
        "quadrature is no advantage.",
        slow=("default",),
        loose=2e-3,
    ),
    # -- the reference maps
    *(Case("grad-cam", code, stored(f"{code}/gradcam"), REFERENCES) for code in PEERS[3:]),
    Case("grad-cam++", "official", stored("official/gradcampp"), REFERENCES),
    Case(
        "grad-cam++",
        "xplaincam",
        stored("xplaincam/gradcampp"),
        REFERENCES,
        rule=from_maps(plus_plus(1e-8, each=True)),
        why="The sum in alpha's denominator multiplies activations and cubed gradients at each location, sum(A g^3), "
        "and 1e-8 is added.",
        right="Ours and official: the definition multiplies the sum of the activations by the third derivative at "
        "the same location, sum(A) g^3.",
        # cubed gradients of both signs nearly cancel in the denominator: 2e-4 on one processor, 4.5e-4 on another
        tolerance=1e-3,
    ),
    Case(
        "xgrad-cam",
        "official",
        stored("official/xgradcam"),
        REFERENCES,
        rule=from_maps(no_denominator),
        why="The weights are sum(A g), without the division by sum(A): the activity of a channel enters twice.",
        right="Ours, xplaincam, grad-cam and torchcam, by the definition in arXiv 2008.02312: the gradients are "
        "averaged with the normalised activations as weights.",
    ),
    Case("xgrad-cam", "xplaincam", stored("xplaincam/xgradcam"), REFERENCES, tolerance=1e-3),
    Case("layer-cam", "xplaincam", stored("xplaincam/layercam"), REFERENCES),
    Case(
        "ablation-cam", "xplaincam", stored("xplaincam/ablationcam"), REFERENCES, slow=REFERENCES[1:], tolerance=1e-4
    ),
]
GROUP_CAM = {
    "official": "It also uses a lighter blur (sigma 25).",
    "xplaincam": "It also adds up the sums instead of the masks.",
}
for code in PEERS[3:]:
    CASES += [
        Case(f"group-cam:{code}", code, stored(f"{code}/groupcam"), REFERENCES, slow=REFERENCES[1:]),
        Case(
            "group-cam",
            code,
            stored(f"{code}/groupcam"),
            REFERENCES,
            rule=ours(METHODS[f"group-cam:{code}"]),
            why=f"It does not denoise the sums of the groups, and sets negative gains to 0. {GROUP_CAM[code]}",
            right=NOT_READ + "ours follows the public code of the method's authors: values of a sum below its 70th "
            "percentile are set to 0, and gains keep their signs.",
            slow=REFERENCES[1:],
        ),
    ]
SHARED_CODES = {"score-cam": "scorecam", "union-cam": "unioncam", "fusion-cam": "fusioncam"}
CASES += [
    Case(f"{method}:{code}", code, stored(f"{code}/{key}"), REFERENCES[:1], slow=REFERENCES, tolerance=1e-4)
    for method, key in SHARED_CODES.items()
    for code in PEERS[3:]
]
CASES += [
    Case(
        "score-cam",
        "xplaincam",
        stored("xplaincam/scorecam"),
        REFERENCES[:1],
        rule=ours(METHODS["score-cam:xplaincam"]),
        why="The weights are probabilities without a softmax over the channels. Masks are rescaled before they are "
        "upsampled, and they are summed instead of the channels.",
        right="Public codes differ in all of these, and so do the authors' code (probabilities without a softmax) "
        "and paper (a softmax of increases). Ours follows the paper's algorithm 1, with logits.",
        slow=REFERENCES,
        tolerance=1e-4,
    ),
    Case("score-cam", "official", stored("official/scorecam"), REFERENCES[:1], slow=REFERENCES, tolerance=1e-4),
    Case(
        "union-cam",
        "official",
        stored("official/unioncam"),
        REFERENCES[:1],
        note="where no gain is negative",
        slow=REFERENCES,
        tolerance=1e-4,
    ),
    Case(
        "fusion-cam",
        "official",
        stored("official/fusioncam"),
        REFERENCES[:1],
        rule=ours(METHODS["fusion-cam:official"]),
        why="The second step uses the region map's weight of the first step, which is already divided by the sum of "
        "the gains, and divides it by a sum again. Gains of either sign are divided by their sum.",
        right="The paper's text was not available, and its authors' two codes differ from each other. Ours "
        "normalises the gains in each step and treats negative ones as 0: gains of opposite signs divided by their "
        "sum are unbounded.",
        slow=REFERENCES,
        tolerance=1e-4,
    ),
    *(
        Case(
            method,
            "xplaincam",
            stored(f"xplaincam/{key}"),
            REFERENCES[:1],
            rule=ours(METHODS[f"{method}:xplaincam"]),
            why="The weights are the gains themselves, and the region map is its own Score-CAM (see there).",
            right="The paper's text was not available, and its authors' two codes differ from each other. Ours "
            "normalises the gains, as official does, so that maps with small gains have weight too; a negative gain, "
            "which would invert a map, has weight 0.",
            slow=REFERENCES,
            tolerance=1e-4,
        )
        for method, key in list(SHARED_CODES.items())[1:]
    ),
]
