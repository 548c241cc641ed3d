"""Every method with its twin, and the toys on which they are compared."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial

from fusioncam import METHODS, ExplainedModel
from fusioncam.errors import FlatHeatmapWarning
from selection import OF_TRANSFORMERS
from toys import TOYS
from twins import attention, ensembles, fusion, gradient, others, region

# method -> its twin, and settings for both if the defaults are slow or a toy has few channels
TWINS = {
    "cam": (gradient.cam, {}),
    "grad-cam": (gradient.grad_cam, {}),
    "grad-cam++": (gradient.grad_cam_pp, {}),
    "smooth-grad-cam++": (gradient.smooth_grad_cam_pp, {}),
    "xgrad-cam": (gradient.xgrad_cam, {}),
    "layer-cam": (gradient.layer_cam, {}),
    "hires-cam": (gradient.hires_cam, {}),
    "elementwise-grad-cam": (gradient.elementwise_grad_cam, {}),
    "eigen-cam": (gradient.eigen_cam, {}),
    "eigen-grad-cam": (gradient.eigen_grad_cam, {}),
    "seg-eigen-cam": (gradient.seg_eigen_cam, {}),
    "kpca-cam": (gradient.kpca_cam, {}),
    "fem": (gradient.fem, {}),
    "dff": (gradient.dff, {"concepts": 2}),
    "fullgrad": (gradient.fullgrad, {}),
    "shapley-cam": (gradient.shapley_cam, {}),
    "finer-cam": (gradient.finer_cam, {"references": 1}),
    "expected-grad-cam": (gradient.expected_grad_cam, {"samples": 5}),
    "refine-cam": (gradient.refine_cam, {}),
    "winsor-cam": (gradient.winsor_cam, {}),
    "legrad": (attention.legrad, {}),
    "grad-eclip": (attention.grad_eclip, {}),
    "attention-rollout": (attention.rollout, {}),
    "attention-relevance": (attention.relevance, {}),
    "integrated-gradients": (gradient.integrated_gradients, {"steps": 7}),
    "expected-gradients": (gradient.expected_gradients, {"samples": 5}),
    "denoised-grad-cam": (gradient.denoised_grad_cam, {}),
    "score-cam": (region.score_cam, {}),
    "score-cam:official": (region.score_cam, {}),
    "score-cam:xplaincam": (region.score_cam_xplaincam, {}),
    "score-cam:cic": (region.score_cam_cic, {}),
    "faster-score-cam": (region.faster_score_cam, {"channels": 2}),
    "ss-cam": (region.ss_cam, {"samples": 3}),
    "is-cam": (region.is_cam, {"samples": 4}),
    "ablation-cam": (region.ablation_cam, {}),
    "group-cam": (region.group_cam, {"groups": 2}),
    "group-cam:k-means": (partial(region.group_cam, cluster="k-means"), {"groups": 3}),
    "group-cam:official": (partial(region.group_cam, theta=0, clamp=True, sigma=25.0), {"groups": 2}),
    "group-cam:xplaincam": (partial(region.group_cam, theta=0, clamp=True, maps="raw"), {"groups": 2}),
    "recipro-cam": (region.recipro_cam, {}),
    "opti-cam": (region.opti_cam, {"steps": 8}),
    "poly-cam": (region.poly_cam, {}),
    "occlusion": (region.occlusion, {"cells": 3}),
    "two-sided-occlusion": (region.two_sided_occlusion, {}),
    "rise": (region.rise, {"masks": 70, "cells": 3}),
    "hsic": (region.hsic, {"masks": 16, "cells": 3}),
    "sobol": (region.sobol, {"designs": 4, "cells": 3}),
    "d-rise": (region.rise, {"masks": 70, "cells": 3}),
    "union-cam": (fusion.union_cam, {}),
    "union-cam:official": (fusion.union_cam_official, {}),
    "union-cam:xplaincam": (fusion.union_cam_xplaincam, {}),
    "fusion-cam": (fusion.fusion_cam, {}),
    "fusion-cam:official": (fusion.fusion_cam_official, {}),
    "fusion-cam:xplaincam": (fusion.fusion_cam_xplaincam, {}),
    "fusion-cam:multiscale": (others.multiscale, {}),
    "meta-cam": (ensembles.meta_cam, {"top": (10.0, 30.0)}),
    "fuse": (others.mean_of_two, {}),
    "augmented": (others.augmented, {}),
    "multi-layer": (others.multi_layer, {}),
    "guided-filter": (others.guided_filter, {}),
    "cas-cam": (others.cas_cam, {}),
    "random": (others.random, {}),
    "center": (others.center, {}),
    "ones": (others.ones, {}),
    "edges": (others.edges, {}),
}


# the methods with the settings of the tests
TESTED = {name: replace(METHODS[name], **settings) for name, (_, settings) in TWINS.items()}


# toys of methods that do not support all: CAM needs a linear head
SUPPORTED = {"cam": ("linear", "signal", "volume"), **dict.fromkeys(OF_TRANSFORMERS, ())}


PROBLEMS = [(name, toy) for name in METHODS for toy in SUPPORTED.get(name, TOYS)]


LAYER = "features"


def heatmaps_of(method, toy, x, target, layer=LAYER, model=None):
    """Compute heatmaps of toys without warnings about flat ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlatHeatmapWarning)
        return TESTED.get(method, method)(model or ExplainedModel(toy, layer), x, target)
