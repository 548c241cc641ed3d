"""Comparisons with torchcam."""

from __future__ import annotations

import functools

import torchcam.methods as torchcam

from conformance.case import ALL, CURVED, LAYERS, NOT_READ, Case, Example
from conformance.peers import fused_by_torchcam, of_torchcam, torchcam_with_noise
from conformance.problems import row
from conformance.rules import (
    from_maps,
    last_noisy,
    lost_division,
    maps_at_layers,
    of_overwritten_maps,
    rescaled_before,
    small_product,
)
from fusioncam.functional.heatmaps import minmax
from fusioncam.methods.base import noise
from fusioncam.methods.gradient import GradCAM, LayerCAM
from fusioncam.methods.multi_layer import MultiLayer, RefineCAM
from fusioncam.methods.score_cam import ISCAM, SSCAM, ScoreCAM

TORCHCAM_CASES = [
    Case("cam", "torchcam", of_torchcam(torchcam.CAM, "head.1"), ("linear", "volume", "signal", "full")),
    Case("cam", "torchcam", of_torchcam(torchcam.CAM, "classifier"), ("default:bn2",), note="at `bn2`"),
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
    Case("score-cam", "torchcam", of_torchcam(torchcam.ScoreCAM, batch_size=4), ("full",), note="at full size"),
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
]
