"""Comparisons with grad-cam (pytorch-grad-cam)."""

from __future__ import annotations

import functools

import pytorch_grad_cam as gradcam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST

from conformance.case import CURVED, LAYERS, NOT_READ, PLAIN, Case, Example
from conformance.peers import edges_of_gradcam, finer_of_gradcam, of_gradcam, random_of_gradcam, smoothed_by_gradcam
from conformance.problems import row
from conformance.rules import (
    aligned_corners,
    averaged_brightness,
    byte_derivatives,
    channel_by_channel,
    cubic,
    either_sign,
    from_maps,
    lowered,
    maps_at_layers,
    of_overwritten_maps,
    plus_plus,
    random_channels,
    weighted_by_share,
    weighted_references,
)
from fusioncam.functional.heatmaps import minmax
from fusioncam.methods.gradient import GradCAM, LayerCAM, ShapleyCAM
from fusioncam.methods.multi_layer import MultiLayer, RefineCAM
from fusioncam.methods.smoothing import Augmented

GRADCAM_CASES = [
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
    Case("seg-eigen-cam", "grad-cam", of_gradcam(gradcam.SegEigenCAM), (*PLAIN, "default")),
    Case("kpca-cam", "grad-cam", of_gradcam(gradcam.KPCA_CAM), (*PLAIN, "default")),
    Case(
        "fem",
        "grad-cam",
        of_gradcam(gradcam.FEM),
        (*PLAIN, "volume", "default"),
        rule=from_maps(weighted_by_share),
        why="It weights the channel's activations by the share of the locations that stand out; ours sums these "
        "locations, weighted by the mean of the channel.",
        right=NOT_READ
        + "ours follows the definition in the documentation of xplique, which cites the paper: the sum of "
        "the binary maps, each times the mean of its channel.",
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
]
