"""Heatmaps of two public codes for real images, reproduced by the presets.

The files are not part of the project; without them these tests are skipped.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fusioncam import METHODS, cached_passes
from oracles import FILES, Oracle

METHOD_OF = {"gradcam": "grad-cam", "scorecam": "score-cam", "unioncam": "union-cam", "fusioncam": "fusion-cam"}
TOLERANCE = 1e-4


@pytest.mark.parametrize("file", FILES)
def test_logits_and_grad_cam(shared, lite0, file):
    """The default weights yield the stored logits, and Grad-CAM the stored heatmaps of both codes."""
    oracle = Oracle(shared, file, lite0)

    logits = oracle.model.logits(oracle.x)[0].numpy()

    np.testing.assert_allclose(logits, oracle.stored["logits"].squeeze(), atol=TOLERANCE)
    for code in ("official", "xplaincam"):
        assert oracle.difference(METHODS["grad-cam"], f"{code}/gradcam") <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_presets_reproduce_both_codes(shared, lite0, file):
    """Score-CAM, Union-CAM and Fusion-CAM of both codes, and Fusion-CAM at other percentiles."""
    oracle = Oracle(shared, file, lite0)
    differences = {}

    with cached_passes():
        for code in ("official", "xplaincam"):
            for key in ("scorecam", "unioncam", "fusioncam"):
                method = METHODS[f"{METHOD_OF[key]}:{code}"]
                differences[f"{code}/{key}"] = oracle.difference(method, f"{code}/{key}")
        for theta in (0, 20, 50):
            method = dataclasses.replace(METHODS["fusion-cam:xplaincam"], theta=theta)
            key = f"xplaincam/fusioncam_theta{theta}"
            differences[key] = oracle.difference(method, key)

    print(file, {key: f"{value:.1e}" for key, value in differences.items()})
    assert max(differences.values()) <= TOLERANCE, differences
