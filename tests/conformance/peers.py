"""Heatmaps of the peers: grad-cam, torchcam, captum, and the stored maps of two public codes."""

from __future__ import annotations

from collections.abc import Callable

import captum.attr
import numpy as np
import pytorch_grad_cam as gradcam
import torch
import torchcam.methods as torchcam
from pytorch_grad_cam import sobel_cam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor

from conformance.problems import Compute, Problem, heat
from fusioncam.functional.heatmaps import minmax, upsample, weighted_sum


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


def occluded_by_captum(cells: int) -> Compute:
    """Return captum's occlusion with our windows, averaged over channels."""

    def compute(problem: Problem) -> Tensor:
        channels, *sides = problem.x.shape[1:]
        windows = [-(-side // cells) for side in sides]
        attributions = captum.attr.Occlusion(problem.network).attribute(
            problem.x.clone(),
            sliding_window_shapes=(channels, *windows),
            strides=(channels, *(-(-window // 2) for window in windows)),
            target=problem.target,
        )
        return minmax(attributions.detach().mean(1))

    return compute


def stored(key: str) -> Compute:
    """Return a function that looks up a reference map."""
    return lambda problem: problem.stored[key]
