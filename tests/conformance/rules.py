"""Our methods with the rule of a peer instead of ours."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import zoom
from torch import Tensor, nn

from conformance.peers import bytes_of
from conformance.problems import Compute, Problem, heat
from fusioncam import METHODS
from fusioncam.errors import FlatHeatmapWarning
from fusioncam.functional.heatmaps import expand_like, minmax, relu_above_rounding, upsample, weighted_sum
from fusioncam.functional.masks import ChannelMasks
from fusioncam.methods.base import noise
from fusioncam.methods.gradient import GradCAM
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM
from fusioncam.model.parameters import channel_biases
from fusioncam.model.pixel_gradients import input_gradients


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


def weighted_by_share(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weight the channels by the share of locations that exceed the mean by two standard deviations."""
    flat = activations.flatten(2)
    threshold = flat.mean(2, keepdim=True) + 2 * flat.std(2, correction=0, keepdim=True)
    return weighted_sum(activations, (flat > threshold).to(flat).mean(2))


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
