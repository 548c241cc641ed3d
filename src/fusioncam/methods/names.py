"""The methods, by the names that the field gives them.

``METHODS[name](model, x, target)`` gives heatmaps ``(N, *s)`` in [0, 1]. A name with a colon is a preset that
reproduces a public code: ``official`` is the Fusion-CAM paper's, ``xplaincam`` its first author's library.
"""

from __future__ import annotations

from fusioncam.methods.ablation import AblationCAM, ReciproCAM
from fusioncam.methods.base import Method
from fusioncam.methods.baselines import Center, Edges, Ones, Random
from fusioncam.methods.ensembles import RULES, Fuse, MetaCAM, fuse
from fusioncam.methods.fusion import FusionCAM, Ingredients, UnionCAM
from fusioncam.methods.gradient import (
    CAM,
    DenoisedGradCAM,
    EigenCAM,
    EigenGradCAM,
    ElementwiseGradCAM,
    FinerCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ShapleyCAM,
    XGradCAM,
)
from fusioncam.methods.group_cam import GroupCAM
from fusioncam.methods.legrad import LeGrad
from fusioncam.methods.multi_layer import FullGrad, MultiLayer, Multiscale, PolyCAM, RefineCAM
from fusioncam.methods.opti_cam import OptiCAM
from fusioncam.methods.score_cam import ISCAM, RISE, SSCAM, ScoreCAM
from fusioncam.methods.smoothing import ExpectedGradCAM, IntegratedGradients, SmoothGradCAMPlusPlus
from fusioncam.methods.wrappers import Augmented

_XPLAINCAM = ScoreCAM(readout="probability", softmax=False, normalise="before", maps="normalised")

METHODS: dict[str, Method] = {
    "cam": CAM(),
    "grad-cam": GradCAM(),
    "grad-cam++": GradCAMPlusPlus(),
    "smooth-grad-cam++": SmoothGradCAMPlusPlus(),
    "xgrad-cam": XGradCAM(),
    "layer-cam": LayerCAM(),
    "hires-cam": HiResCAM(),
    "elementwise-grad-cam": ElementwiseGradCAM(),
    "eigen-cam": EigenCAM(),
    "eigen-grad-cam": EigenGradCAM(),
    "fullgrad": FullGrad(),
    "shapley-cam": ShapleyCAM(),
    "finer-cam": FinerCAM(),
    "expected-grad-cam": ExpectedGradCAM(),
    "refine-cam": RefineCAM(),
    "legrad": LeGrad(),
    "integrated-gradients": IntegratedGradients(),
    "denoised-grad-cam": DenoisedGradCAM(),
    "score-cam": ScoreCAM(),
    "score-cam:official": ScoreCAM(),
    "score-cam:xplaincam": _XPLAINCAM,
    "score-cam:cic": ScoreCAM(readout="probability", softmax=False, increase=True),
    "faster-score-cam": ScoreCAM(channels=10),
    "ss-cam": SSCAM(),
    "is-cam": ISCAM(),
    "ablation-cam": AblationCAM(),
    "group-cam": GroupCAM(),
    "group-cam:k-means": GroupCAM(cluster="k-means"),
    "group-cam:official": GroupCAM(theta=0, clamp=True, fill="light-blur"),
    "group-cam:xplaincam": GroupCAM(theta=0, clamp=True, maps="raw"),
    "recipro-cam": ReciproCAM(),
    "opti-cam": OptiCAM(),
    "poly-cam": PolyCAM(),
    "rise": RISE(),
    "union-cam": UnionCAM(),
    "union-cam:official": UnionCAM(gains="official"),
    "union-cam:xplaincam": UnionCAM(region=_XPLAINCAM, gains="raw"),
    "fusion-cam": FusionCAM(),
    "fusion-cam:official": FusionCAM(gains="official"),
    "fusion-cam:xplaincam": FusionCAM(region=_XPLAINCAM, gains="raw", strict=True),
    "fusion-cam:multiscale": Multiscale(),
    "meta-cam": MetaCAM(),
    "fuse": Fuse(),
    "augmented": Augmented(),
    "multi-layer": MultiLayer(),
    "random": Random(),
    "center": Center(),
    "ones": Ones(),
    "edges": Edges(),
}

__all__ = [
    "CAM", "ISCAM", "METHODS", "RISE", "RULES", "SSCAM", "AblationCAM", "Augmented", "Center",
    "DenoisedGradCAM", "Edges", "EigenCAM", "EigenGradCAM", "ElementwiseGradCAM", "ExpectedGradCAM", "FinerCAM",
    "FullGrad", "Fuse", "FusionCAM", "GradCAM", "GradCAMPlusPlus", "GroupCAM", "HiResCAM", "Ingredients",
    "IntegratedGradients", "LayerCAM", "LeGrad", "MetaCAM", "Method", "MultiLayer", "Multiscale", "Ones",
    "OptiCAM", "PolyCAM", "Random", "ReciproCAM", "RefineCAM", "ScoreCAM", "ShapleyCAM",
    "SmoothGradCAMPlusPlus", "UnionCAM", "XGradCAM", "fuse",
]  # fmt: skip
