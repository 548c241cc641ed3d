"""The stored metrics of Fusion-CAM's authors for real images, reproduced by the protocol ``xplaincam``.

The files are not part of the project; these tests are skipped where they are missing.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusioncam.metrics.registry import METRICS, PROTOCOLS
from oracles import FILES, Oracle
from selection import slow_unless

METHODS = ("gradcam", "scorecam", "fusioncam")
TOLERANCE = 1e-3


def stored_maps(oracle):
    """Return the stored heatmaps of the three methods ``(3, H, W)``, and the image for each of them."""
    maps = [torch.from_numpy(oracle.stored[f"xplaincam/{name}"]).squeeze() for name in METHODS]
    return torch.stack(maps), oracle.x.expand(len(METHODS), *oracle.x.shape[1:])


def clean_steps(maps, shares):
    """Return for each heatmap the steps ``(3, steps + 1)`` that do not separate equal pixels."""
    falling = maps.flatten(1).sort(1, descending=True).values
    counts = (shares * falling.shape[1]).round().long()[1:-1]
    clean = torch.ones(len(maps), len(shares), dtype=torch.bool)
    clean[:, 1:-1] = falling[:, counts - 1] > falling[:, counts]
    return clean.numpy()


def stored(oracle, key):
    """Return the stored values of the three methods ``(3, ...)``."""
    return np.stack([oracle.stored[f"metric/{name}/{key}"].squeeze() for name in METHODS])


@pytest.mark.parametrize("file", [slow_unless(file in (FILES[0], FILES[-1]), file) for file in FILES])
def test_drop_and_increase(shared, lite0, file):
    """Drops and increases equal the stored ones."""
    oracle = Oracle(shared, file, lite0)
    maps, x = stored_maps(oracle)

    drops, increases = (
        METRICS[name](oracle.model, x, oracle.target, maps)
        for name in ("average-drop:xplaincam", "increase:xplaincam")
    )

    np.testing.assert_allclose(drops, stored(oracle, "drop"), atol=TOLERANCE)
    np.testing.assert_array_equal(increases, stored(oracle, "increase"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["insertion", "deletion"])
@pytest.mark.parametrize("file", FILES)
def test_insertion_and_deletion(shared, lite0, file, name):
    """Areas equal the stored ones, and so do curves at steps that do not separate equal pixels."""
    oracle = Oracle(shared, file, lite0)
    maps, x = stored_maps(oracle)
    metric = METRICS[f"{name}:xplaincam"]

    curves = metric.curve(oracle.model, x, oracle.target, maps)
    areas = torch.trapezoid(curves, metric.shares(x).float(), dim=0)

    differences = np.abs(curves.T.numpy() - stored(oracle, f"{name}_curve"))
    print(file, name, differences.max(1))
    np.testing.assert_allclose(areas, stored(oracle, name), atol=TOLERANCE)
    assert differences.max() < 0.05
    assert differences[clean_steps(maps, metric.shares(x))].max() < TOLERANCE


def test_the_protocol_has_the_stored_metrics():
    """The protocol has the four metrics that are stored."""
    assert [name.partition(":")[0] for name in PROTOCOLS["xplaincam"]] == [
        "average-drop",
        "increase",
        "insertion",
        "deletion",
    ]
