"""Other libraries, called as their documentation says, and plain loops.

Each function takes model, ``x``, ``target`` and more, and returns a tensor to compare with that of this library.
"""

from __future__ import annotations

import io
from contextlib import nullcontext, redirect_stderr

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_grad_cam import AblationCAM, GradCAM, HiResCAM, LayerCAM
from pytorch_grad_cam import ScoreCAM as GradcamScoreCAM
from pytorch_grad_cam.ablation_layer import AblationLayer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchcam.methods import GradCAM as TorchcamGradCAM
from torchcam.methods import LayerCAM as TorchcamLayerCAM
from torchcam.methods import ScoreCAM as TorchcamScoreCAM
from torchcam.metrics import DeletionInsertionMetric


class FewChannels(GradcamScoreCAM):
    """pytorch-grad-cam's Score-CAM of some channels only: the others have weight 0 and need no pass."""

    channels: np.ndarray

    def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads):
        """Score the chosen channels."""
        chosen = activations[:, self.channels]
        scored = super().get_cam_weights(input_tensor, target_layer, targets, chosen, grads)
        weights = np.zeros(activations.shape[:2], dtype=scored.dtype)
        weights[:, self.channels] = scored
        return weights


def gradcam_score_cam(model, x, target, layer, channels=None):
    """Return pytorch-grad-cam's Score-CAM ``(H, W)``, optionally of some ``channels`` only."""
    kind = GradcamScoreCAM if channels is None else FewChannels
    with kind(model.network, [model.network.get_submodule(layer)], reshaping(model, layer, x)) as cam:
        cam.channels = np.asarray(channels)
        return called(cam, x, target)


def called(cam, x, target):
    """Return the heatmap ``(H, W)`` of a method of pytorch-grad-cam, without its progress bars."""
    with redirect_stderr(io.StringIO()):
        return torch.from_numpy(cam(x, [ClassifierOutputTarget(int(target))])[0])


def reshaping(model, layer, x):
    """Return pytorch-grad-cam's ``reshape_transform`` for tokens or channels last; None for channels first."""
    layout = next(one.layout for one in model.layers.candidates(x) if one.name == layer)
    return None if layout.channels_first else layout.maps


class FewHooked(TorchcamScoreCAM):
    """torch-cam's Score-CAM as if the layer had only some channels."""

    channels: np.ndarray

    def _hook_a(self, module, given, output, idx=0):
        super()._hook_a(module, given, output, idx)
        if self._hooks_enabled:
            self.hook_a[idx] = self.hook_a[idx][:, self.channels]


def torchcam_score_cam(model, x, target, layer, channels=None):
    """Return torch-cam's Score-CAM ``(H, W)`` at the size of the input, optionally of some ``channels`` only."""
    kind, reshape = TorchcamScoreCAM if channels is None else FewHooked, reshaping(model, layer, x)
    with kind(model.network, layer, reshape_transform=reshape) as extractor, torch.no_grad():
        extractor.channels = channels
        (cam,) = extractor(int(target), model.network(x))
    return F.interpolate(cam[None], x.shape[2:], mode="bilinear", align_corners=False)[0, 0]


class Zeroed(AblationLayer):
    """Sets channels to 0 as in the paper; pytorch-grad-cam's own layer subtracts 10 million from negative maps."""

    def __init__(self, channels_first):
        super().__init__()
        self.channels_first = channels_first

    def set_next_batch(self, input_batch_index, activations, num_channels_to_ablate):
        """Repeat the activations of one image."""
        one = activations[input_batch_index][None]
        self.activations = one.repeat(num_channels_to_ablate, *[1] * (one.dim() - 1))

    def __call__(self, x):
        """Return the copies, each with another channel set to 0."""
        for copy, channel in zip(self.activations, self.indices, strict=False):
            copy[channel if self.channels_first else (..., channel)] = 0
        return self.activations


def gradcam_ablation_cam(model, x, target, layer, zeroed=False):
    """Return pytorch-grad-cam's Ablation-CAM ``(H, W)``, with its own ablation or with the paper's."""
    reshape = reshaping(model, layer, x)
    given = {"ablation_layer": Zeroed(reshape is None)} if zeroed else {}
    with AblationCAM(model.network, [model.network.get_submodule(layer)], reshape, **given) as cam:
        return called(cam, x, target)


# -- methods that use gradients; the layer has channels first -------------------------------------------------


GRADCAM_GRADIENT = {"grad-cam": GradCAM, "layer-cam": LayerCAM, "hires-cam": HiResCAM}
TORCHCAM_GRADIENT = {"grad-cam": TorchcamGradCAM, "layer-cam": TorchcamLayerCAM}


def plain_pass(model, x):
    """Return the scores ``(N, classes)``."""
    with torch.inference_mode():
        return model.network(x)


def gradcam_gradient(model, x, target, layer, name):
    """Return the heatmaps ``(N, H, W)`` of a method of pytorch-grad-cam."""
    with GRADCAM_GRADIENT[name](model.network, [model.network.get_submodule(layer)]) as cam:
        return torch.from_numpy(cam(x, [ClassifierOutputTarget(one) for one in target.tolist()]))


def torchcam_gradient(model, x, target, layer, name):
    """Return the heatmaps ``(N, H, W)`` of a method of torch-cam, at the size of the input."""
    with TORCHCAM_GRADIENT[name](model.network, layer) as extractor:
        (cams,) = extractor(target.tolist(), model.network(x))
    return F.interpolate(cams[:, None], x.shape[2:], mode="bilinear", align_corners=False)[:, 0]


# -- insertion and deletion -----------------------------------------------------------------------------------


class Given:
    """A method for torch-cam's metric that returns a given heatmap."""

    def __init__(self, network, heatmap):
        self.model = network
        self.heatmap = heatmap

    def __call__(self, class_idx=None, scores=None, normalized=True, **_):
        """Return the heatmap as torch-cam's methods do."""
        return [self.heatmap]

    def fuse_cams(self, cams):
        """Return the map of the one layer."""
        return cams[0]

    def _hooks_off(self):
        return nullcontext()


def probabilities(scores):
    return scores.softmax(-1)


def torchcam_curves(model, x, target, heatmap, steps):
    """Return the areas under torch-cam's insertion and deletion curves ``(2,)``. Its fill is 0, the mean colour."""
    metric = DeletionInsertionMetric(Given(model.network, heatmap), probabilities, steps=steps)
    with torch.no_grad():
        metric.update(x, int(target))
    summary = metric.summary()
    return torch.tensor([summary["insertion_auc"], summary["deletion_auc"]])


def plain_curves(model, x, target, heatmap, steps, batch):
    """Return the same areas from a plain loop, ``batch`` images at a time."""
    order = heatmap.flatten().argsort(descending=True, stable=True)
    pixels = len(order)
    counts = [*range(0, pixels, -(-pixels // steps)), pixels]
    fractions = torch.tensor(counts, dtype=torch.float64) / pixels
    areas = []
    for insertion in (True, False):
        scores = []
        with torch.inference_mode():
            for start in range(0, len(counts), batch):
                shown = [revealed(x[0], order[:count], insertion) for count in counts[start : start + batch]]
                scores.append(probabilities(model.network(torch.stack(shown)))[:, int(target)])
        areas.append(torch.trapezoid(torch.cat(scores).double().cpu(), fractions))
    return torch.stack(areas)


def revealed(image, pixels, insertion):
    """Return the image with all other pixels at the mean colour (insertion), or only these (deletion)."""
    mask = torch.zeros(image[0].numel(), device=image.device)
    mask[pixels] = 1
    mask = mask if insertion else 1 - mask
    return image * mask.reshape(image.shape[1:])
