"""Comparisons with captum."""

from __future__ import annotations

import captum.attr

from conformance.case import ALL, CURVED, PLAIN, Case
from conformance.peers import ablated_by_captum, nearest, occluded_by_captum, of_captum
from conformance.problems import heat, signed_heat
from conformance.rules import gauss_legendre, nearest_ours
from fusioncam.functional.heatmaps import minmax
from fusioncam.methods.black_box import Occlusion

CAPTUM_CASES = [
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
        "occlusion",
        "captum",
        occluded_by_captum(3),
        ALL,
        mine=Occlusion(cells=3, readout="logit"),
        note="with our windows",
    ),
    Case("ablation-cam", "captum", ablated_by_captum, (*PLAIN, "volume"), note="weights by `LayerFeatureAblation`"),
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
]
