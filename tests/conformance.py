"""What each method and its peers give for the same network, layer, image and target, and why they differ.

A :class:`Case` is one method beside one peer. Where they differ, ``rule`` is ours with the peer's rule put in, which
must then give what the peer gives: a difference that no such function explains is not explained. The tests run the
cases, and `docs/conformance.py` writes them down.
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
)
REFERENCES = (*REFERENCES, "817_blocks.6")


# -- the networks and images ---------------------------------------------------------------------------------


@dataclass(eq=False)
class Problem:
    """A network, a layer, images and targets; ``stored`` are reference maps, where the peer is not run."""

    name: str
    network: nn.Module
    layer: str
    x: Tensor
    target: Tensor
    stored: dict[str, Tensor] = field(default_factory=dict)
    model: ExplainedModel | None = None

    @functools.cached_property
    def explained(self) -> ExplainedModel:
        """The network as our methods take it."""
        return self.model.with_layer(self.layer) if self.model else ExplainedModel(self.network, self.layer)

    @property
    def module(self) -> nn.Module:
        """The layer as the peers take it."""
        return self.network.get_submodule(self.layer)

    def maps(self) -> tuple[Tensor, Tensor]:
        """Give the layer's activations and gradients."""
        record = self.explained.record(self.x, self.target)
        return record.activations, record.gradients


class Rows(nn.Module):
    """Maps that are means of ``pool`` pixels of a row; logits are weighted sums over the places of each channel."""

    def __init__(self, weights: list[list[float]], pool: int) -> None:
        super().__init__()
        self.features = nn.AvgPool2d((1, pool))
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(N, classes)``."""
        return self.features(x).flatten(2).sum(2) @ self.weights.T


def row(channels: list[list[float]], weights: list[float], pool: int = 1) -> Problem:
    """Give the smallest kind of problem: an image 1 pixel high and one class."""
    x = torch.tensor(channels, dtype=torch.float64)[None, :, None].requires_grad_()
    return Problem("row", Rows([weights], pool), "features", x, torch.tensor([0]))


def full() -> toys.Toy:
    """Maps of the input's size, so that no two ways of upsampling differ."""
    features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
    return toys.Toy(features, nn.Sequential(toys.Pool(), nn.Linear(5, toys.CLASSES))).double()


def coarse() -> toys.Toy:
    """Volumes whose maps are smaller than they are."""
    features = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2))
    return toys.Toy(features, nn.Sequential(toys.Pool(), nn.Linear(4, toys.CLASSES))).double()


def negative() -> toys.Toy:
    """Maps of both signs, as those of a layer without an activation."""
    features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1, stride=2))
    head = nn.Sequential(nn.Conv2d(5, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(4 * 2 * 2, toys.CLASSES))
    return toys.Toy(features, head).double()


def overwritten() -> toys.Toy:
    """Maps that an activation in place overwrites."""
    toy = negative()
    toy.head.insert(0, nn.ReLU(inplace=True))
    return toy


EXTRA = {"full": full, "coarse": coarse, "negative": negative, "overwritten": overwritten}
SIZES = {"coarse": (1, 6, 8, 6)}


@functools.cache
def problem_of(name: str) -> Problem:
    """Give a problem by its name: a toy's, ``vit``, ``default`` for the default model, or a reference file's."""
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
        return Problem(name, (found := toys.problem(name))[0], "features", found[1], found[2])


def vit() -> Problem:
    """Give a vision transformer of torchvision with two blocks and 4 x 4 patches, all of its weights random."""
    network = VisionTransformer(8, 2, 2, 2, 8, 16, num_classes=toys.CLASSES).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    return Problem("vit", network, "encoder.layers.encoder_layer_1", x, torch.tensor([0, 2]))


@functools.cache
def lite0() -> ExplainedModel:
    """Give the default model, with gradients for those peers that need them of its weights."""
    model = load_model(device="cpu")
    trained = copy.deepcopy(model.network).requires_grad_(True)
    return ExplainedModel(trained, model.layer, preprocessing=model.preprocessing, labels=model.labels)


def default(layer: str = "blocks.6") -> Problem:
    """Give the default model with scikit-image's cat and the class it predicts."""
    model = lite0()
    x = model.preprocessing(Image.fromarray(data.chelsea()))
    x = x if x.dim() == 4 else x[None]
    return Problem("default", model.network, layer, x, model.logits(x).argmax(1), model=model)


def reference(file: str) -> Problem:
    """Give the default model with a reference file's image, layer, class and maps."""
    stored = np.load(SHARED / f"{file}.npz")
    pixels = torch.from_numpy(stored["image_u8"]).permute(2, 0, 1)[None].float() / 255
    maps = {key: torch.from_numpy(stored[key]).squeeze()[None] for key in stored if key.startswith(PEERS[3:])}
    target = torch.tensor([int(stored["target"])])
    layer = str(stored["layer"])
    return Problem(file, lite0().network, layer, (pixels - 0.498) / 0.502, target, maps, model=lite0())


# -- the peers, asked ------------------------------------------------------------------------------------------

Maker = Callable[[Problem], Tensor]


def of_gradcam(
    peer: type, target: type = ClassifierOutputTarget, layers: tuple[str, ...] = (), batch: int = 3, **settings
) -> Maker:
    """Ask grad-cam, whose answers are float32 of the input's size."""

    def ask(problem: Problem) -> Tensor:
        chosen = [problem.network.get_submodule(name) for name in layers or (problem.layer,)]
        cam = peer(problem.network, [] if peer is gradcam.FullGrad else chosen)
        if peer is gradcam.AblationCAM:
            cam.batch_size = batch
        if peer is gradcam.ScoreCAM:
            cam.batch_size = batch
        try:
            return torch.from_numpy(cam(problem.x.clone(), [target(int(c)) for c in problem.target], **settings))
        finally:
            problem.network.zero_grad()
            for one in getattr(cam, "base_cam_per_layer", [cam]):
                one.activations_and_grads.release()

    return ask


def finer_of_gradcam(problem: Problem) -> Tensor:
    """Ask grad-cam's Finer-CAM, which takes one class for all images."""
    with gradcam.FinerCAM(problem.network, [problem.module]) as cam:
        maps = [cam(x[None].clone(), None, target_idx=int(c)) for x, c in zip(problem.x, problem.target, strict=True)]
    problem.network.zero_grad()
    return torch.from_numpy(np.concatenate(maps))


def smoothed_by_gradcam(problem: Problem) -> Tensor:
    """Ask grad-cam's smoothing over augmented images."""
    return of_gradcam(gradcam.GradCAM, aug_smooth=True)(problem)


def random_of_gradcam(problem: Problem) -> Tensor:
    """Ask grad-cam's random map with NumPy's seed 0."""
    np.random.seed(0)
    return of_gradcam(gradcam.RandomCAM)(problem)


def edges_of_gradcam(problem: Problem) -> Tensor:
    """Ask grad-cam's Sobel image for an image of 8 bits."""
    return minmax(torch.from_numpy(np.stack([sobel_cam.sobel_cam(one) for one in bytes_of(problem)])).double())


def bytes_of(problem: Problem) -> list[np.ndarray]:
    """Give the images in 8 bits, colours last."""
    return [(one * 255).round().byte().permute(1, 2, 0).numpy() for one in minmax(problem.x)]


def of_torchcam(peer: type, *args, layers: tuple[str, ...] = (), **settings) -> Maker:
    """Ask torchcam, which gives maps of the layer's size, and bring them to the input's."""

    def ask(problem: Problem) -> Tensor:
        with peer(problem.network, list(layers) or problem.layer, *args, **settings) as extractor:
            logits = problem.network(problem.x.clone())
            cams = extractor(problem.target.tolist(), logits)[0].detach()
        return minmax(upsample(cams, problem.x.shape[2:]))

    return ask


def given_noise(peer: type, draw: Callable[[Problem], list[Tensor]], **settings) -> Maker:
    """Ask torchcam with our noise in place of its own."""

    class Ours:
        def __init__(self, drawn: list[Tensor]) -> None:
            self.drawn = iter(drawn)

        def sample(self, size: torch.Size) -> Tensor:
            return next(self.drawn).expand(size)

    def ask(problem: Problem) -> Tensor:
        def made(*args, **kwargs):
            extractor = peer(*args, **kwargs)
            extractor._distrib = Ours(draw(problem))
            return extractor

        return of_torchcam(made, **settings)(problem)

    return ask


def fused_by_torchcam(layers: tuple[str, ...]) -> Maker:
    """Ask torchcam to fuse the maps of several layers, at the input's size."""

    def ask(problem: Problem) -> Tensor:
        with torchcam.GradCAM(problem.network, list(layers)) as extractor:
            cams = extractor(problem.target.tolist(), problem.network(problem.x.clone()))
            return minmax(extractor.fuse_cams([cam.detach() for cam in cams], tuple(problem.x.shape[2:])))

    return ask


def of_captum(peer: type, finish: Callable[[Tensor, Problem], Tensor], layer: bool = True, **settings) -> Maker:
    """Ask captum, and bring its attributions to heatmaps as ``finish`` does."""

    def ask(problem: Problem) -> Tensor:
        attribution = peer(problem.network, problem.module) if layer else peer(problem.network)
        given = attribution.attribute(problem.x.clone(), target=problem.target, **settings).detach()
        return finish(given, problem)

    return ask


def nearest(given: Tensor, problem: Problem) -> Tensor:
    """Finish an attribution as captum's own upsampling does."""
    return minmax(captum.attr.LayerAttribution.interpolate(given, problem.x.shape[2:])[:, 0])


def ablated_by_captum(problem: Problem) -> Tensor:
    """Ask captum what is lost without each channel, and weigh the channels by that."""
    activations = problem.maps()[0]
    channels = torch.arange(activations.shape[1]).reshape(1, -1, *[1] * (activations.dim() - 2))
    ablation = captum.attr.LayerFeatureAblation(problem.network, problem.module)
    mask = channels.expand_as(activations[:1])
    lost = ablation.attribute(problem.x.clone(), target=problem.target, layer_mask=mask).detach()
    return heat(weighted_sum(activations, lost.flatten(2)[..., 0]), problem)


def stored(key: str) -> Maker:
    """Look up a reference map."""
    return lambda problem: problem.stored[key]


# -- ours with a peer's rule -----------------------------------------------------------------------------------


def heat(cam: Tensor, problem: Problem) -> Tensor:
    """Finish a raw cam as our methods do."""
    return minmax(upsample(relu_above_rounding(cam), problem.x.shape[2:]))


def signed_heat(cam: Tensor, problem: Problem) -> Tensor:
    """Finish a cam that has had its ReLU."""
    return minmax(upsample(cam[:, 0] if cam.dim() == problem.x.dim() else cam, problem.x.shape[2:]))


def from_maps(cam: Callable[[Tensor, Tensor], Tensor]) -> Maker:
    """Make a rule of a function of activations and gradients."""
    return lambda problem: heat(cam(*problem.maps()), problem)


def plus_plus(epsilon: float, *, each: bool = False) -> Callable[[Tensor, Tensor], Tensor]:
    """Grad-CAM++ with something added to its denominator; ``each`` keeps the sum's gradients at their own places."""

    def cam(activations: Tensor, gradients: Tensor) -> Tensor:
        maps, g = activations.double(), gradients.double()
        total = (maps * g**3).flatten(2).sum(2) if each else maps.flatten(2).sum(2)
        beside = expand_like(total, g) if each else expand_like(total, g) * g**3
        alpha = torch.where(g != 0, g**2 / (2 * g**2 + beside + epsilon), 0)
        return weighted_sum(maps, (alpha * g.relu()).flatten(2).sum(2))

    return cam


def lost_division(activations: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ whose alpha is not divided by anything."""
    return weighted_sum(activations, (gradients**2 * gradients.relu()).flatten(2).sum(2))


def no_denominator(activations: Tensor, gradients: Tensor) -> Tensor:
    """XGrad-CAM whose weights are not divided by the sum of the activations."""
    return weighted_sum(activations, (activations * gradients).flatten(2).sum(2))


def centred(maps: Tensor) -> Tensor:
    """Project on the first component after each channel's mean is taken off."""
    flat = maps.flatten(2).mT.double()
    flat = flat - flat.mean(1, keepdim=True)
    vector = torch.linalg.svd(flat, full_matrices=False).Vh[:, 0]
    return torch.einsum("npk,nk->np", flat, vector).reshape(len(maps), *maps.shape[2:])


def either_sign(maps: Callable[[Tensor, Tensor], Tensor]) -> Maker:
    """Give both signs of the centred component, between which a decomposition chooses as it happens."""

    def rule(problem: Problem) -> Tensor:
        cam = centred(maps(*problem.maps()))
        return torch.stack([heat(cam, problem), heat(-cam, problem)])

    return rule


def channel_by_channel(problem: Problem) -> Tensor:
    """FullGrad with each channel stretched by itself, of layers that are exactly of two classes."""
    known = (nn.Conv2d, nn.BatchNorm2d)
    size = problem.x.shape[2:]
    biases = channel_biases(problem.explained, problem.x)
    layers = [name for name in biases if type(problem.network.get_submodule(name)) in known]
    records = problem.explained.records(problem.x, problem.target, layers) if layers else []
    terms = [problem.x * input_gradients(problem.explained, problem.x, problem.target)]
    terms += [one.gradients * biases[one.layer].to(one.gradients) for one in records]
    total = torch.zeros_like(problem.x[:, 0])
    for term in terms:
        flat = term.abs().flatten(0, 1)
        flat = flat - expand_like(flat.flatten(1).amin(1), flat)
        flat = flat / expand_like(flat.flatten(1).amax(1) + 1e-7, flat)
        total = total + upsample(flat, size).reshape(*term.shape[:2], *size).sum(1)
    return minmax(total)


def weighted_references(problem: Problem) -> Tensor:
    """Finer-CAM with gamma 1, and references weighted by probabilities through which the gradient flows."""
    logits = problem.explained.logits(problem.x).detach().requires_grad_()
    contrast = torch.zeros(())
    for y, c in zip(logits, problem.target.tolist(), strict=True):
        apart = (y - y[c]).abs().detach()
        apart[c] = -1
        others = apart.argsort()[1:4]
        p = y.softmax(0)[others]
        contrast = contrast + (p * (y[c] - y[others])).sum() / (p.sum() + 1e-9)
    (weights,) = torch.autograd.grad(contrast, logits)
    record = problem.explained.record(problem.x, weights)
    return heat(weighted_sum(record.activations, record.gradients.flatten(2).mean(2)), problem)


def aligned(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Upsample with the corners of map and image in one place."""
    return F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=True)[:, 0]


def early_relu(activations: Tensor, weights: Tensor, x: Tensor, method: object) -> Tensor:
    """Sum weighted channels, with the ReLU before the map is upsampled."""
    return minmax(upsample(relu_above_rounding(weighted_sum(activations, weights)), x.shape[2:]))


def aligned_corners(problem: Problem) -> Tensor:
    """Score-CAM with masks upsampled with aligned corners, and the ReLU before the map is upsampled."""
    with (
        mock.patch("fusioncam.functional.masks.upsample", aligned),
        mock.patch("fusioncam.methods.score_cam.from_channels", early_relu),
    ):
        return ours(METHODS["score-cam"])(problem)


def stretched_before(method: ISCAM | ScoreCAM | SSCAM) -> Maker:
    """Masks stretched before they are brought to the input's size, and the ReLU before the map is."""

    def rule(problem: Problem) -> Tensor:
        before = functools.partial(ChannelMasks, normalise="before")
        with (
            mock.patch("fusioncam.methods.score_cam.ChannelMasks", lambda maps, size, *_: before(maps, size)),
            mock.patch("fusioncam.methods.score_cam.from_channels", early_relu),
        ):
            return ours(method)(problem)

    return rule


class Lowered:
    """Each channel set to one value of its own, as grad-cam's ablation does where the lowest value is not 0."""

    def __init__(self, activations: Tensor, values: Tensor) -> None:
        images, channels = activations.shape[:2]
        self.shape, self.active = (channels, images), torch.ones(channels, images, dtype=torch.bool)
        self.values = values

    def __call__(self, maps: Tensor, which: Tensor) -> Tensor:
        """Give a copy ``(B, K, *s)`` with each of the channels lowered."""
        copies = maps.expand(len(which), *maps.shape).clone()
        for one, channel in zip(copies, which.tolist(), strict=True):
            one[channel] = self.values[channel]
        return copies


def lowered(batch: int) -> Maker:
    """Ablation-CAM divided by the logit, with 1e7 less than the lowest value so far in place of 0."""

    def values(maps: Tensor) -> Tensor:
        found = []
        for channel in range(len(maps)):
            lowest = maps.min() if channel % batch == 0 else torch.minimum(maps.min(), found[-1])
            found.append(torch.where(lowest == 0, lowest, lowest - 1e7))
        return torch.stack(found)

    def rule(problem: Problem) -> Tensor:
        cams = []
        for x, c in zip(problem.x.split(1), problem.target.split(1), strict=True):
            record = problem.explained.record(x, c)
            changes = Lowered(record.activations, values(record.activations[0]))
            y = problem.explained.scores(x, c, "logit")[:, None]
            without = problem.explained.ablated_scores(x, changes, c, readout="logit").T
            cams.append(weighted_sum(record.activations, (y - without) / y))
        return heat(torch.cat(cams), problem)

    return rule


def last_noisy(problem: Problem) -> Tensor:
    """Smooth Grad-CAM++ with the last noisy image's maps and gradients, and the sum kept at its own places."""
    drawn = 0.3 * noise(problem.x, 4, 0)
    noisy = [problem.explained.record(problem.x + one, problem.target) for one in drawn]
    second = torch.stack([one.gradients**2 for one in noisy]).mean(0)
    third = torch.stack([one.gradients**3 for one in noisy]).mean(0)
    beside = expand_like((third * problem.maps()[0]).flatten(2).sum(2), third)
    alpha = second / (2 * second + beside + 1e-8)
    weights = (alpha * noisy[-1].gradients.relu()).flatten(2).sum(2)
    return heat(weighted_sum(noisy[-1].activations, weights), problem)


def layers_of(problem: Problem, layers: tuple[str, ...], epsilon: float) -> Tensor:
    """Give Grad-CAM's maps at each of the layers ``(L, N, *s)``, stretched before they are brought to size."""
    maps = []
    for one in problem.explained.records(problem.x, problem.target, layers):
        cam = weighted_sum(one.activations, one.gradients.flatten(2).mean(2)).relu()
        cam = cam - expand_like(cam.flatten(1).amin(1), cam)
        maps.append(upsample(cam / expand_like(cam.flatten(1).amax(1) + epsilon, cam), problem.x.shape[2:]))
    return torch.stack(maps)


def small_product(layers: tuple[str, ...]) -> Maker:
    """RefineCAM of LayerCAM, with the product taken at the largest layer's size."""

    def rule(problem: Problem) -> Tensor:
        records = problem.explained.records(problem.x, problem.target, layers)
        cams = [minmax((one.gradients.relu() * one.activations).sum(1).relu()) for one in records]
        size = max((cam.shape[1:] for cam in cams), key=lambda side: side[0])
        product = torch.stack([upsample(cam, size) for cam in cams]).prod(0)
        return minmax(upsample(product, problem.x.shape[2:]))

    return rule


def averaged_brightness(problem: Problem) -> Tensor:
    """Grad-CAM averaged over the image and its mirror image, each at three contrasts, and not stretched again."""
    total = torch.zeros_like(problem.x[:, 0])
    for factor in (0.9, 1, 1.1):
        for flip in (False, True):
            x = problem.x.flip(-1) if flip else problem.x
            heatmaps = ours(GradCAM())(replace(problem, x=x * factor))
            total += heatmaps.flip(-1) if flip else heatmaps
    return total / 6


def random_channels(problem: Problem) -> Tensor:
    """Weigh the channels at random."""
    activations = problem.maps()[0]
    np.random.seed(0)
    weights = torch.from_numpy(np.random.uniform(-1, 1, activations.shape[:2]))
    return heat(weighted_sum(activations, weights.to(activations)), problem)


def byte_slopes(problem: Problem) -> Tensor:
    """The mean of both slopes' absolute values, each rounded to 8 bits, of an image whose borders are mirrored."""
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in bytes_of(problem)]
    maps = F.pad(torch.from_numpy(np.stack(grey)).double()[:, None], (1, 1, 1, 1), mode="reflect")
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64)
    slopes = [F.conv2d(maps, one[None, None])[:, 0].abs().clamp(max=255) for one in (kernel, kernel.T)]
    # OpenCV rounds halves to even, as torch does
    return minmax((sum(slopes) / 2).round())


def cubic(problem: Problem) -> Tensor:
    """Grad-CAM brought to a volume's size by cubic splines through its corners."""
    activations, gradients = problem.maps()
    cam = minmax(relu_above_rounding(weighted_sum(activations, gradients.flatten(2).mean(2)))).float()
    sides = [large / small for large, small in zip(problem.x.shape[2:], cam.shape[1:], strict=True)]
    return minmax(torch.from_numpy(np.stack([zoom(one.numpy(), sides) for one in cam])).clamp(min=0))


def nearest_ours(problem: Problem) -> Tensor:
    """Grad-CAM upsampled to the nearest value."""
    activations, gradients = problem.maps()
    cam = relu_above_rounding(weighted_sum(activations, gradients.flatten(2).mean(2)))
    return minmax(F.interpolate(cam[:, None], problem.x.shape[2:])[:, 0])


def gauss_legendre(problem: Problem) -> Tensor:
    """Integrated gradients by the nodes and weights of Gauss and Legendre."""
    nodes, shares = np.polynomial.legendre.leggauss(50)
    total = torch.zeros_like(problem.x)
    for node, share in zip(nodes, shares, strict=True):
        total += share / 2 * input_gradients(problem.explained, (1 + node) / 2 * problem.x, problem.target)
    return minmax((problem.x * total).sum(1).abs())


def seen_through(problem: Problem, *, after: bool) -> Tensor:
    """Grad-CAM of maps that the activation in place behind them has overwritten."""
    activations, gradients = problem.maps()
    if after:  # the gradient of what was written over them
        toy = problem.network
        relu = activations.relu().detach().requires_grad_()
        logits = toy.head[1:](relu)
        (gradients,) = torch.autograd.grad(logits.gather(1, problem.target[:, None]).sum(), relu)
    return heat(weighted_sum(activations.relu(), gradients.flatten(2).mean(2)), problem)


def ours(method: Callable[..., Tensor]) -> Maker:
    """Ask one of our methods, also where it has nothing to show."""

    def ask(problem: Problem) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FlatHeatmapWarning)
            return method(problem.explained, problem.x, problem.target)

    return ask


# -- the cases -------------------------------------------------------------------------------------------------

PLAIN = ("linear", "small", "curved", "dead", "pyramid", "negative")
CURVED = ("curved", "pyramid", "negative")
ALL = (*PLAIN, "signal", "volume")
LAYERS = ("features.3", "features")


@dataclass(frozen=True, eq=False)
class Example:
    """The smallest problem that shows a difference, and the rows that it gives, to two decimals.

    ``theirs`` are several where a peer may answer one way or the other.
    """

    text: str
    problem: Problem
    mine: list[float]
    theirs: tuple[list[float], ...]


@dataclass(frozen=True, eq=False)
class Case:
    """One method beside one peer, on problems by their names; the default model's come after the toys'.

    ``mine`` is what is asked of ours, by default the method as it stands in METHODS; ``note`` says what is
    particular. Without a ``rule`` the two agree to within ``tolerance``. With one they differ by ``least`` or more
    on some problem, ``rule`` gives what the peer gives, ``why`` says what it does otherwise and ``right`` who is
    right and by what.
    """

    method: str
    peer: str
    theirs: Maker
    on: tuple[str, ...]
    mine: Callable[..., Tensor] | None = None
    note: str = ""
    rule: Maker | None = None
    why: str = ""
    right: str = ""
    example: Example | None = None
    tolerance: float = 1e-5
    least: float = 1e-3
    slow: tuple[str, ...] = ()
    loose: float = 0

    def allowed(self, name: str) -> float:
        """Give the tolerance on a problem: ``loose`` on the default model, if that is another."""
        return self.loose if self.loose and name == "default" else self.tolerance

    @property
    def verdict(self) -> str:
        """Say "agrees" or "differs"."""
        return "differs" if self.rule else "agrees"

    @property
    def name(self) -> str:
        """Name the case in test ids and headings."""
        return f"{self.method}, {self.peer}" + (f", {self.note}" if self.note else "")

    def difference(self, name: str) -> float:
        """Give the largest difference of ours from theirs on a problem."""
        problem = problem_of(name)
        return apart(ours(self.mine or METHODS[self.method])(problem), answer(self.theirs, problem))

    def unexplained(self, name: str) -> float:
        """Give the largest difference of theirs from ours with their rule."""
        assert self.rule is not None
        problem = problem_of(name)
        return apart(self.rule(problem), answer(self.theirs, problem))


@functools.cache
def answer(maker: Maker, problem: Problem) -> Tensor:
    """Ask a peer once for what is compared twice."""
    return maker(problem)


def apart(mine: Tensor, theirs: Tensor) -> float:
    """Give the largest absolute difference; of several candidates the nearest of each image counts."""
    candidates = mine if mine.dim() > theirs.dim() else mine[None]
    return float((candidates.double() - theirs.double()).abs().flatten(2).amax(2).amin(0).max())


NOT_READ = "The paper's full text was not at hand; "
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
        why="It brings the maps of volumes to size with `scipy.ndimage.zoom`, whose default is a cubic spline that "
        "puts corner on corner; its maps of images, and ours of either, are interpolated linearly, pixel centres "
        "in place.",
        right="The paper does not say how (it speaks of bilinear upsampling of images). Ours does for volumes what "
        "both do for images; a spline also overshoots what it interpolates.",
        tolerance=1e-5,
    ),
    Case(
        "grad-cam",
        "grad-cam",
        of_gradcam(gradcam.GradCAM),
        ("overwritten",),
        note="a layer before an activation in place",
        rule=functools.partial(seen_through, after=False),
        why="On the CPU it keeps the layer's output itself and not a copy, so that a `ReLU(inplace=True)` behind the "
        "layer overwrites the activations before they are used. The gradients are those of the layer.",
        right="Eq. 2 of arXiv 1610.02391 weighs the activations of the layer that was named: ours. It matters where "
        "an activation in place follows the layer directly, as behind the BatchNorms of torchvision's VGGs.",
    ),
    Case(
        "grad-cam++",
        "grad-cam",
        of_gradcam(gradcam.GradCAMPlusPlus),
        (*PLAIN, "default"),
        rule=from_maps(plus_plus(1e-6)),
        why="It adds 1e-6 to the denominator of alpha. Squared gradients are often of that size or smaller.",
        right="Ours, by the definition of alpha in arXiv 1710.11063 (eq. 19 in grad-cam's own comment), which adds "
        "nothing; where the denominator is 0, ours is 0.",
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
        why="It takes each channel's mean off before the decomposition, which makes it principal component analysis, "
        "and leaves the sign to the decomposition, so that a map may come out as its own negative.",
        right="Ours: arXiv 2008.00299 decomposes the activations as they are. " + NOT_READ + "this is by the "
        "definition that its readers give, map = O v1 with O = U S V'. The sign is open there; ours is the one "
        "with which the sum of the map is above 0.",
        example=Example("One channel [2, 1, 0].", row([[2, 1, 0]], [1]), [1, 0.5, 0], ([1, 0, 0], [0, 0, 1])),
    ),
    Case(
        "eigen-grad-cam",
        "grad-cam",
        of_gradcam(gradcam.EigenGradCAM),
        (*PLAIN, "default"),
        rule=either_sign(lambda activations, gradients: activations * gradients),
        why="As for eigen-cam: centred channels, and a sign as it happens.",
        right="There is no paper: grad-cam is where the method is known from, so this one is ours to differ in. Ours "
        "keeps to the definition of EigenCAM, whose name it bears.",
    ),
    Case(
        "fullgrad",
        "grad-cam",
        of_gradcam(gradcam.FullGrad),
        (*PLAIN, "default"),
        rule=channel_by_channel,
        why="It stretches every channel to [0, 1] by itself, ours every layer as one. It also knows layers by their "
        "exact class alone (`Conv2d`, `BatchNorm2d`): of the default model, whose layers are of derived classes, it "
        "takes no bias at all, and its map is that of the image's own term.",
        right="Ours does what the authors' public code does. " + NOT_READ + "its psi may be read either way. For the "
        "derived classes ours is right: the sum over all biases is what the name says.",
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
        why="Gamma is 1 in place of 0.6, and the reference classes are weighted by their probabilities, through "
        "which the gradient flows too; ours takes their plain mean.",
        right=NOT_READ + "the authors' public code has both forms. Ours is its configuration named aggregate, which "
        "torchcam takes as well; it keeps the score linear in the logits.",
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
        rule=lambda problem: minmax(layers_of(problem, LAYERS, 1e-7).mean(0)),
        why="A map is stretched to [0, 1] before it is brought to the image's size, and not again after: one whose "
        "peak is narrow counts for less.",
        right="Neither: no paper defines it. Ours joins heatmaps as they would be shown.",
    ),
    Case(
        "augmented",
        "grad-cam",
        smoothed_by_gradcam,
        CURVED,
        mine=Augmented(samples=0),
        note="its `aug_smooth`",
        rule=averaged_brightness,
        why="It averages over mirror images at three contrasts (times 0.9, 1 and 1.1) and does not stretch the mean; "
        "ours over mirror images and noise, and stretches.",
        right="Neither: no paper defines it. Ours is of the same kind, not the same.",
    ),
    Case(
        "random",
        "grad-cam",
        random_of_gradcam,
        CURVED,
        rule=random_channels,
        why="It weighs the layer's channels at random, so that its map is as smooth as any of that layer; ours draws "
        "every pixel.",
        right="Neither: two baselines of one name. Theirs knows the layer, ours knows nothing of the network.",
    ),
    Case(
        "edges",
        "grad-cam",
        edges_of_gradcam,
        ("curved",),
        note="its `sobel_cam`",
        rule=byte_slopes,
        why="It takes an image of 8 bits, weighs the colours by how bright they look, mirrors the borders and gives "
        "the mean of both slopes' absolute values, rounded and cut at 255; ours the length of the slope of the mean "
        "colour, of any input.",
        right="Neither: no paper defines it.",
    ),
    Case(
        "score-cam",
        "grad-cam",
        of_gradcam(gradcam.ScoreCAM),
        ("curved", "dead", "negative"),
        rule=aligned_corners,
        why="It upsamples the masks with aligned corners (`UpsamplingBilinear2d`), though not the map: a mask lies "
        "up to half of a cell beside what it is the mask of. Of layers with negative values it also takes the ReLU "
        "before the map is upsampled, ours after.",
        right="Ours in both, by the authors' public code, which upsamples both without aligned corners and takes the "
        "ReLU last; the paper's equations do not say. Where nothing is upsampled the two agree.",
        example=Example(
            "Maps [2, 0, 0] and [0, 2, 0] of an image with channels [2, 2, 0, 0, 0, 0] and [0, 0, 2, 2, 0, 0], the "
            "logit their sum.",
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
        why="It removes a channel by setting it to 0 only where the layer's lowest value is exactly 0. Otherwise it "
        "sets it to 1e7 below the lowest value, to another 1e7 below that for the next channel of the same batch, "
        "and so on: the weights then measure that number. It divides by the logit, as the paper does, which turns "
        "the map over where the logit is negative.",
        right="Ours removes a channel by 0, as the paper does (a comment in grad-cam says that it deviates). By the "
        "paper's slope (y - y_k) / y grad-cam is right to divide; we leave the division out on purpose, because it "
        "is one factor for the whole map and of a negative logit makes what speaks for the class look as if it spoke "
        "against it.",
        example=Example(
            "Channels [1, 0, 0] and [0, 1, 0], the logit their first less three times their second: what speaks for "
            "the class is the first place.",
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
        note="a layer before an activation in place",
        rule=functools.partial(seen_through, after=True),
        why="It keeps the layer's output itself and not a copy: both activations and gradients are those behind the "
        "activation in place.",
        right="Eq. 2 of arXiv 1610.02391 weighs the activations of the layer that was named: ours.",
    ),
    Case(
        "grad-cam++",
        "torchcam",
        of_torchcam(torchcam.GradCAMpp),
        (*ALL, "default"),
        rule=from_maps(lost_division),
        why="The division of alpha is written into a copy (`alpha[idx][mask].div_(...)`) and lost, so that alpha is "
        "the squared gradient alone and a channel counts by the cube of its gradients.",
        right="Ours, by the definition of alpha in arXiv 1710.11063, which torchcam's own docstring states as well.",
        example=Example(
            "Channels [1, 0, 0] and [0, 1, 0], the class's gradients 1 and 2 everywhere.",
            row([[1, 0, 0], [0, 1, 0]], [1, 2]),
            [0.67, 1, 0],
            ([0.12, 1, 0],),
        ),
    ),
    Case(
        "smooth-grad-cam++",
        "torchcam",
        given_noise(torchcam.SmoothGradCAMpp, lambda problem: list(0.3 * noise(problem.x, 4, 0)[:, None])),
        (*CURVED, "small", "default"),
        note="given our noise",
        rule=last_noisy,
        why="The gradients that are weighted, and the maps that are summed, are those of the last noisy image "
        "alone, and the sum in alpha's denominator multiplies activations and third derivatives place by place.",
        right="Ours, by the definition in arXiv 1908.01224 as torchcam's docstring states it: the map is of the "
        "image, all derivatives are means over the noise, and the sum is over the activations. Both put the second "
        "derivative above alpha's line, where the paper is said to print the first.",
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
        why="It multiplies the maps at the largest layer's size, ours at the image's.",
        right=NOT_READ + "grad-cam, whose RefineCAM agrees with ours, multiplies at the image's size as well.",
    ),
    Case(
        "multi-layer",
        "torchcam",
        fused_by_torchcam(LAYERS),
        ("pyramid",),
        mine=MultiLayer(GradCAM(), LAYERS, rule="max"),
        note="`fuse_cams`, the largest of two layers",
        rule=lambda problem: minmax(layers_of(problem, LAYERS, 1e-8).amax(0)),
        why="As grad-cam does: a map is stretched before it is brought to the image's size, and not again after.",
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
        rule=stretched_before(ScoreCAM()),
        why="It stretches a mask to [0, 1] before it brings it to the image's size, after which the mask may no "
        "longer reach 0 and 1. Of layers with negative values it also takes the ReLU before the map is upsampled, "
        "ours after.",
        right="Ours: arXiv 1910.01279 normalises the upsampled activation, H = s(Up(A)) (eq. 4 and 5), as torchcam's "
        "docstring has it too. `score-cam(normalise=before)` is torchcam's mask. The ReLU comes last in the authors' "
        "public code.",
        example=Example(
            "Maps [0, 3, 0] and [4, 0, 0] of an image with channels [0, 0, 3, 3, 0, 0] and [4, 4, 0, 0, 0, 0], the "
            "logit their sum.",
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
        given_noise(torchcam.SSCAM, lambda problem: list(2 * noise(problem.x[:, 0], 35, 0)[:, None, None])),
        ("curved", "dead", "negative"),
        note="given our noise",
        rule=stretched_before(SSCAM()),
        why="As for score-cam: masks are stretched before they are upsampled, and the ReLU is taken before the "
        "map is. Left to itself it also draws new noise for every channel and sample, where ours draws once for all "
        "channels.",
        right="Ours in the first, as for score-cam. The second is a choice: the mean is the same, and with one draw "
        "the channels are compared under the same noise.",
    ),
    Case(
        "ss-cam",
        "torchcam",
        given_noise(torchcam.SSCAM, lambda problem: list(2 * noise(problem.x[:, 0], 35, 0)[:, None, None])),
        ("full",),
        note="given our noise, at full size",
    ),
    Case(
        "is-cam",
        "torchcam",
        of_torchcam(torchcam.ISCAM, batch_size=4),
        ("curved", "dead", "negative"),
        rule=stretched_before(ISCAM()),
        why="As for score-cam: masks are stretched before they are upsampled, and the ReLU is taken before the map "
        "is.",
        right="Ours, as for score-cam. In both the mask's factor grows to 5.5, which leaves the image's range: so "
        "says the paper's algorithm, by both peers; `is-cam(path=even)` stays within.",
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
        why="`LayerAttribution.interpolate` takes the nearest value unless told otherwise; and `LayerGradCam` keeps "
        "negative values unless `relu_attributions=True`.",
        right="Ours: eq. 2 of arXiv 1610.02391 has the ReLU, and its heatmaps are upsampled bilinearly. Captum's "
        "documentation names the ReLU as the original's.",
    ),
    Case(
        "hires-cam",
        "captum",
        of_captum(captum.attr.LayerGradientXActivation, lambda given, problem: heat(given.sum(1), problem)),
        (*ALL, "default"),
        note="`LayerGradientXActivation`, its channels summed",
    ),
    Case(
        "elementwise-grad-cam",
        "captum",
        of_captum(captum.attr.LayerGradientXActivation, lambda given, problem: heat(given.relu().sum(1), problem)),
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
            lambda given, problem: minmax(given.sum(1).abs()),
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
            lambda given, problem: minmax(given.sum(1).abs()),
            layer=False,
            n_steps=50,
        ),
        (*ALL, "default"),
        note="as it comes",
        rule=gauss_legendre,
        why="It integrates by Gauss and Legendre's nodes, ours by the middles of 50 equal steps.",
        right="Both approximate the same integral (arXiv 1703.01365, eq. 1). The middles are nearer to the paper's "
        "sum over equal steps (eq. 3); where the gradient jumps, as behind ReLUs, the nodes' higher order is of no "
        "use.",
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
        why="The sum in alpha's denominator multiplies activations and cubed gradients place by place, "
        "sum(A g^3), and 1e-8 is added.",
        right="Ours and official: the definition multiplies the sum of the activations by the third derivative at "
        "the place itself, sum(A) g^3.",
        # cubes of gradients of both signs nearly cancel in the denominator: 2e-4 on one processor, 4.5e-4 on another
        tolerance=1e-3,
    ),
    Case(
        "xgrad-cam",
        "official",
        stored("official/xgradcam"),
        REFERENCES,
        rule=from_maps(no_denominator),
        why="The weights are sum(A g), without the division by sum(A): a channel counts twice by how active it is.",
        right="Ours, xplaincam, grad-cam and torchcam, by the definition in arXiv 2008.02312: gradients averaged "
        "with the normalised activations as weights.",
    ),
    Case("xgrad-cam", "xplaincam", stored("xplaincam/xgradcam"), REFERENCES, tolerance=1e-3),
    Case("layer-cam", "xplaincam", stored("xplaincam/layercam"), REFERENCES),
    Case(
        "ablation-cam", "xplaincam", stored("xplaincam/ablationcam"), REFERENCES, slow=REFERENCES[1:], tolerance=1e-4
    ),
]
BESIDE = {"official": "a lighter blur (sigma 25)", "xplaincam": "the sums themselves added up, not the masks"}
for code in PEERS[3:]:
    CASES += [
        Case(f"group-cam:{code}", code, stored(f"{code}/groupcam"), REFERENCES, slow=REFERENCES[1:]),
        Case(
            "group-cam",
            code,
            stored(f"{code}/groupcam"),
            REFERENCES,
            rule=ours(METHODS[f"group-cam:{code}"]),
            why=f"It does not denoise the groups' sums and drops negative gains; it has {BESIDE[code]}.",
            right=NOT_READ + "ours does what the method's authors' public code does: sums below their 70th "
            "percentile are dropped, and gains keep their signs.",
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
        why="The weights are probabilities as they are, without a softmax over the channels; masks are stretched "
        "before they are upsampled, and are what is summed in place of the channels.",
        right="Public codes differ in all of them, and the authors' own code and paper do too (probabilities without "
        "a softmax there, a softmax of increases here). Ours follows the paper's algorithm 1, with logits.",
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
        why="The region map's share of the gains, which is divided by their sum already, is divided by a sum again "
        "for the second step; and gains are divided whatever their signs.",
        right="The paper's text was not at hand, and its authors' two codes differ from each other. Ours shares the "
        "gains out in each step, and takes none below 0: divided by their sum, gains of two signs grow without "
        "bound.",
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
            why="Gains are taken as they are, and the region map is its own Score-CAM (see there).",
            right="The paper's text was not at hand, and its authors' two codes differ from each other. Ours shares "
            "the gains out, as official does, so that maps of small gains count; a negative gain, which turns a map "
            "over, counts for nothing.",
            slow=REFERENCES,
            tolerance=1e-4,
        )
        for method, key in list(SHARED_CODES.items())[1:]
    ),
]
